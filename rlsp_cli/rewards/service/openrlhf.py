"""OpenRLHF's reward protocol: {query, prompts, labels} -> {rewards, scores, extra_logs}."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.rewards.thinking import whole

Count = Callable[[str], int]

_QUOTED = 60
"""Characters of a prompt that an error shows."""


class RequestError(ValueError):
    """The request breaks the protocol; the message is for its sender."""


def read_request(
    body: Any, count: Count | None, endings: Sequence[str], max_tokens: int | None
) -> tuple[list[Sample], bool]:
    """The samples of a request, and whether it was a scalar one.

    The response is what follows the prompt in the query; `endings` are special tokens that may end
    it.
    """
    if not isinstance(body, Mapping) or "query" not in body or "prompts" not in body:
        raise RequestError("expected an object with query, prompts and labels")

    scalar = isinstance(body["query"], str)
    query, prompt, labels = body["query"], body["prompts"], body.get("labels")
    queries = _texts("query", [query] if scalar else query)
    prompts = _texts("prompts", [prompt] if scalar else prompt)

    references = [labels] if scalar else labels
    if labels is None:
        references = [None] * len(queries)
    if not isinstance(references, list) or not len(queries) == len(prompts) == len(references):
        raise RequestError("query, prompts and labels must have the same length")

    samples = [
        _sample(*row, count=count, endings=endings, max_tokens=max_tokens)
        for row in zip(queries, prompts, references, strict=True)
    ]
    return samples, scalar


def request_number(body: Any) -> int | None:
    """The number by which a client may repeat a request about one sample; None without one."""
    is_scalar = isinstance(body, Mapping) and isinstance(body.get("prompts"), str)
    number = body.get("request") if is_scalar else None

    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise RequestError("request: expected a whole number")
    return number


def is_heldout(body: Any) -> bool:
    """Whether the request is about a problem that is held out of the training."""
    labels = body.get("labels") if isinstance(body, Mapping) else None
    return isinstance(labels, Mapping) and bool(labels.get("heldout"))


def heldout_reply(score: Score) -> dict[str, Any]:
    """Correctness alone, which the client averages; 0 without a verdict, which is counted apart."""
    value = score.value or 0.0
    return {
        "rewards": value,
        "scores": value,
        "extra_logs": {"rlsp_unscored": float(score.value is None)},
    }


def reply(
    scores: Sequence[SampleScore], reward: Reward, means: "Means", alpha: float, scalar: bool
) -> dict[str, Any]:
    """The reply to a request, in its shape: a number for each key, the same keys for every sample.

    The protocol cannot leave a sample out: an unscored one counts as the mean of all scored so far,
    and its `rlsp_unscored` is 1.
    """
    rows = [means.complete(_logs(score, reward)) for score in scores]
    rewards = [row.pop("rlsp_reward") for row in rows]
    columns: dict[str, Any] = {}
    for key in rows[0]:
        columns[key] = [row[key] for row in rows]
    columns["rlsp_alpha"] = [alpha] * len(rows)
    correctness = columns["rlsp_correctness"]

    # Plain numbers even for a list of one: the client makes a tensor of each by itself.
    logs = columns
    if len(rows) == 1:
        logs = {key: column[0] for key, column in columns.items()}

    if scalar:
        return {"rewards": rewards[0], "scores": correctness[0], "extra_logs": logs}
    return {"rewards": rewards, "scores": correctness, "extra_logs": logs}


class Means:
    """Running means by key, which stand in for missing values; `sums` are totals and counts."""

    def __init__(self, sums: Mapping[str, Sequence[float]] | None = None) -> None:
        self.sums = {key: (float(total), int(n)) for key, (total, n) in (sums or {}).items()}

    def complete(self, row: Mapping[str, float | None]) -> dict[str, float]:
        """The row with its missing values filled in, by 0 before any value was seen."""
        for key, value in row.items():
            total, n = self.sums.get(key, (0.0, 0))
            self.sums[key] = (total + value, n + 1) if value is not None else (total, n)

        return {key: self._mean(key) if value is None else value for key, value in row.items()}

    def _mean(self, key: str) -> float:
        total, n = self.sums[key]
        return total / n if n else 0.0


def _logs(score: SampleScore, reward: Reward) -> dict[str, float | None]:
    """The logged values of one sample."""
    parts = zip(reward.exploration, score.exploration, strict=True)

    # Our own names last, since a component may be called `reward` as well.
    return {
        **{f"rlsp_{use.use.rpartition(':')[2]}": part.value for use, part in parts},
        "rlsp_reward": score.reward,
        "rlsp_correctness": score.correctness.value,
        "rlsp_exploration": score.streams[1] if score.streams else None,
        "rlsp_answered": float(score.correctness.answer is not None),
        "rlsp_unscored": float(score.reward is None),
    }


def _texts(name: str, column: Any) -> list[str]:
    is_list = isinstance(column, list) and bool(column)
    if not is_list or not all(isinstance(text, str) for text in column):
        raise RequestError(f"{name}: expected text or a list of texts")

    texts: list[str] = column
    return texts


def _sample(
    query: str,
    prompt: str,
    label: Any,
    *,
    count: Count | None,
    endings: Sequence[str],
    max_tokens: int | None,
) -> Sample:
    """The sample of a query, which is the prompt and the response as one text."""
    # Not at the beginning: a tokenizer may have put special tokens before the prompt.
    at = query.find(prompt)
    if at < 0:
        raise RequestError(f"the query does not contain its prompt: {prompt[:_QUOTED]!r}")
    response = query[at + len(prompt) :]

    ended = next((ending for ending in endings if response.rstrip().endswith(ending)), None)
    text = response.rstrip().removesuffix(ended) if ended else response
    tokens = count(text) if count else None

    # Our own data has an object for its label, a data set of OpenRLHF's the reference itself.
    named = label if isinstance(label, Mapping) else {"reference": label}
    reference = named.get("reference")
    return Sample(
        prompt=prompt,
        response=whole(prompt, text),
        reference=None if reference is None else str(reference),
        id=str(named.get("id", "")),
        metadata=named.get("metadata") or {},
        num_tokens=tokens,
        max_tokens=max_tokens,
        truncated=bool(tokens and max_tokens and tokens >= max_tokens and not ended),
    )
