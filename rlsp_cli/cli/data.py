"""`rlsp data traces|check|clean`: demonstrations for SFT with their card, and training data without benches."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import CheckError, DataError, UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.evals.overlap import OverlapReport
    from rlsp_cli.traces import RejectionSampling, Tally

_MOST = 50
"""Overlaps that are shown as a table."""
app = typer.Typer(help="Data for training.", no_args_is_help=True)


@app.command()
def traces(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Files, or hf:org/name@revision.")],
    out: Annotated[Path, typer.Option(help="File to write, such as traces.jsonl; the card is written beside it.")],
    format: Annotated[
        str | None, typer.Option(help="qwq, openthoughts, messages or plain; told from the columns if not given.")
    ] = None,
    problem: Annotated[str, typer.Option(help="Column that holds the problem.")] = "problem",
    solution: Annotated[str, typer.Option(help="Column that holds the solution to imitate, for plain.")] = "solution",
    answer: Annotated[str, typer.Option(help="Column that holds the reference answer.")] = "answer",
    verify: Annotated[bool, typer.Option("--verify", help="Keep what the verifier holds for right.")] = False,
    verifier: Annotated[str, typer.Option(help="The verifier, with its defaults.")] = "math_verify",
    min_tokens: Annotated[int, typer.Option(help="Shortest solution to keep; needs --tokenizer.", min=0)] = 0,
    max_tokens: Annotated[int | None, typer.Option(help="Longest solution to keep; needs --tokenizer.", min=1)] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Folder or hub id that counts tokens.")] = None,
    one_per_problem: Annotated[
        bool, typer.Option("--one-per-problem", help="Keep only the shortest solution of each problem.")
    ] = False,
    decontaminate: Annotated[
        str | None, typer.Option(metavar="RECIPE", help="Leave out problems of the benches of this recipe.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="Draw solutions from this model folder, hub id or OpenAI-compatible URL.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Solutions drawn for each problem.", min=1)] = 8,
    temperature: Annotated[float, typer.Option(help="RejectionSampling temperature.", min=0)] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(help="Longest solution to draw, in tokens.", min=1)] = 4096,
    model_name: Annotated[str | None, typer.Option(help="The model's name at the URL of --sample.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many rows of each source.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Make demonstrations: convert, sample, length, verify, decontaminate, one per problem; write a data card.

    Examples: rlsp data traces qwq.jsonl --out traces.jsonl --verify --decontaminate my.yaml
    |  rlsp data traces math.jsonl --out traces.jsonl --sample http://127.0.0.1:8000/v1 --model-name qwen
    """
    from rlsp_cli.traces import Columns, TraceSettings, make_traces

    sampling = _sampling(sample, model_name, samples, temperature, max_new_tokens) if sample else None
    settings = TraceSettings(
        sources=sources,
        out=out,
        command=shlex.join(["rlsp", *sys.argv[1:]]),
        format=format,
        columns=Columns(problem, None if sample else solution, answer),
        limit=limit,
        sampling=sampling,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        tokenizer=tokenizer,
        verifier=verifier if verify or sample else None,
        recipe=decontaminate,
        one_per_problem=one_per_problem,
    )
    card = make_traces(settings)
    if json:
        print_json("traces", card.to_json())
    else:
        _show(card.filters)
        print(_renamed({"problem": problem, "solution": solution, "answer": answer}), end="")
        print(out)


@app.command()
def check(
    train: Annotated[str, typer.Argument(metavar="TRAIN", help="A file of rows, a hub id, or a recipe.")],
    against: Annotated[
        list[str],
        typer.Option(
            help="Names of `rlsp benches list`, a bench's file, or a recipe for its benches; commas, or repeated."
        ),
    ],
    data: Annotated[Path | None, typer.Option(help="File, or folder with <bench>.jsonl, to read benches from.")] = None,
    problem: Annotated[str, typer.Option(help="Column that holds the problem, in plain rows.")] = "problem",
    answer: Annotated[str, typer.Option(help="Column that holds the reference answer, if there is one.")] = "answer",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with every copy.")] = False,
) -> None:
    """Look for problems of benches in training data: which row, which problem, where in the text. Exits with 6 if any.

    What is only like a problem (other numbers, other words) is listed as a likely copy, and changes no exit code.

    Examples: rlsp data check train.jsonl --against aime24,math500  |  rlsp data check my.yaml --against aime24 --json
    """
    from rlsp_cli.data.formats import Columns
    from rlsp_cli.evals.overlap import compare_data

    found = compare_data(train, _names(against), data, Columns(problem, None, answer))
    if json:
        print_json("overlap", found.to_json())
    else:
        _show_overlaps(found)
    if found.copies:
        rows = {(copy.role, copy.place) for copy in found.copies}
        raise CheckError(f"{train}: {len(rows)} rows repeat problems of {' and '.join(_repeated(found))}")
    if found.unread:
        raise DataError(f"{train}: rows without a problem to compare: {len(found.unread)}, such as {found.unread[0]}")


