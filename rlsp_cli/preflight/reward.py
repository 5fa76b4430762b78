"""The rewards of a recipe, tried on one real row: a plugin that breaks on it will break in training."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from rlsp_cli.data import Problem
from rlsp_cli.errors import PluginError, RlspError
from rlsp_cli.preflight.data import first_row
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.schema import PluginUse, Prompts, Recipe, Reward
from rlsp_cli.rewards.audit import honest
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.sample import Sample, SampleScore, Score, is_right
from rlsp_cli.rewards.scorer import Scorer

_OF_LENGTH = "length"
"""The exploration reward that sees nothing but the number of tokens."""


def look_at_reward(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """Score a response with the reference of the first row; a component that breaks is a problem."""
    row = _first_row(recipe, stages)
    if row is None:
        return
    trains = recipe.ppo is not None and "ppo" in stages
    reward = _without_servers(
        recipe.reward if trains else recipe.reward.model_copy(update={"exploration": ()})
    )
    yield from (
        Note(f"reward.exploration.{number}", f"{use.use} asks a server and was not tried")
        for number, use in enumerate(recipe.reward.exploration)
        if trains and _asks_a_server(use)
    )
    if _asks_a_server(reward.correctness):
        yield Note(
            "reward.correctness", f"{reward.correctness.use} asks a server and was not tried"
        )
        return
    try:
        yield from _broken(recipe, row, _score(recipe, reward, row))
    except PluginError as error:
        yield Issue("reward", str(error))


def _first_row(recipe: Recipe, stages: Sequence[str]) -> Problem | None:
    """The first row that the recipe's verifier will judge; None where none can be read here."""
    prompts, heldout = recipe.data.prompts, recipe.data.heldout
    judged: list[Prompts | None] = [prompts] if "ppo" in stages else []
    if "eval" in stages and recipe.eval and "heldout" in recipe.eval.benches:
        judged.append(heldout)

    for rows in judged:
        if rows is not None and not rows.on_hub:
            with suppress(RlspError):
                return first_row(rows, recipe)
    return None


def _asks_a_server(use: PluginUse) -> bool:
    """Whether a score costs a call."""
    return "base_url" in use.options


def _without_servers(reward: Reward) -> Reward:
    """The same reward in one process, without a cache and without what asks a server."""
    here = tuple(use for use in reward.exploration if not _asks_a_server(use))
    return reward.model_copy(update={"exploration": here, "workers": 1, "cache": None})


def _score(recipe: Recipe, reward: Reward, row: Problem) -> list[SampleScore]:
    """Scores of the reference as an answer: as long as it is, of one token, and of the most there can be."""
    text = str(row.metadata.get("gold") or honest(row.answer))
    most = recipe.ppo.max_new_tokens if recipe.ppo else None
    samples = [Sample(row.problem, text, row.answer, row.id, row.metadata, len(text.split()), most)]

    if most and any(use.use == _OF_LENGTH for use in reward.exploration):
        samples += [replace(samples[0], id=f"{row.id}-{n}", num_tokens=n) for n in (1, most)]

    with Scorer(reward, recipe.plugins) as scorer:
        return scorer.score(samples, alpha_of(recipe, 0))


def _broken(recipe: Recipe, row: Problem, scores: list[SampleScore]) -> Iterator[Issue]:
    """What the first score says of the rewards, and the others of the length reward."""
    first = scores[0]
    for part in first.components:
        if part.outcome == "error":
            yield Issue(
                _place(recipe, part),
                f"{part.component} breaks on the first row (id {row.id}): {part.reason}",
            )
        elif part.outcome == "timeout":
            yield Note(
                _place(recipe, part),
                f"{part.component} on the first row (id {row.id}): {part.reason}",
            )

    if first.correctness.outcome in ("value", "abstain") and not is_right(first.correctness.value):
        shown = "gives no value to" if first.correctness.value is None else "calls wrong"
        message = f"{first.correctness.component} {shown} the reference of the first row, \\boxed{{{row.answer}}}"
        hint = "fine where a reference is not an answer, such as tests, a schema or a query; else see `rlsp reward try`"
        yield Note("reward.correctness", message, hint)

    yield from _constant(recipe, scores[1:])


def _constant(recipe: Recipe, scores: list[SampleScore]) -> Iterator[Issue]:
    """A length reward that is the same for the shortest and the longest response."""
    values = {
        part.value for score in scores for part in score.exploration if part.component == _OF_LENGTH
    }
    use = next((use for use in recipe.reward.exploration if use.use == _OF_LENGTH), None)
    if use is not None and recipe.ppo and len(scores) == 2 and len(values) == 1:
        message = f"length is {values.pop()} for every response of at most {recipe.ppo.max_new_tokens} tokens"
        hint = f"lower its scale, {use.options['scale']:g}, or raise ppo.max_new_tokens"
        yield Note(f"reward.exploration.{recipe.reward.exploration.index(use)}", message, hint)


def _place(recipe: Recipe, part: Score) -> str:
    names = [use.use.rpartition(":")[2] for use in recipe.reward.exploration]
    return (
        f"reward.exploration.{names.index(part.component)}"
        if part.component in names
        else "reward.correctness"
    )
