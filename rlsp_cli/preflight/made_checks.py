"""What made replies show of a recipe's reward: whether it tells right from wrong at all."""

import math
from collections.abc import Iterator, Sequence

from rlsp_cli.errors import DataError
from rlsp_cli.preflight.checked import Check, Checked
from rlsp_cli.preflight.made_replies import GOLD, MadeReplies, TokenCount, score_made_replies
from rlsp_cli.preflight.reward import asks_a_server, without_servers
from rlsp_cli.preflight.solutions import look_at_references_of
from rlsp_cli.preflight.taught import demonstrations, where_shown
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import SampleScore, Score, is_right
from rlsp_cli.terminal import printable

GOLD_RIGHT = Check("gold is right", "the verifier accepts the reference answer of a problem")
WRONG_WRONG = Check("wrong is wrong", "the verifier refuses another problem's answer")
EMPTY_WRONG = Check("empty is wrong", "empty, unfinished and repetitive replies are not right")
SCORED = Check("replies are scored", "every part of the reward gives a finite value in time")
RIGHT_PAYS = Check("right pays more", "a right reply earns more than a wrong one")
EXPLORATION = Check("exploration varies", "each exploration reward tells some replies apart")
FORM_ASKED = Check("the form is asked for", "prompts or traces show the form that is verified")
ROOM = Check("room for an answer", "a whole reply fits into ppo.max_new_tokens")

_NOT_AN_ANSWER = {
    "code_exec": "a program that passes the tests",
    "sql_result": "a query",
    "json_schema": "a document of the schema",
    "testbench": "a design that passes the bench",
    "ifeval": "a text that keeps the instructions",
    "instruction_constraints": "a text that keeps the instructions",
    "countdown": "an expression",
    "reasoning_gym": "an answer that the task's own scorer accepts",
    "procbench": "the steps of a procedure",
}
"""Verifiers of other things than the reference, and what they read."""
_SAME = 1e-9
_SHORTEST = "So \\boxed{42}"
_SHOWN = 60
"""Characters of a reference that are shown."""


def look_at_made_replies(recipe: Recipe, count: TokenCount) -> Iterator[Checked]:
    """The checks above, on replies made for the first problems of `data.prompts`."""
    if why := _untestable(recipe):
        yield GOLD_RIGHT.untested(f"{why}; nothing was tried on made replies")
        return
    if recipe.reward.correctness.use not in _NOT_AN_ANSWER:
        yield from look_at_references_of(recipe)
    try:
        made = score_made_replies(_without_servers(recipe), count)
    except DataError as error:
        cause = "data.prompts.answer names the wrong column, or the data are too few"
        yield GOLD_RIGHT.failed(str(error), cause)
        return

    yield _gold(recipe, made)
    yield _wrong(recipe, made)
    yield _empty(made)
    yield _scored(made)
    yield _pays(recipe, made)
    yield from _exploration(recipe, made)
    yield _asked(recipe, made)
    yield _room(recipe, count)


def _untestable(recipe: Recipe) -> str | None:
    """Why no reply can be made that the verifier should accept."""
    verifier = recipe.reward.correctness
    if asks_a_server(recipe, "verifier", verifier):
        return f"{verifier.use} asks a model, which is not asked here"
    if not all(source.has_references for source in recipe.data.prompt_sources):
        return "the problems have no reference answers"
    if not get_plugin("verifier", verifier.use, recipe.plugins).needs_reference:
        return f"{verifier.use} judges without a reference, so no reply is known to be right"
    return None


def _without_servers(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"reward": without_servers(recipe, recipe.reward)})


def _gold(recipe: Recipe, made: MadeReplies) -> Checked:
    whole, verifier = len(made.cases), recipe.reward.correctness.use
    found = f"{made.right} of {whole} references are accepted by {verifier}"
    if made.right == whole:
        return GOLD_RIGHT.passed(f"{found}, stated in {', '.join(made.forms) or 'several forms'}")
    if not made.right and verifier in _NOT_AN_ANSWER:
        reads = _NOT_AN_ANSWER[verifier]
        return GOLD_RIGHT.untested(f"{verifier} reads {reads}; give rows one in a column `gold`")

    case = next(c for c, forms in zip(made.cases, made.accepted, strict=True) if not forms)
    reason = made.scores["right"][made.cases.index(case)].correctness.reason
    shown = f"{found}; not {printable(case.reference, _SHOWN)!r} of row {case.sample.id}"
    cause = (
        "data.prompts.answer names the wrong column, or the verifier compares something else; "
        "rlsp reward try shows what it reads"
    )
    return GOLD_RIGHT.failed(f"{shown}: {reason}" if reason else shown, cause)


def _wrong(recipe: Recipe, made: MadeReplies) -> Checked:
    accepted = _count_right(made.scores["wrong"])
    found = f"{accepted} of {len(made.cases)} wrong answers are accepted"
    if not accepted:
        return WRONG_WRONG.passed(found)
    cause = f"{recipe.reward.correctness.use} accepts too much: rlsp reward audit shows what"
    return WRONG_WRONG.failed(found, cause)


