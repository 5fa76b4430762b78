"""`rlsp reward diff`: a run's rollouts under another reward."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rlsp_cli.cli.options import Json, Overrides, Tokenizer
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.reward.cells import from_one, number
from rlsp_cli.cli.reward.scoring import load, scorer_of

OtherRecipe = Annotated[
    str | None,
    typer.Option(metavar="RECIPE", help="Score by this recipe; by default by the run's own."),
]


def diff(
    run: Annotated[Path, typer.Argument(help="A run with rollouts.")],
    overrides: Overrides = None,
    recipe: OtherRecipe = None,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    """Score a run's rollouts again, with another reward.

    Counts flipped verdicts, and compares rewards and advantages.

    Example: rlsp reward diff runs/a/1 reward.combine=gated_correct
    """
    from rlsp_cli.data import read_samples
    from rlsp_cli.rewards.combine import alpha_of
    from rlsp_cli.rewards.rescore import rescore
    from rlsp_cli.rewards.token_count import token_counter
    from rlsp_cli.runs.run import open_run
    from rlsp_cli.runs.shapes import RolloutRow
    from rlsp_cli.runs.stream import read_rows

    # The run's own recipe, so that one override changes one thing.
    paths = open_run(run).paths
    loaded = load(recipe or str(paths.resolved), overrides or [])
    file = paths.stage("ppo").rollouts
    rows = list(read_rows(file, RolloutRow))
    samples = read_samples(file, token_counter(loaded.model, tokenizer))

    # Each step with the alpha that it had, which a schedule changes.
    with scorer_of(loaded) as scorer:
        found = rescore(
            rows, samples, lambda part, step: scorer.score(part, alpha_of(loaded, step))
        )
    if json:
        print_json("reward-diff", found.to_json())
        return

    facts = {key: value for key, value in found.to_json().items() if key != "flips"}
    print_table(["", ""], [(key.replace("_", " "), number(value)) for key, value in facts.items()])
    if found.flips:
        _show_flips(found.flips)


def _show_flips(flips: Sequence[dict[str, Any]]) -> None:
    cells = []
    for flip in flips:
        answers = (flip["reference"], flip["answer_before"], flip["answer_now"])
        cells.append(
            (flip["id"], from_one(flip["step"]), *answers, "right" if flip["now"] else "wrong")
        )

    columns = ["id", "step", "reference", "answer before", "answer now", "now"]
    print_table(columns, cells, title="Flipped verdicts, the first of them")