@app.command()
def clean(
    source: Annotated[str, typer.Argument(help="A file of rows, or a hub id.")],
    against: Annotated[
        list[str],
        typer.Option(
            help="A recipe for its benches, names of `rlsp benches list`, or a bench's file; commas, or repeated."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write, such as clean.jsonl.")],
    data: Annotated[Path | None, typer.Option(help="File, or folder with <bench>.jsonl, to read benches from.")] = None,
    problem: Annotated[str, typer.Option(help="Column that holds the problem, in plain rows.")] = "problem",
    answer: Annotated[str, typer.Option(help="Column that holds the reference answer, if there is one.")] = "answer",
    drop_likely: Annotated[bool, typer.Option("--drop-likely", help="Leave out likely copies too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with every row that went.")] = False,
) -> None:
    """Leave out rows that repeat problems of benches; the others keep all their columns, with or without a solution.

    Example: rlsp data clean prompts.jsonl --against my.yaml --out clean.jsonl
    """
    from rlsp_cli.traces import Columns, clean_rows

    columns = Columns(problem, None, answer)
    made = clean_rows(source, _names(against), data, columns, out, drop_likely=drop_likely)
    if json:
        print_json("clean", made.to_json())
        return
    _show([made.tally])
    if made.likely:
        place, why = made.likely[0]
        print(f"{len(made.likely)} rows stay that are only like a problem ({why}, {place}); rlsp data check lists them")
    print(out)


def _renamed(columns: dict[str, str]) -> str:
    """What to say of columns that are called otherwise in the source: the output has the names that recipes expect."""
    others = [f"{ours} (was {theirs})" for ours, theirs in columns.items() if ours != theirs]
    return f"columns are renamed to what a recipe reads by default: {', '.join(others)}\n" if others else ""


def _names(several: list[str]) -> list[str]:
    return [name.strip() for names in several for name in names.split(",")]


def _repeated(found: "OverlapReport") -> list[str]:
    return list(dict.fromkeys(copy.bench for copy in found.copies))


def _show_overlaps(found: "OverlapReport") -> None:
    facts = found.to_json()
    keys = ("name", "problems", "problems_found", "rows_found", "likely_problems", "likely_rows", "rule", "source")
    cells = [[bench[key] for key in keys] for bench in facts["benches"]]
    columns = ["bench", "problems", "repeated", "by rows", "likely", "by rows", "what counts as repeated", "read from"]
    print_table(columns, cells)
    for title, overlaps in (("Copies", found.copies), ("Likely copies, to be read", found.likely)):
        rows = [(o.role, o.place, o.text, o.bench, o.problem, o.problem_text, o.rule) for o in overlaps[:_MOST]]
        if rows:
            print_table(["set", "row", "its text", "bench", "problem", "its text", "rule"], rows, title=f"\n{title}")
        if len(overlaps) > _MOST:
            print(f"and {len(overlaps) - _MOST} more: --json has all")
    print(f"No rule here finds {facts['cannot_find']}.")


def _sampling(
    source: str, name: str | None, samples: int, temperature: float, max_new_tokens: int
) -> "RejectionSampling":
    from rlsp_cli.traces import RejectionSampling

    is_url = source.startswith(("http://", "https://"))
    if is_url and name is None:
        raise UsageError(f"--sample {source}: which model there? name it by --model-name")
    return RejectionSampling(
        name if is_url and name else source, source if is_url else None, samples, temperature, max_new_tokens
    )


def _show(tallies: "Sequence[Tally]") -> None:
    cells = [(one.name, one.before, one.after, one.reasons_text) for one in tallies]
    print_table(["filter", "in", "out", "what went, and the first of it"], cells)