def _empty(made: MadeReplies) -> Checked:
    kinds = ("empty", "cut short", "repetitive")
    accepted = {kind: _count_right(made.scores[kind]) for kind in kinds}
    found = ", ".join(f"{kind}: {number} right" for kind, number in accepted.items())
    if not any(accepted.values()):
        return EMPTY_WRONG.passed(found)
    return EMPTY_WRONG.failed(found, "the verifier finds an answer where there is none")


def _scored(made: MadeReplies) -> Checked:
    scores = [score for of_kind in made.scores.values() for score in of_kind]
    parts = [part for score in scores for part in score.components]
    broken = [part for part in parts if part.failed or _is_not_finite(part)]
    # To abstain is fine where there is no answer, and not where there is one.
    broken += [s.correctness for s in made.scores["right"] if s.correctness.outcome == "abstain"]
    if not broken:
        slowest = max(part.ms for part in parts)
        return SCORED.passed(f"{len(scores)} replies; the slowest call took {slowest:.0f} ms")

    first = broken[0]
    found = f"{len(broken)} of {len(parts)} scores; {first.component}: {first.outcome}"
    cause = f"{first.reason or f'its value is {first.value}'}"
    return SCORED.failed(found, cause)


def _is_not_finite(part: Score) -> bool:
    return part.value is not None and not math.isfinite(part.value)


def _pays(recipe: Recipe, made: MadeReplies) -> Checked:
    pairs = list(zip(made.scores["right"], made.scores["wrong"], strict=True))
    known = [
        (a.reward, b.reward) for a, b in pairs if a.reward is not None and b.reward is not None
    ]
    more = sum(right > wrong + _SAME for right, wrong in known)
    if not known:
        return RIGHT_PAYS.untested("no such pair of replies has a reward")

    right, wrong = known[0]
    found = f"in {more} of {len(known)} pairs; the first earns {right:.3g} against {wrong:.3g}"
    if more == len(known):
        return RIGHT_PAYS.passed(found)
    if not made.right:
        if recipe.reward.correctness.use in _NOT_AN_ANSWER:
            return RIGHT_PAYS.untested("no right reply is known")
        return RIGHT_PAYS.failed(found, "no right reply is accepted: reward 0 for ever, see above")
    if recipe.reward.is_linear and recipe.reward.alpha == 0:
        return RIGHT_PAYS.untested("reward.alpha is 0: the recipe does not pay for right replies")
    cause = "an exploration reward outweighs correctness: raise reward.alpha, or lower its weight"
    return RIGHT_PAYS.failed(found, cause)


def _exploration(recipe: Recipe, made: MadeReplies) -> Iterator[Checked]:
    """A check of each exploration reward that was asked."""
    uses = without_servers(recipe, recipe.reward).exploration
    for number, use in enumerate(uses):
        scores = [one for of_kind in made.scores.values() for one in of_kind]
        found = [one.exploration[number].value for one in scores]
        values = {value for value in found if value is not None}
        yield _varies(use.use, sorted(values), len(scores))
    for use in recipe.reward.exploration:
        if asks_a_server(recipe, use.kind, use):
            yield EXPLORATION.untested(f"{use.use} asks a model, which is not asked here")


def _varies(name: str, values: Sequence[float], replies: int) -> Checked:
    if not values:
        return EXPLORATION.untested(f"{name} gave no value to any of {replies} replies")
    found = f"{name}: {values[0]:.3g} to {values[-1]:.3g} over {replies} replies"
    if values[-1] - values[0] > _SAME:
        return EXPLORATION.passed(found)
    if values[0] == 0:
        return EXPLORATION.untested(f"{found}; it may look for something that they do not have")
    cause = "it is the same for short, long, empty and repetitive replies: look at its options"
    return EXPLORATION.failed(found, f"{cause}, such as a `scale` beyond ppo.max_new_tokens")


def _asked(recipe: Recipe, made: MadeReplies) -> Checked:
    forms = [form for form in made.forms if form != GOLD]
    if not forms:
        return FORM_ASKED.untested("it is not known in which form the verifier accepts an answer")
    if shown := where_shown(recipe, forms):
        return FORM_ASKED.passed(shown)

    found = f"{recipe.reward.correctness.use} reads {' or '.join(forms)}, which nothing asks for"
    cause = "say in data.template how to state the answer, or take a verifier that reads more"
    return FORM_ASKED.failed(found, cause)


def _room(recipe: Recipe, count: TokenCount) -> Checked:
    if recipe.ppo is None:
        return ROOM.untested("there is no ppo")

    limit = recipe.ppo.max_new_tokens
    texts = list(demonstrations(recipe)) or [_SHORTEST]
    lengths = sorted(map(count, texts))
    middle = lengths[len(lengths) // 2]
    whose = "a middling trace" if len(texts) > 1 else "the shortest reply"
    found = f"{limit} tokens, beside {middle} of {whose}"
    if middle <= limit:
        return ROOM.passed(found)
    cause = "replies are cut off before their answer, which is never right: raise max_new_tokens"
    return ROOM.failed(found, cause)


def _count_right(scores: Sequence[SampleScore]) -> int:
    return sum(is_right(score.correctness.value) for score in scores)
