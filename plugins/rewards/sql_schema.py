"""Reward a query that uses the right tables and columns."""

from rlsp_cli.rewards import Sample, exploration_reward, jaccard, last_fenced


@exploration_reward
def sql_schema(sample: Sample) -> float:
    """The Jaccard index of the tables and columns in query and reference, 0 to 1.

    The query is the last fenced SQL block, read in SQLite's dialect by sqlglot; one that sqlglot
    cannot read earns 0. Names are compared without case and aliases, and what a subquery computes
    is no column. The schema linking of Reasoning-SQL (2503.23157); that the paper takes
    the Jaccard index of these sets was not checked.
    """
    wanted = _schema_items(sample.reference or "")
    if not wanted:
        raise ValueError("the reference is no query that sqlglot reads, or uses no table")

    query = last_fenced(sample.response, "sql", "sqlite")
    return 0.0 if query is None else jaccard(_schema_items(query), wanted)


def _schema_items(query: str) -> set[tuple[str, str]]:
    """All that a query reads, as ("table", name) and ("column", name); empty if it is no query."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.scope import traverse_scope

    try:
        scopes = traverse_scope(parse_one(query, read="sqlite"))
    except (SqlglotError, RecursionError):
        return set()

    items = set()
    for scope in scopes:
        # The other sources are subqueries, whose columns are read in scopes of their own.
        tables = {
            alias: source.name.lower()
            for alias, source in scope.sources.items()
            if isinstance(source, exp.Table)
        }
        items |= {("table", name) for name in tables.values()}

        for column in scope.columns:
            if column.table in tables or (tables and not column.table):
                items.add(("column", column.name.lower()))
    return items
