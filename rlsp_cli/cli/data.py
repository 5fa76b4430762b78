"""`rlsp data traces|check|clean`: demonstrations for SFT with their card, and training data without benches."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.options import BenchData, Json, comma_separated, command_with_keys, is_override
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import CheckError, DataError, UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.evals.overlap import OverlapReport
    from rlsp_cli.recipe.section import Section
    from rlsp_cli.traces import Tally

_MOST = 50
"""Overlaps that are shown as a table."""
Against = Annotated[
    list[str],
    typer.Option(
        help="Names of `rlsp benches list`, bench files, or a recipe for its benches; commas, or repeated."
    ),
]
ColumnKeys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Columns of plain rows: problem=question answer=gold."
    ),
]
app = typer.Typer(help="Make, check and clean data for training.", no_args_is_help=True)


def _trace_keys() -> "type[Section]":
    from rlsp_cli.traces import TraceSettings

    return TraceSettings


def _column_keys() -> "type[Section]":
    from rlsp_cli.traces import ColumnSettings

    return ColumnSettings


@app.command(cls=command_with_keys(_trace_keys))
def traces(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [KEY=VALUE]...", help="Files, hf:org/name or task:NAME, and keys."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="File to write, such as traces.jsonl; the card is written beside it."),
    ],
    limit: Annotated[
        int | None, typer.Option(help="Only the first so many rows of each source.", min=1)
    ] = None,
    json: Json = False,
) -> None:
    """Make demonstrations for SFT: convert, sample, verify and decontaminate them.

    Keys: format, problem, solution, answer, verifier, decontaminate,
    one_per_problem, tokenizer, min_tokens, max_tokens, sample.model,
    sample.url, sample.samples, sample.temperature, sample.max_new_tokens.

    Example: rlsp data traces qwq.jsonl --out traces.jsonl verifier=math_verify
        decontaminate=my.yaml
    """
    from rlsp_cli.recipe.settings import read_settings
    from rlsp_cli.traces import TraceJob, TraceSettings, make_traces

    keys = [word for word in sources if is_override(word)]
    named = [word for word in sources if word not in keys]
    if not named:
        raise UsageError("which rows? name a file or hf:org/name before the keys")

    settings = read_settings(keys, TraceSettings)
    card = make_traces(TraceJob(named, out, shlex.join(["rlsp", *sys.argv[1:]]), settings, limit))
    if json:
        print_json("traces", card.to_json())
    else:
        _show(card.filters)
        print(_renamed(settings.model_dump(include={"problem", "solution", "answer"})), end="")
        print(out)


@app.command(cls=command_with_keys(_column_keys))
def check(
    train: Annotated[
        str, typer.Argument(metavar="TRAIN", help="A file of rows, a hub id, or a recipe.")
    ],
    against: Against,
    columns: ColumnKeys = None,
    data: BenchData = None,
    json: Json = False,
) -> None:
    """Find problems of benches in training data; exits with 6 if there are any.

    Likely copies, with other numbers or other words, are listed and change no exit code.

    Example: rlsp data check train.jsonl --against aime24,math500
    """
    from rlsp_cli.evals.overlap import compare_data
    from rlsp_cli.recipe.settings import read_settings
    from rlsp_cli.traces import ColumnSettings

    names = read_settings(columns or [], ColumnSettings).columns
    found = compare_data(train, comma_separated(against), data, names)
    if json:
        print_json("overlap", found.to_json())
    else:
        _show_overlaps(found)
    if found.copies:
        rows = {(copy.role, copy.place) for copy in found.copies}
        many = "1 row repeats" if len(rows) == 1 else f"{len(rows)} rows repeat"
        raise CheckError(f"{train}: {many} problems of {' and '.join(_repeated(found))}")
    if found.unread:
        raise DataError(
            f"{train}: rows without a problem to compare: {len(found.unread)}, such as {found.unread[0]}"
        )


@app.command(cls=command_with_keys(_column_keys))
def clean(
    source: Annotated[str, typer.Argument(help="A file of rows, or a hub id.")],
    against: Against,
    out: Annotated[Path, typer.Option(help="File to write, such as clean.jsonl.")],
    columns: ColumnKeys = None,
    data: BenchData = None,
    drop_likely: Annotated[
        bool, typer.Option("--drop-likely", help="Leave out likely copies too.")
    ] = False,
    json: Json = False,
) -> None:
    """Leave out rows that repeat problems of benches; keep all columns of the others.

    Example: rlsp data clean prompts.jsonl --against my.yaml --out clean.jsonl
    """
    from rlsp_cli.recipe.settings import read_settings
    from rlsp_cli.traces import ColumnSettings, clean_rows

    names = read_settings(columns or [], ColumnSettings).columns
    made = clean_rows(source, comma_separated(against), data, names, out, drop_likely=drop_likely)
    if json:
        print_json("clean", made.to_json())
        return
    _show([made.tally])
    if made.likely:
        place, why = made.likely[0]
        print(
            f"{len(made.likely)} rows stay that are only like a problem ({why}, {place}); rlsp data check lists them"
        )
    print(out)


def _renamed(columns: dict[str, str]) -> str:
    """What to say of columns that are called otherwise in the source: the output has the names that recipes expect."""
    others = [f"{ours} (was {theirs})" for ours, theirs in columns.items() if ours != theirs]
    return (
        f"columns are renamed to what a recipe reads by default: {', '.join(others)}\n"
        if others
        else ""
    )


def _repeated(found: "OverlapReport") -> list[str]:
    return list(dict.fromkeys(copy.bench for copy in found.copies))


def _show_overlaps(found: "OverlapReport") -> None:
    facts = found.to_json()
    keys = (
        "name",
        "problems",
        "problems_found",
        "rows_found",
        "likely_problems",
        "likely_rows",
        "rule",
        "source",
    )
    cells = [[bench[key] for key in keys] for bench in facts["benches"]]
    columns = [
        "bench",
        "problems",
        "repeated",
        "by rows",
        "likely",
        "by rows",
        "what counts as repeated",
        "read from",
    ]
    print_table(columns, cells)
    for title, overlaps in (("Copies", found.copies), ("Likely copies, to be read", found.likely)):
        rows = [
            (o.role, o.place, o.text, o.bench, o.problem, o.problem_text, o.rule)
            for o in overlaps[:_MOST]
        ]
        if rows:
            print_table(
                ["set", "row", "its text", "bench", "problem", "its text", "rule"],
                rows,
                title=f"\n{title}",
            )
        if len(overlaps) > _MOST:
            print(f"and {len(overlaps) - _MOST} more: --json has all")
    print(f"No rule here finds {facts['cannot_find']}.")


def _show(tallies: "Sequence[Tally]") -> None:
    cells = [(one.name, one.before, one.after, one.reasons_text) for one in tallies]
    print_table(["filter", "in", "out", "what went, and the first of it"], cells)
