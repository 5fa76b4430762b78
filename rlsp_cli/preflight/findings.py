"""What would stop or spoil a run, seen before its first stage starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.evals.scorer_benches import check_measured
from rlsp_cli.preflight.continuation import look_at_continuation
from rlsp_cli.preflight.data import look_at_data
from rlsp_cli.preflight.model import look_at_model
from rlsp_cli.preflight.references import look_at_references
from rlsp_cli.preflight.reward import look_at_reward
from rlsp_cli.preflight.schedule import look_at_schedule
from rlsp_cli.preflight.search import look_at_search
from rlsp_cli.preflight.selector import look_at_selector
from rlsp_cli.recipe.issue import Issue, Note, notes_among, stopping
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.model_use import unused_models


@dataclass(frozen=True)
class Findings:
    """`issues` stop the run, `notes` do not."""

    issues: tuple[Issue, ...]
    notes: tuple[Note, ...]


def preflight(recipe: Recipe, stages: Sequence[str], ask_hub: bool = False) -> Findings:
    """Look at the data, the model and the plugins of `stages`: files, columns, and one scored row.

    Loads no library of the engine. Sources on the hub are looked at only with `ask_hub`; without it
    there is a note on each.
    """
    found = [
        *look_at_model(recipe, stages, ask_hub),
        *look_at_data(recipe, stages, ask_hub),
        *look_at_schedule(recipe, stages),
        *look_at_references(recipe, stages),
        *look_at_reward(recipe, stages),
        *look_at_selector(recipe, stages),
        *look_at_search(recipe, stages),
        *look_at_continuation(recipe, stages),
        *unused_models(recipe),
        *check_measured(recipe),
    ]

    return Findings(tuple(stopping(found)), tuple(notes_among(found)))
