"""`rlsp compare`: are two evaluations different?"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from rlsp_cli.cli.options import Json
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.terminal import print

Before = Annotated[
    Path,
    typer.Argument(help="An evaluated run (its last model), RUN/eval/MODEL, or a samples.jsonl."),
]
After = Annotated[Path, typer.Argument(help="The same, of the other model.")]
AllowDifferences = Annotated[
    bool,
    typer.Option("--allow-differences", help="Compare although bench, prompts or verifier differ."),
]


def compare(
    a: Before, b: After, allow_differences: AllowDifferences = False, json: Json = False
) -> None:
    """Test whether two evaluations differ, problem by problem.

    `rlsp runs diff` shows what differs between two runs' recipes, versions, data and curves.

    Example: rlsp compare runs/eval-before/20260101-120000 runs/eval-after/20260101-130000
    """
    from rlsp_cli.evals.compare import compare as compare_answers
    from rlsp_cli.evals.saved_answers import read_answers, short_names
    from rlsp_cli.report.evaluation import difference_table

    found = compare_answers(read_answers(a), read_answers(b), allow_differences)
    if json:
        print_json("compare", found.to_json())
        return

    # Whole paths would take the width of the table: a legend has them, and the table short names.
    first = found.comparisons[0]
    names = short_names(first.before, first.after)
    for name, place in names.items():
        print(f"{name}: {place}")

    short = {place: name for name, place in names.items()}
    renamed = [
        replace(one, before=short[one.before], after=short[one.after]) for one in found.comparisons
    ]
    table = difference_table(renamed)
    print_table(table.columns, table.rows, table.title, table.keys)

    # Allowed differences are named, since they may be all that the table shows.
    for line in found.differs:
        print(line)
