"""Check that a plugin does what a run asks of it, from processes, threads and an event loop."""

import asyncio
import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rlsp_cli.recipe.steps import Steps
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.look_ahead import OTHER_STEPS, looks_ahead
from rlsp_cli.rewards.options import complete_options
from rlsp_cli.rewards.plugin import Plugin
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.turns import MODEL, Turn, Turns

_TEXTS = (
    "",
    "no answer here",
    r"so \boxed{4}",
    r"<think>maybe \boxed{5}</think> The answer is \boxed{4}. Confidence: 8",
    r"\boxed{\frac{1}{2} and \u221a2 \u00e9\u4e2d",  # cut off within its box
    "Step 1: 2 + 2 = 4\nStep 2: 4 + 0 = 5\n\nso \\boxed{5}",
    "wait, let me check. " * 2000 + r"\boxed{4}",
    "\x00\ud7ff\u202e{}[]<script>`rm`",
)
"""What models write sooner or later."""
_CALLS = ("Is it 4?", "<calc>2 + 2</calc>", "```python\nprint(2 + 2)\n```")
"""What a continuation may answer."""
_TIMEOUT_S, _MEMORY_GB = 30.0, 4.0
_MOST_TOKENS = 10**6
_QUOTED = 40
"""Characters of a response that a failed check shows."""


@dataclass(frozen=True)
class Check:
    """One question to a plugin, and the answer in words."""

    name: str
    passed: bool
    detail: str


def check_plugin(plugin: Plugin, given: Sequence[Sample] = ()) -> list[Check]:
    """The checks of a plugin that takes samples; loading it has checked its signature.

    It is run on the `given` samples, and on awkward responses with the prompt, reference and
    metadata of the first of them.
    """
    options = complete_options(plugin.options, {}, plugin.name)
    is_step_scorer = plugin.kind == "step_scorer"
    use = Use(
        plugin.kind,
        plugin.reference,
        options,
        takes_group=plugin.takes_group,
        steps=Steps() if is_step_scorer else None,
    )
    texts = (*_TEXTS, *_CALLS) if plugin.kind == "continuation" else _TEXTS
    base = given[0] if given else Sample("What is 2 + 2?", "", "4")
    samples = [
        replace(base, response=text, id=str(i), **_known(i, text)) for i, text in enumerate(texts)
    ]
    samples += [replace(sample, **_known(i, sample.response)) for i, sample in enumerate(given)]
    if plugin.kind == "continuation":
        samples = [_in_turns(sample) for sample in samples]
    calls = [Call(use, (sample,)) for sample in samples]
    if plugin.takes_group:
        calls = [Call(use, tuple(samples))]

    with Pool([use], 2, _TIMEOUT_S, _MEMORY_GB) as pool:
        first = pool.map(calls)
        others = {"thread": _in_thread(pool, calls), "event loop": _in_event_loop(pool, calls)}
        ahead = [_no_look_ahead(pool, use, samples, first)] if is_step_scorer else []

    # A new process has another hash seed, which shows in what depends on the order of a set.
    with Pool([use], 1, _TIMEOUT_S, _MEMORY_GB) as pool:
        others["another process"] = pool.map(calls)

    scores = list(itertools.chain(*first))
    slowest = max(score.ms for score in scores)
    return [
        Check("runs in a process of its own", True, f"{len(scores)} samples scored"),
        _no_failure(scores, samples),
        *(_same(where, first, result) for where, result in others.items()),
        *ahead,
        _in_range(plugin, scores),
        Check("time", True, f"{slowest:.0f} ms for the slowest of {len(scores)} samples"),
    ]


def _in_turns(sample: Sample) -> Sample:
    """The sample as a continuation sees it: its response as the model's first turn."""
    if sample.turns is not None:
        return sample
    return replace(sample, reference=None, turns=Turns((Turn(MODEL, sample.response),)))


def _known(number: int, text: str) -> dict[str, Any]:
    """What a run knows of a response; every other one is right."""
    return {
        "num_tokens": len(text.split()) + 1,
        "max_tokens": _MOST_TOKENS,
        "correct": float(number % 2),
        "answer": "4",
        "reward": float(number % 2),
    }


def _in_thread(pool: Pool, calls: Sequence[Call]) -> list[list[Score]]:
    results: list[list[list[Score]]] = []
    thread = threading.Thread(target=lambda: results.append(pool.map(calls)))
    thread.start()
    thread.join()
    return results[0]


def _in_event_loop(pool: Pool, calls: Sequence[Call]) -> list[list[Score]]:
    async def gathered() -> list[list[Score]]:
        futures = [pool.submit(partial(pool.run, call)) for call in calls]
        return await asyncio.gather(*map(asyncio.wrap_future, futures))

    return asyncio.run(gathered())


def _no_failure(scores: Sequence[Score], samples: Sequence[Sample]) -> Check:
    """Whether every sample ends as a value or an abstention."""
    name = "finite, and no exception"
    for score, sample in zip(scores, samples, strict=True):
        if score.failed:
            words = f"{sample.response[:_QUOTED]!r}: {score.outcome}: {score.reason}"
            return Check(name, False, words)

    return Check(name, True, "values or abstentions only")


def _same(where: str, first: Sequence[Sequence[Score]], again: Sequence[Sequence[Score]]) -> Check:
    """Whether the samples end as before, wherever the plugin is called from."""
    name = f"the same from {where}"
    for one, other in zip(itertools.chain(*first), itertools.chain(*again), strict=True):
        if _key(one) != _key(other):
            return Check(name, False, f"{_key(one)} and then {_key(other)}")

    return Check(name, True, "equal values")


def _key(score: Score) -> tuple[object, ...]:
    if score.steps is not None:
        return score.outcome, score.value, [step.score for step in score.steps]
    return score.outcome, score.value, score.answer


def _no_look_ahead(
    pool: Pool, use: Use, samples: Sequence[Sample], scores: Sequence[Sequence[Score]]
) -> Check:
    """Whether the score of a step is the same without the steps after it, and with others."""
    name, flat = "a step's score depends on no later step", [score for (score,) in scores]
    for then in ((), OTHER_STEPS):
        for sample, change in zip(
            samples, looks_ahead(pool, use, samples, flat, then), strict=True
        ):
            if change:
                return Check(name, False, f"{sample.response[:_QUOTED]!r}: {change}")

    several = sum(len(score.steps or ()) > 1 for score in flat)
    return Check(name, True, f"{several} responses of several steps asked about again")


def _in_range(plugin: Plugin, scores: Sequence[Score]) -> Check:
    if plugin.kind == "continuation":
        texts = [score.answer for score in scores if score.answer is not None]
        return Check("answers", True, f"{len(texts)} of {len(scores)} turns, and ends the others")

    values = [score.value for score in scores if score.value is not None]
    if not values:
        return Check("gives a value", False, "it abstained from every sample")

    shown = f"{min(values):g} to {max(values):g}"
    if plugin.kind == "selector":
        return Check("selects", True, f"{sum(values):g} of {len(values)} samples kept")
    if plugin.kind == "verifier" and not all(0 <= value <= 1 for value in values):
        return Check("gives a value", False, f"{shown}, expected 0 to 1")
    return Check("gives a value", True, shown)
