"""Reward a query that resembles the reference, token by token."""

from rlsp_cli.rewards import Sample, exploration_reward, jaccard, last_fenced, ngrams


@exploration_reward
def sql_ngrams(sample: Sample, *, n: int = 2) -> float:
    """The Jaccard index of the n-grams of tokens in query and reference, 0 to 1.

    The query is the last fenced SQL block. sqlglot divides it into tokens by SQLite's rules; they
    are compared without case, except for texts in quotation marks. The n-gram similarity of
    Reasoning-SQL (2503.23157); that the paper takes the Jaccard index of bigrams was not checked.
    """
    wanted = _tokens(sample.reference or "")
    if not wanted:
        raise ValueError("the reference is no SQL")

    query = last_fenced(sample.response, "sql", "sqlite")
    return 0.0 if query is None else jaccard(ngrams(_tokens(query), n), ngrams(wanted, n))


def _tokens(query: str) -> list[str]:
    """The tokens of a query; empty if it is none."""
    from sqlglot.dialects import SQLite
    from sqlglot.errors import TokenError

    try:
        tokens = SQLite().tokenize(query.rstrip().rstrip(";"))
    except TokenError:
        return []

    # The mark keeps the text 'a' apart from the column a.
    return [
        f"'{token.text}" if token.token_type.name == "STRING" else token.text.lower()
        for token in tokens
    ]
