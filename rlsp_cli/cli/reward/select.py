"""`rlsp reward select`: what a selector would have dropped of a run's rollouts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.options import Json, named_selector
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.reward.cells import from_one, number
from rlsp_cli.cli.tab_completion import selectors
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.rewards.selection import Choice

_MOST = 50
"""Dropped prompts that are shown as a table."""
SelectorName = Annotated[
    str,
    typer.Option(
        "--selector", metavar="NAME", help="A name, or file.py:function.", autocompletion=selectors
    ),
]
SelectorOptions = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Options of the selector: lo=0.1 hi=0.9."),
]


def select(
    run: Annotated[Path, typer.Argument(help="A run with rollouts.")],
    selector: SelectorName,
    options: SelectorOptions = None,
    json: Json = False,
) -> None:
    """Show which prompts of a run's rollouts a selector would have dropped.

    It is asked about the responses to each prompt of each step, without a model.

    Example: rlsp reward select runs/a/1 --selector pass_rate lo=0.1 hi=0.9
    """
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.data import read_samples
    from rlsp_cli.rewards.model_use import models_of
    from rlsp_cli.rewards.selection import Selector, grouped, with_scores
    from rlsp_cli.runs.run import open_run
    from rlsp_cli.runs.shapes import RolloutRow
    from rlsp_cli.runs.stream import read_rows

    opened = open_run(run)
    recipe, file = opened.recipe, opened.paths.stage("ppo").rollouts
    samples = with_scores(read_samples(file), list(read_rows(file, RolloutRow)))

    use = named_selector(selector, options or [], recipe.plugins)
    asked = models_of("selector", use, recipe.plugins).values()
    with (
        served_models(recipe, asked) as models,
        Selector(use, recipe.reward, recipe.plugins, models) as running,
    ):
        _show_choices(running.choose(grouped(samples)), json)


def _show_choices(choices: Sequence["Choice"], json: bool) -> None:
    dropped = [choice for choice in choices if choice.drops_prompt]
    counts = {
        "groups": len(choices),
        "kept": len(choices) - len(dropped),
        "dropped": len(dropped),
    }
    if json:
        named = []
        for choice in dropped:
            first = choice.samples[0]
            named.append({"id": first.id, "step": first.step, "reason": choice.reason})
        print_json("reward-select", {**counts, "dropped_ids": named})
        return

    cells = [(key, count, number(count / len(choices))) for key, count in counts.items()]
    print_table(["", "prompts", "share"], cells)

    # Within the prompts that are kept, a selector may leave out single responses.
    kept = sum(sum(choice.kept) for choice in choices)
    print(f"responses kept: {kept} of {sum(len(choice.kept) for choice in choices)}")
    _show_dropped(dropped)


def _show_dropped(dropped: Sequence["Choice"]) -> None:
    cells = []
    for choice in dropped[:_MOST]:
        first = choice.samples[0]
        cells.append((first.id, from_one(first.step), choice.reason))
    if cells:
        print_table(["id", "step", "reason"], cells, title="\nDropped prompts")
    if len(dropped) > _MOST:
        print(f"and {len(dropped) - _MOST} more: --json has all")
