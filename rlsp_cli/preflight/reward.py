"""A trial of the rewards on one real row: a plugin that breaks on it will break in training."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from rlsp_cli.data import Problem
from rlsp_cli.errors import PluginError, RlspError
from rlsp_cli.preflight.data import first_row
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.plugin_use import ExplorationUse, Penalise, PluginUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.rows import Prompts
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.audit import honest
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.model_use import models_of
from rlsp_cli.rewards.sample import Sample, SampleScore, Score, is_right
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.step_scoring import Stepped, StepScorer
from rlsp_cli.rewards.steps import is_bounded, split_steps

_OF_LENGTH = "length"
"""The exploration reward that sees nothing but the number of tokens."""
_ANY_ANSWER = "42"
"""What a response states to a problem without a reference."""


def look_at_reward(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """Score a response with the reference of the first row; issues of components that break."""
    row = _first_row(recipe, stages)
    if row is None:
        return

    # Only training asks for exploration rewards.
    trains = recipe.ppo is not None and "ppo" in stages
    exploration = recipe.reward.exploration if trains else ()
    for number, use in enumerate(exploration):
        if asks_a_server(recipe, use.kind, use):
            place = f"reward.exploration.{number}"
            yield Note(place, f"{use.use} asks a model and was not tried")

    yield from _farmable(exploration)
    yield from _looking_ahead(recipe, exploration, row)

    verifier = recipe.reward.correctness
    if asks_a_server(recipe, "verifier", verifier):
        yield Note("reward.correctness", f"{verifier.use} asks a model and was not tried")
        return

    reward = recipe.reward.model_copy(update={"exploration": exploration})
    try:
        yield from _broken(recipe, row, _score(recipe, without_servers(recipe, reward), row))
    except PluginError as error:
        yield Issue("reward", str(error))


def _first_row(recipe: Recipe, stages: Sequence[str]) -> Problem | None:
    """The first row that the recipe's verifier will judge; None where none can be read here."""
    judged: list[Prompts] = [*recipe.data.prompt_sources] if "ppo" in stages else []
    heldout = recipe.data.heldout
    if heldout and "eval" in stages and recipe.eval and "heldout" in recipe.eval.benches:
        judged.append(heldout)

    for rows in judged:
        if not rows.on_hub:
            with suppress(RlspError):  # reported with the data
                return first_row(rows, recipe)
    return None


def _farmable(exploration: Sequence[ExplorationUse]) -> Iterator[Note]:
    """A note on each sum of step values that grows with every further step."""
    for number, use in enumerate(exploration):
        if use.steps and use.steps.aggregate == "sum" and not is_bounded(use.steps.refine):
            message = f"{use.use} pays for every further step, so that repeated steps earn too"
            hint = "bound it with refine: [clip, delta], or watch for the alarm repeated_steps"
            yield Note(f"reward.exploration.{number}.steps.refine", message, hint)


def _looking_ahead(
    recipe: Recipe, exploration: Sequence[ExplorationUse], row: Problem
) -> Iterator[Issue]:
    """An issue for each step scorer whose scores change when later steps are cut off."""
    stated = _stated(recipe, row)
    steps = tuple(step.text for step in split_steps(stated.response, "sentences"))
    limits = recipe.reward.model_copy(update={"workers": 1})

    for number, use in enumerate(exploration):
        if use.steps is None or asks_a_server(recipe, use.kind, use):
            continue
        try:
            with StepScorer(use, limits, recipe.plugins) as scorer:
                change = scorer.change_without_later_steps(Stepped(stated, steps))
        except PluginError:
            continue  # reported where all rewards are tried
        if change is not None:
            hint = "let it depend on a step and those before it: others are not there in a search"
            yield Issue(f"reward.exploration.{number}", f"{use.use}: {change}", hint)


def asks_a_server(recipe: Recipe, kind: str, use: PluginUse) -> bool:
    """Whether a plugin asks a model or a server, which a trial leaves alone."""
    # Such a server may not run yet, a call may cost money, and to load a model takes minutes.
    return "base_url" in use.options or bool(models_of(kind, use, recipe.plugins))


def without_servers(recipe: Recipe, reward: Reward) -> Reward:
    """The same reward in one process, without a cache and without what asks a server."""
    here = tuple(use for use in reward.exploration if not asks_a_server(recipe, use.kind, use))
    return reward.model_copy(update={"exploration": here, "workers": 1, "cache": None})


