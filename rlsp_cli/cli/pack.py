"""`rlsp pack` and `rlsp reproduce`: a run as one file, and its numbers again elsewhere."""

import shlex
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.options import Json, Overrides, RunFolder
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.pack import Archive, Difference
    from rlsp_cli.report.diff import RunDiff

_ENDING = ".rlsp.zip"
_DIGEST_SHOWN = 12


def pack(
    run: RunFolder,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The archive; by default NAME-RUN.rlsp.zip."),
    ] = None,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Put the files of training data into it.")
    ] = False,
    json: Json = False,
) -> None:
    """Pack a run into one file that others can reproduce.

    It has recipes, compiled jobs, plugins, versions, seeds, fingerprints of data and model,
    metrics, report and card; no weights, no responses, and no data unless you ask.

    Example: rlsp pack runs/quickstart/20260101-120000 --out quickstart.rlsp.zip
    """
    from rlsp_cli.pack import contents_of, write_archive

    contents = contents_of(run, with_data)
    path = out or Path(f"{contents.index.name}-{run.absolute().name}{_ENDING}")
    write_archive(path, contents.index, contents.files)

    for note in contents.notes:
        print(f"note: {note}; the archive has it as it is now", file=sys.stderr)
    if json:
        print_json("pack", {"file": str(path), "files": [f.name for f in contents.files]})
    else:
        print(f"{path}: {len(contents.files)} files, {path.stat().st_size:,} bytes")


def reproduce(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of `rlsp pack`.")],
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="New folder; by default runs/NAME/TIME."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Run it without asking, once the differences are shown.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a packed run again, and compare the numbers.

    What differs here from where it was packed is shown first. FOLDER gets
    `archive`, the unpacked file, and `run`, the new run. Plugins of an archive
    are code: nothing of it runs before you have seen their names and agreed.

    Example: rlsp reproduce quickstart.rlsp.zip --out again

    Example: rlsp reproduce math.rlsp.zip data.prompts.source=./math.jsonl --yes
    """
    from rlsp_cli.pack import differences, local_recipe, open_archive
    from rlsp_cli.recipe.load import resolve_recipe
    from rlsp_cli.runs.run import free_folder

    found = open_archive(archive)
    if out is not None:
        free_folder(found.index.name, out)  # refused now, and not after the differences are read

    recipe = local_recipe(found, Path("archive"), overrides or [])
    resolve_recipe(deepcopy(recipe))  # without its plugins, whose code nobody has agreed to yet
    facts = differences(found, recipe)
    if not json:
        _print_differences(found, facts, recipe)
    elif not yes:
        print_json("differences", _facts_json(facts))
    _agree(yes, archive)

    root = free_folder(found.index.name, out)
    path = _unpack(found, local_recipe(found, root / "archive", overrides or []), root)
    diff = _run(path, root)
    if json:
        said = {"root": str(root), "differences": _facts_json(facts), "diff": diff.to_json()}
        print_json("reproduce", said)
    else:
        _print_numbers(diff, root)


def _print_differences(
    archive: "Archive", facts: "Sequence[Difference]", recipe: dict[str, Any]
) -> None:
    """What differs, then the code that the archive brings, then what its recipe may do."""
    from rlsp_cli.pack import powers

    differ = [fact for fact in facts if not fact.is_same]
    rows = [(fact.what, _short(fact.there), _short(fact.here)) for fact in differ]
    if rows:
        print_table(["", "in the archive", "here"], rows, "What differs here")
    print(f"{len(facts) - len(differ)} of {len(facts)} facts are the same\n")

    code = [file for file in archive.index.files if file.role in ("plugin", "installed")]
    rows = [(file.name, file.digest, f"{file.size:,}") for file in code]
    if rows:
        print_table(["file", "SHA-256", "bytes"], rows, "Code of the run: read it before you agree")
        print()

    if named := list(powers(recipe, Path("archive"))):
        title = "Variables, commands, addresses and code of this machine in its recipe"
        print_table(["key", "value"], named, title)
        print()


def _facts_json(facts: "Sequence[Difference]") -> list[dict[str, Any]]:
    return [{**vars(fact), "is_same": fact.is_same} for fact in facts]


def _short(value: str | None) -> str | None:
    """A digest's first characters, and any other text whole."""
    is_digest = value is not None and len(value) == 64 and " " not in value
    return value[:_DIGEST_SHOWN] if value is not None and is_digest else value


def _agree(yes: bool, archive: Path) -> None:
    """UsageError unless somebody agrees to run the archive."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{archive}: nothing was run; add --yes to run it")
    if not typer.confirm("Run it?", err=True):
        raise UsageError(f"{archive}: nothing was run")


def _unpack(archive: "Archive", recipe: dict[str, Any], root: Path) -> Path:
    """The unpacked archive in a new folder; returns its recipe for this machine."""
    from rlsp_cli.recipe.dump import dump_data
    from rlsp_cli.runs.stream import write_text

    archive.unpack(root / "archive")
    write_text(root / "archive" / "recipe.yaml", dump_data(recipe))
    return root / "archive" / "recipe.yaml"


def _run(path: Path, root: Path) -> "RunDiff":
    """Run the recipe into `root/run`, and compare that with the packed run."""
    from rlsp_cli.cli.run import run_whole
    from rlsp_cli.report.diff import diff_runs

    def again(run: Path) -> str:
        return shlex.join(["rlsp", "run", str(path), "--out", str(run), "--resume"])

    # Numbers that cannot be read are refused before a run that may take days, and not after it.
    packed, new = root / "archive" / "run", root / "run"
    diff_runs(packed, packed)

    run_whole(path, new, again)
    return diff_runs(packed, new)


def _print_numbers(diff: "RunDiff", root: Path) -> None:
    """Scores and curves of the archive beside those of here."""
    for table in diff.metric_tables:
        if table.rows:
            print_table(table.columns, table.rows, table.title, table.keys)
            print()
    for line in diff.outcome:
        print(line)
    before, after = root / "archive" / "run", root / "run"
    print(f"A: {before}, B: {after}; all of it: rlsp runs diff {before} {after}")
