"""OpenRLHF's reward protocol: {query, prompts, labels} -> {rewards, scores, extra_logs}, scalars or lists."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlsp_cli.recipe.schema import Reward
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.rewards.thinking import whole

Count = Callable[[str], int]


class RequestError(ValueError):
    """The request is not what the protocol says; the message is for its sender."""


def read_request(
    body: Any, count: Count | None, endings: Sequence[str], max_tokens: int | None
) -> tuple[list[Sample], bool]:
    """The samples of a request, and whether it was a scalar one.

    The response is what follows the prompt that the client sends; `endings` are special tokens that
    may end it.
    """
    if not isinstance(body, Mapping) or "query" not in body or "prompts" not in body:
        raise RequestError("expected an object with query, prompts and labels")
    scalar = isinstance(body["query"], str)
    labels = body.get("labels")
    columns = [[value] if scalar else value for value in (body["query"], body["prompts"], labels)]
    queries, prompts = (
        _texts(name, column) for name, column in zip(("query", "prompts"), columns[:2], strict=True)
    )
    references = [None] * len(queries) if labels is None else columns[2]
    if not isinstance(references, list) or not len(queries) == len(prompts) == len(references):
        raise RequestError("query, prompts and labels must have the same length")
    rows = zip(queries, prompts, references, strict=True)
    return [
        _sample(*row, count=count, endings=endings, max_tokens=max_tokens) for row in rows
    ], scalar


def request_number(body: Any) -> int | None:
    """The number that a client gave a request about one sample, so that it may ask again; None when it gave none."""
    number = (
        body.get("request")
        if isinstance(body, Mapping) and isinstance(body.get("query"), str)
        else None
    )
    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise RequestError("request: expected a whole number")
    return number


def is_heldout(body: Any) -> bool:
    """Whether the request is about a problem that is kept out of training."""
    labels = body.get("labels") if isinstance(body, Mapping) else None
    return isinstance(labels, Mapping) and bool(labels.get("heldout"))


def heldout_reply(score: Score) -> dict[str, Any]:
    """Correctness alone, which the client averages; without a verdict it is 0, and counted apart."""
    value = score.value or 0.0
    return {
        "rewards": value,
        "scores": value,
        "extra_logs": {"rlsp_unscored": float(score.value is None)},
    }


def reply(
    scores: Sequence[SampleScore], reward: Reward, means: "Means", alpha: float, scalar: bool
) -> dict[str, Any]:
    """The answer; its keys are the same for every sample, and every value is a number, as the client needs.

    Rewards and scores have the request's shape. The logs of one sample are plain numbers, also in a
    list of one: the client makes a tensor of each by itself.

    The protocol cannot leave a sample out: what is unscored counts as the mean of what was scored
        so far, and
    `rlsp_unscored` is 1.
    """
    rows = [means.complete(_logs(score, reward)) for score in scores]
    rewards = [row.pop("rlsp_reward") for row in rows]
    columns = {key: [row[key] for row in rows] for key in rows[0]} | {
        "rlsp_alpha": [alpha] * len(rows)
    }
    logs = {key: column[0] for key, column in columns.items()} if len(rows) == 1 else columns
    if scalar:
        return {"rewards": rewards[0], "scores": columns["rlsp_correctness"][0], "extra_logs": logs}
    return {"rewards": rewards, "scores": columns["rlsp_correctness"], "extra_logs": logs}


class Means:
    """Running means by key, which stand for values that are missing; `sums` are totals and counts."""

    def __init__(self, sums: Mapping[str, Sequence[float]] | None = None) -> None:
        self.sums = {key: (float(total), int(n)) for key, (total, n) in (sums or {}).items()}

    def complete(self, row: Mapping[str, float | None]) -> dict[str, float]:
        """The row with its missing values filled in; 0 before there was any."""
        for key, value in row.items():
            total, n = self.sums.get(key, (0.0, 0))
            self.sums[key] = (total + value, n + 1) if value is not None else (total, n)
        return {key: self._mean(key) if value is None else value for key, value in row.items()}

    def _mean(self, key: str) -> float:
        total, n = self.sums[key]
        return total / n if n else 0.0


def _logs(score: SampleScore, reward: Reward) -> dict[str, float | None]:
    """What is logged of one sample; a component that has one of our own names does not take its place."""
    parts = zip(reward.exploration, score.exploration, strict=True)
    return {
        **{f"rlsp_{use.use.rpartition(':')[2]}": part.value for use, part in parts},
        "rlsp_reward": score.reward,
        "rlsp_correctness": score.correctness.value,
        "rlsp_exploration": score.streams[1] if score.streams else None,
        "rlsp_answered": float(score.correctness.answer is not None),
        "rlsp_unscored": float(score.reward is None),
    }


def _texts(name: str, column: Any) -> list[str]:
    if (
        not isinstance(column, list)
        or not column
        or not all(isinstance(text, str) for text in column)
    ):
        raise RequestError(f"{name}: expected text or a list of texts")
    return column


def _sample(
    query: str,
    prompt: str,
    label: Any,
    *,
    count: Count | None,
    endings: Sequence[str],
    max_tokens: int | None,
) -> Sample:
    """Special tokens may stand before the prompt in the query, nothing else may."""
    at = query.find(prompt)
    if at < 0:
        raise RequestError(f"the query does not contain its prompt: {prompt[:60]!r}")
    response = query[at + len(prompt) :]
    ended = next((ending for ending in endings if response.rstrip().endswith(ending)), None)
    text = response.rstrip().removesuffix(ended) if ended else response
    tokens = count(text) if count else None
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