def _stated(recipe: Recipe, row: Problem) -> Sample:
    """A response that states the reference."""
    # Where the reference is no answer, such as tests of a program, a row may bring a solution.
    text = str(row.metadata.get("gold") or honest(row.answer or _ANY_ANSWER))
    return Sample(
        prompt=row.problem,
        response=text,
        reference=row.answer,
        id=row.id,
        metadata=row.metadata,
        num_tokens=len(text.split()),
        max_tokens=recipe.ppo.max_new_tokens if recipe.ppo else None,
    )


def _score(recipe: Recipe, reward: Reward, row: Problem) -> list[SampleScore]:
    """Scores of a response that states the reference.

    With a length reward it is scored twice more: as of one token, and as of the most there can be.
    """
    stated = _stated(recipe, row)
    most = stated.max_tokens
    samples = [stated]
    if most and any(use.use == _OF_LENGTH for use in reward.exploration):
        for tokens in (1, most):
            samples.append(replace(stated, id=f"{row.id}-{tokens}", num_tokens=tokens))

    with Scorer(reward, recipe.plugins) as scorer:
        return scorer.score(samples, alpha_of(recipe, 0))


def _broken(recipe: Recipe, row: Problem, scores: list[SampleScore]) -> Iterator[Issue]:
    """Issues of components that break on the first response; notes on what surprises."""
    first, *others = scores
    for part in first.components:
        place = _place(recipe, part)
        if part.outcome == "error":
            message = f"{part.component} breaks on the first row (id {row.id}): {part.reason}"
            yield Issue(place, message)

        # This machine may be slower, or busier, than the one that trains.
        elif part.outcome == "timeout":
            yield Note(place, f"{part.component} on the first row (id {row.id}): {part.reason}")

    verdict = first.correctness
    if row.answer is None:
        yield from _without_reference(recipe, row, verdict)
    elif verdict.outcome in ("value", "abstain") and not is_right(verdict.value):
        judged = "gives no value to" if verdict.value is None else "calls wrong"
        answer = f"\\boxed{{{row.answer}}}"
        message = f"{verdict.component} {judged} the reference of the first row, {answer}"
        hint = (
            "fine where a reference is not an answer, such as tests, a schema or a query; "
            "else see `rlsp reward try`"
        )
        yield Note("reward.correctness", message, hint)

    yield from _constant(recipe, others)


def _without_reference(recipe: Recipe, row: Problem, verdict: Score) -> Iterator[Issue]:
    """An issue if the verifier gives no value, without which a response has no reward."""
    policy = recipe.reward.correctness.on_abstain
    if verdict.outcome == "abstain" and not isinstance(policy, Penalise):
        message = (
            f"{verdict.component} abstains without a reference answer (row {row.id}), "
            "so that no response would get a reward"
        )
        hint = "use another verifier, such as math_verify, or set on_abstain: {penalise: 0}"
        yield Issue("reward.correctness", message, hint)


def _constant(recipe: Recipe, scores: list[SampleScore]) -> Iterator[Issue]:
    """A note on a length reward that is the same for the shortest and the longest response."""
    if recipe.ppo is None or len(scores) != 2:
        return

    values = set()
    for score in scores:
        values |= {part.value for part in score.exploration if part.component == _OF_LENGTH}

    # With too large a scale all of them get the floor, and the reward teaches nothing.
    for number, use in enumerate(recipe.reward.exploration):
        if use.use == _OF_LENGTH and len(values) == 1:
            most = recipe.ppo.max_new_tokens
            message = f"length is {values.pop()} for every response of at most {most} tokens"
            hint = f"lower its scale, {use.options['scale']:g}, or raise ppo.max_new_tokens"
            yield Note(f"reward.exploration.{number}", message, hint)
            return


def _place(recipe: Recipe, part: Score) -> str:
    """The key of the recipe that a score's component comes from."""
    # A plugin of a file is named `file.py:function`, and its scores by the function alone.
    names = [use.use.rpartition(":")[2] for use in recipe.reward.exploration]
    if part.component in names:
        return f"reward.exploration.{names.index(part.component)}"
    return "reward.correctness"
