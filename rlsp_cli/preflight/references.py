"""Problems without reference answers: refused where a verifier or a reward needs one."""

from collections.abc import Iterator, Sequence

from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.plugin_use import ExplorationUse, PluginUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.rows import Rows
from rlsp_cli.recipe.schedule import Schedule
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import get_plugin


def look_at_references(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """An issue for each plugin that needs the answers of problems with `answer: none`."""
    reward = recipe.reward
    if "ppo" in stages:
        for key in _without_answers(recipe, "prompts"):
            if weighs_correctness(reward):
                yield from _needed(recipe, key, "reward.correctness", reward.correctness)
            for number, use in enumerate(reward.exploration):
                yield from _needed(recipe, key, f"reward.exploration.{number}", use)

    # A held-out problem is only judged: there is nothing that the verdict could be left out of.
    in_eval = "eval" in stages and recipe.eval and "heldout" in recipe.eval.benches
    in_ppo = "ppo" in stages and recipe.ppo and recipe.ppo.eval_every
    if in_eval or in_ppo:
        for key in _without_answers(recipe, "heldout"):
            yield from _needed(recipe, key, "reward.correctness", reward.correctness)


def weighs_correctness(reward: Reward) -> bool:
    """Whether the verdict reaches the reward; without weight the verifier only finds answers."""
    alpha = reward.alpha
    never = alpha.start == alpha.end == 0 if isinstance(alpha, Schedule) else alpha == 0
    return not reward.is_linear or not never


def _without_answers(recipe: Recipe, role: str) -> list[str]:
    """The keys of the sources of this role that have no reference answers."""
    sources: dict[str, Rows] = recipe.data.sources(role)
    return [key for key, rows in sources.items() if not getattr(rows, "has_references", True)]


def _needed(recipe: Recipe, key: str, place: str, use: PluginUse) -> Iterator[Issue]:
    kind = use.kind if isinstance(use, ExplorationUse) else "verifier"
    if not get_plugin(kind, use.use, recipe.plugins).needs_reference:
        return

    message = f"{use.use} needs reference answers, and {key} has none (answer: none)"
    hint = "name the column of the answers, or use a verifier that reads none"
    if place == "reward.correctness" and key.startswith("data.prompts"):
        hint = (
            "name the column of the answers, or set reward.alpha: 0 beside a reward that needs "
            "none, such as majority_agreement"
        )
    yield Issue(place, message, hint)
