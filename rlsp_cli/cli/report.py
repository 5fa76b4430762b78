"""`rlsp report`, `rlsp runs list|show`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.options import Json, RunFolder
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.report import Report

runs_app = typer.Typer(help="List runs, and show one.", no_args_is_help=True)


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
        Path, typer.Argument(help="Folder to look in; ./runs when not given.")
    ] = Path("runs"),
    json: Json = False,
) -> None:
    """List the runs of a folder, three levels deep, the newest last.

    Example: rlsp runs list .
    """
    if not folder.is_dir() and folder != Path("runs"):
        raise UsageError(f"{folder}: no such folder")
    found = {
        path.parent for depth in range(4) for path in folder.glob("*/" * depth + "manifest.json")
    }
    rows = sorted(map(_row, found), key=lambda row: (str(row["created"]), row["run"]))
    if json:
        print_json("runs", rows)
    else:
        columns = ["run", "state", "stages", "accuracy %", "created"]
        print_table(
            columns,
            [
                (r["run"], r["state"], " ".join(r["stages"]), r["accuracy"], r["created"])
                for r in rows
            ],
        )


@runs_app.command()
def show(run: RunFolder, json: Json = False) -> None:
    """Show what a run is, how far it came, and how to go on.

    Example: rlsp runs show runs/quickstart/20260101-120000
    """
    from rlsp_cli.report import summarise_run

    found = summarise_run(run)
    facts = {
        "run": found.root,
        "state": found.status["state"],
        "stages": found.status["stages"],
        "message": found.status.get("message"),
        "recipe": f"{found.name} {found.manifest['recipe_digest'][:12]}, seed {found.manifest['seed']}",
        "created": found.manifest["created"],
        "checkpoints": [str(path) for path in sorted(run.glob("*/checkpoints/*")) if path.is_dir()],
        "again": f"rlsp run {run / 'resolved.yaml'}",
        "go on": f"rlsp run {run / 'resolved.yaml'} --out {run} --resume"
        if found.status["state"] != "done"
        else None,
    }
    if json:
        print_json("run", facts)
    else:
        print_table(["", ""], [(key, _words(value)) for key, value in facts.items() if value])


def print_report(report: "Report") -> None:
    """The tables and notes of a report, and last what came out."""
    for table in report.tables:
        print_table(table.columns, table.rows, table.title, table.keys)
        print()
    for line in (*report.notes, *report.outcome):
        print(line)


def _row(root: Path) -> dict[str, Any]:
    from rlsp_cli.errors import RlspError
    from rlsp_cli.report import summarise_run
    from rlsp_cli.report.cells import percent_cell

    try:
        found = summarise_run(root)
    except RlspError as error:  # one folder that this version cannot read must not hide the others
        return {
            "run": str(root),
            "state": f"unreadable: {error}",
            "stages": [],
            "accuracy": None,
            "created": None,
        }
    accuracies = []
    for model in found.evaluation.models.values():
        for bench in list(model.benches.values())[:1]:
            metrics = bench.greedy or bench.sample
            if metrics:
                accuracies.append(percent_cell(metrics.avg))
    return {
        "run": str(root),
        "state": found.status["state"],
        "stages": [f"{stage}:{state}" for stage, state in found.status["stages"].items()],
        "accuracy": " -> ".join(accuracies) or None,
        "created": found.manifest["created"],
    }


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return "\n".join(value) if isinstance(value, list) else str(value)
