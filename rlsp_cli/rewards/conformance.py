"""Does a plugin do what a run will ask of it? The same function in processes, threads and an event loop."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rlsp_cli.rewards.options import complete_options
from rlsp_cli.rewards.plugin import Plugin
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.process import Call, Use
from rlsp_cli.rewards.sample import Sample, Score

_TEXTS = (
    "",
    "no answer here",
    r"so \boxed{4}",
    r"<think>maybe \boxed{5}</think> The answer is \boxed{4}. Confidence: 8",
    r"\boxed{\frac{1}{2} and \u221a2 \u00e9\u4e2d",
    "wait, let me check. " * 2000 + r"\boxed{4}",
    "\x00\ud7ff\u202e{}[]<script>`rm`",
)
_TIMEOUT_S, _MEMORY_GB = 30.0, 4.0


@dataclass(frozen=True)
class Check:
    """One question to a plugin, and the answer in words."""

    name: str
    passed: bool
    detail: str


def check_plugin(plugin: Plugin, given: Sequence[Sample] = ()) -> list[Check]:
    """What holds for a verifier or an exploration reward; its signature was checked when it was loaded.

    It is run on awkward responses, with the prompt, reference and metadata of the first `given`
    sample, and on those.
    """
    options = complete_options(plugin.options, {}, plugin.name)
    use = Use(plugin.kind, plugin.reference, options, takes_group=plugin.takes_group)
    base = given[0] if given else Sample("What is 2 + 2?", "", "4")
    samples = [
        replace(base, response=text, id=str(i), **_known(i, text)) for i, text in enumerate(_TEXTS)
    ]
    samples += [replace(sample, **_known(i, sample.response)) for i, sample in enumerate(given)]
    calls = (
        [Call(use, tuple(samples))]
        if plugin.takes_group
        else [Call(use, (sample,)) for sample in samples]
    )
    with Pool([use], 2, _TIMEOUT_S, _MEMORY_GB) as pool:
        first = pool.map(calls)
        others = {"thread": _in_thread(pool, calls), "event loop": _in_event_loop(pool, calls)}
    with Pool([use], 1, _TIMEOUT_S, _MEMORY_GB) as pool:  # a new process has another hash seed
        others["another process"] = pool.map(calls)
    scores = [score for result in first for score in result]
    return [
        Check("runs in a process of its own", True, f"{len(scores)} samples scored"),
        _no_failure(scores, samples),
        *(_same(where, first, result) for where, result in others.items()),
        _in_range(plugin, scores),
        Check(
            "time",
            True,
            f"{max(score.ms for score in scores):.0f} ms for the slowest of {len(scores)} samples",
        ),
    ]


def _known(number: int, text: str) -> dict[str, Any]:
    """What a run would know of a response."""
    return {
        "num_tokens": len(text.split()) + 1,
        "max_tokens": 10**6,
        "correct": float(number % 2),
        "answer": "4",
    }


def _in_thread(pool: Pool, calls: Sequence[Call]) -> list[list[Score]]:
    results: list[list[list[Score]]] = []
    thread = threading.Thread(target=lambda: results.append(pool.map(calls)))
    thread.start()
    thread.join()
    return results[0]


def _in_event_loop(pool: Pool, calls: Sequence[Call]) -> list[list[Score]]:
    async def gathered() -> list[list[Score]]:
        return await asyncio.gather(
            *(asyncio.wrap_future(pool.submit(partial(pool.run, call))) for call in calls)
        )

    return asyncio.run(gathered())


def _no_failure(scores: Sequence[Score], samples: Sequence[Sample]) -> Check:
    """Every sample ends as a value or an abstention, whatever is in it."""
    for score, sample in zip(scores, samples, strict=True):
        if score.failed:
            return Check(
                "finite, and no exception",
                False,
                f"{sample.response[:40]!r}: {score.outcome}: {score.reason}",
            )
    return Check("finite, and no exception", True, "values or abstentions only")


def _same(where: str, first: Sequence[Sequence[Score]], again: Sequence[Sequence[Score]]) -> Check:
    pairs = [pair for a, b in zip(first, again, strict=True) for pair in zip(a, b, strict=True)]
    different = next((pair for pair in pairs if _key(pair[0]) != _key(pair[1])), None)
    if different is None:
        return Check(f"the same from {where}", True, "equal values")
    return Check(
        f"the same from {where}", False, f"{_key(different[0])} and then {_key(different[1])}"
    )


def _key(score: Score) -> tuple[object, ...]:
    return score.outcome, score.value, score.answer


def _in_range(plugin: Plugin, scores: Sequence[Score]) -> Check:
    values = [score.value for score in scores if score.value is not None]
    if not values:
        return Check("gives a value", False, "it abstained from every sample")
    shown = f"{min(values):g} to {max(values):g}"
    outside = plugin.kind == "verifier" and not all(0 <= value <= 1 for value in values)
    return Check("gives a value", not outside, f"{shown}, expected 0 to 1" if outside else shown)
