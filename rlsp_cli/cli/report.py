"""`rlsp report`, `rlsp runs list|show|diff`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.command import Commands
from rlsp_cli.cli.options import Json, RunFolder
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.report import Report

_DEEPEST = 3
"""Levels below a folder at which runs are looked for: runs/NAME/TIME is at two."""
_DIGEST_SHOWN = 12
"""Characters of a recipe's digest that are shown."""

runs_app = Commands("List runs, show one, or compare two.")


def report(run: RunFolder, json: Json = False) -> None:
    """Write a run's report again, and print its tables.

    Example: rlsp report runs/quickstart/20260101-120000
    """
    from rlsp_cli.report import write_report

    written = write_report(run)
    if json:
        print_json("report", written.to_json())
    else:
        print_report(written)
        print(run / "report.html")


@runs_app.command("list")
def list_(
    folder: Annotated[
        Path, typer.Argument(help="A folder with runs in it, at most three levels down.")
    ] = Path("runs"),
    json: Json = False,
) -> None:
    """List the runs in a folder, the newest last.

    Example: rlsp runs list .
    """
    # ./runs is not there before the first run, and that is no error.
    if not folder.is_dir() and folder != Path("runs"):
        raise UsageError(f"{folder}: no such folder")

    found: set[Path] = set()
    for depth in range(_DEEPEST + 1):
        found.update(path.parent for path in folder.glob("*/" * depth + "manifest.json"))

    rows = sorted(map(_row, found), key=lambda row: (str(row["created"]), row["run"]))
    if json:
        print_json("runs", rows)
        return

    columns = ["run", "state", "stages", "accuracy %", "created"]
    cells = [
        (row["run"], row["state"], " ".join(row["stages"]), row["accuracy"], row["created"])
        for row in rows
    ]
    print_table(columns, cells)


@runs_app.command()
def show(run: RunFolder, json: Json = False) -> None:
    """Show what a run is, how far it came, and how to resume it.

    Example: rlsp runs show runs/quickstart/20260101-120000
    """
    from rlsp_cli.report import summarise_run

    found = summarise_run(run)
    digest, seed = found.manifest["recipe_digest"][:_DIGEST_SHOWN], found.manifest["seed"]
    checkpoints = [str(path) for path in sorted(run.glob("*/checkpoints/*")) if path.is_dir()]

    # The resolved recipe is complete: it needs neither its parents nor the overrides.
    again = f"rlsp run {run / 'resolved.yaml'}"
    is_done = found.status.state == "done"
    fork = found.manifest.get("forked_from")
    facts = {
        "run": found.root,
        "state": found.status.state,
        "stages": found.status.stages,
        "message": found.status.message,
        "recipe": f"{found.name} {digest}, seed {seed}",
        "created": found.manifest["created"],
        "forked from": fork and f"{fork['run']}, {fork['checkpoint']}: {fork['taken']}",
        "checkpoints": checkpoints,
        "again": again,
        "go on": None if is_done else f"{again} --out {run} --resume",
    }

    if json:
        print_json("run", facts)
    else:
        print_table(["", ""], [(key, _in_words(value)) for key, value in facts.items() if value])


@runs_app.command()
def diff(
    a: RunFolder,
    b: RunFolder,
    json: Json = False,
) -> None:
    """Show what differs between two runs: recipe, versions, data, then metrics.

    It says why two runs may differ and whether their numbers are equal. Whether one model is
    better on the same problems is tested by `rlsp compare`.

    Example: rlsp runs diff runs/math/20260101-120000 runs/math/20260102-120000
    """
    from rlsp_cli.report.diff import diff_runs

    found = diff_runs(a, b)
    if json:
        print_json("runs-diff", found.to_json())
        return

    print(f"A: {a}\nB: {b}\n")
    for table in found.tables:
        print_table(table.columns, table.rows, table.title, table.keys)
        print()
    if not found.recipe:
        print("the recipes are equal")
    for line in found.outcome:
        print(line)


def print_report(report: "Report") -> None:
    """The tables and notes of a report, and last what came out, next to the prompt."""
    for table in report.tables:
        print_table(table.columns, table.rows, table.title, table.keys)
        print()
    for line in (*report.notes, *report.outcome):
        print(line)


def _row(root: Path) -> dict[str, Any]:
    from rlsp_cli.errors import RlspError
    from rlsp_cli.report import summarise_run

    try:
        found = summarise_run(root)
    except RlspError as error:
        # One folder that this version cannot read must not hide the others.
        state = f"unreadable: {error}"
        return {"run": str(root), "state": state, "stages": [], "accuracy": None, "created": None}

    return {
        "run": str(root),
        "state": found.status.state,
        "stages": [f"{stage}:{state}" for stage, state in found.status.stages.items()],
        "accuracy": _accuracies(found),
        "created": found.manifest["created"],
    }


def _accuracies(report: "Report") -> str | None:
    """Every model's accuracy on its first bench, from the first model to the last."""
    from rlsp_cli.report.cells import percent_cell

    # Greedy where there is some: one number that no sampling seed changes.
    accuracies = []
    for model in report.evaluation.models.values():
        for bench in list(model.benches.values())[:1]:
            metrics = bench.greedy or bench.sample
            if metrics:
                accuracies.append(percent_cell(metrics.avg))
    return " -> ".join(accuracies) or None


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return "\n".join(value) if isinstance(value, list) else str(value)
