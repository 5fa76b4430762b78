"""What replies of a model show of a recipe: whether there is something to learn from them."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from rlsp_cli.preflight.checked import Check, Checked
from rlsp_cli.rewards.sample import Sample, SampleScore, is_right

VARY = Check("replies vary", "the replies to a prompt differ, without which no advantage is known")
FINITE = Check("rewards are finite", "every reply has a reward, and none is NaN or infinite")
REWARDS_VARY = Check("rewards vary", "the replies to a prompt earn differently")
SOME_RIGHT = Check("some are right", "correctness can teach only where some replies are right")
ENDS = Check("replies end", "replies end by themselves before ppo.max_new_tokens")
ANSWERED = Check("answers are found", "the verifier finds an answer in replies")
_SAME = 1e-6
"""Rewards that differ by less are equal."""
_MOST_TRUNCATED = 0.2
_FEWEST_ANSWERED = 0.5


class Reply(NamedTuple):
    """A reply of a model, and what the recipe's reward says of it."""

    sample: Sample
    score: SampleScore


def look_at_replies(replies: Sequence[Reply], excuse: str | None = None) -> Iterator[Checked]:
    """The checks above, on the replies to some prompts.

    `excuse` says why they need not end, state an answer, be right or earn differently, such as a
    model with random weights; what fails then is untested.
    """
    groups = _groups(replies)
    yield _vary(groups)
    yield _finite(replies)
    for checked in (_rewards_vary(groups), _right(replies), _ends(replies), _answered(replies)):
        is_excused = excuse is not None and checked.state == "failed"
        if is_excused:
            found = f"{checked.found}; {excuse}"
            yield replace(checked, state="untested", found=found, cause=None)
        else:
            yield checked


def _groups(replies: Sequence[Reply]) -> list[list[Reply]]:
    """The replies to each prompt, in the order of the prompts."""
    found: dict[tuple[str, str, int | None], list[Reply]] = {}
    for reply in replies:
        found.setdefault((*reply.sample.group, reply.sample.step), []).append(reply)
    return list(found.values())


def _vary(groups: Sequence[Sequence[Reply]]) -> Checked:
    several = [group for group in groups if len(group) > 1]
    if not several:
        return VARY.untested("no prompt has two replies")

    equal = sum(len({reply.sample.response for reply in group}) == 1 for group in several)
    found = f"{len(several) - equal} of {len(several)} prompts have different replies"
    if not equal:
        return VARY.passed(found)
    if equal < len(several):
        return VARY.passed(f"{found}; the others get the same reply each time")
    cause = "ppo.temperature is too low, or the model knows one reply by heart"
    return VARY.failed(found, cause)


def _finite(replies: Sequence[Reply]) -> Checked:
    known = [reply.score.reward for reply in replies if reply.score.reward is not None]
    finite = [reward for reward in known if math.isfinite(reward)]
    if len(finite) == len(replies):
        return FINITE.passed(f"{len(finite)} rewards from {min(finite):.3g} to {max(finite):.3g}")

    found = f"{len(replies) - len(finite)} of {len(replies)} replies have none"
    return FINITE.failed(found, _unscored(replies))


def _unscored(replies: Sequence[Reply]) -> str:
    """Why the first reply without a reward has none."""
    for reply in replies:
        for part in reply.score.components:
            if part.outcome != "value":
                return f"{part.component}: {part.outcome}: {part.reason or 'no reason given'}"
            if part.value is None or not math.isfinite(part.value):
                return f"{part.component} gives {part.value}"
    return "the parts of the reward have values, and their mixture has none"


def _rewards_vary(groups: Sequence[Sequence[Reply]]) -> Checked:
    rewards = [[r.score.reward for r in group if r.score.reward is not None] for group in groups]
    spread = sum(len(group) > 1 and max(group) - min(group) > _SAME for group in rewards)
    found = f"in {spread} of {len(groups)} groups; {_means(groups)}"
    if spread:
        return REWARDS_VARY.passed(found)
    return REWARDS_VARY.failed(found, _why_equal([reply for group in groups for reply in group]))


def _why_equal(replies: Sequence[Reply]) -> str:
    right = [is_right(reply.score.correctness.value) for reply in replies]
    if not any(right):
        return "no reply is right, and no exploration reward tells them apart"
    if all(right):
        return "every reply is right: the problems are too easy to learn from"
    return "each prompt gets equal rewards: sample more replies to a prompt"


def _right(replies: Sequence[Reply]) -> Checked:
    right = sum(is_right(reply.score.correctness.value) for reply in replies)
    found = f"{right} of {len(replies)}"
    if right:
        return SOME_RIGHT.passed(found)
    cause = (
        "the problems are too hard for this model, it needs SFT first, or the verifier does not "
        "see its answers; of few replies it may be chance"
    )
    return SOME_RIGHT.failed(found, cause)


def _means(groups: Sequence[Sequence[Reply]]) -> str:
    """The mean of each component, such as `exact_match 0.25, length -0.5`."""
    values: dict[str, list[float]] = {}
    for reply in (reply for group in groups for reply in group):
        for part in reply.score.components:
            if part.value is not None:
                values.setdefault(part.component, []).append(part.value)
    means = [f"{name} {statistics.fmean(some):.3g}" for name, some in values.items()]
    return f"mean {', '.join(means)}" if means else "no component has a value"


def _ends(replies: Sequence[Reply]) -> Checked:
    cut = sum(reply.sample.truncated for reply in replies)
    found = f"{cut} of {len(replies)} replies were cut off"
    if cut <= _MOST_TRUNCATED * len(replies):
        return ENDS.passed(found)
    if cut < len(replies):
        return ENDS.failed(found, "raise ppo.max_new_tokens, or ask for shorter replies")
    cause = (
        "the end token never comes: the chat template or the tokenizer's end token is not the one "
        "the model was trained with, or ppo.max_new_tokens is far too low"
    )
    return ENDS.failed(found, cause)


def _answered(replies: Sequence[Reply]) -> Checked:
    # Some verifiers report no answer, and still find one that is right.
    verdicts = [reply.score.correctness for reply in replies]
    found = [one for one in verdicts if one.answer is not None or is_right(one.value)]
    words = f"in {len(found)} of {len(replies)} replies"
    if len(found) >= _FEWEST_ANSWERED * len(replies):
        return ANSWERED.passed(words)
    cause = (
        "replies do not state their answer where the verifier reads it: ask for the form in "
        "data.template, teach it by SFT, or look whether replies are cut off"
    )
    return ANSWERED.failed(words, cause)
