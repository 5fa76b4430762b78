"""`rlsp data traces`: demonstrations for SFT, and the card that says how they were made."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError

if TYPE_CHECKING:
    from rlsp_cli.data.card import Card
    from rlsp_cli.evals.rejection import Drawing

app = typer.Typer(help="Data for training.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `traces` a command of its own beside those to come."""


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
    temperature: Annotated[float, typer.Option(help="Sampling temperature.", min=0)] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(help="Longest solution to draw, in tokens.", min=1)] = 4096,
    model_name: Annotated[str | None, typer.Option(help="The model's name at the URL of --sample.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many rows of each source.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Make demonstrations: convert, sample, length, verify, decontaminate, one per problem; write a data card.

    Examples: rlsp data traces qwq.jsonl --out traces.jsonl --verify --decontaminate my.yaml
    |  rlsp data traces math.jsonl --out traces.jsonl --sample http://127.0.0.1:8000/v1 --model-name qwen
    """
    from rlsp_cli.data.convert import Columns
    from rlsp_cli.launch.traces import Order, make_traces

    drawing = _drawing(sample, model_name, samples, temperature, max_new_tokens) if sample else None
    order = Order(
        sources=sources,
        out=out,
        command=shlex.join(["rlsp", *sys.argv[1:]]),
        format=format,
        columns=Columns(problem, None if sample else solution, answer),
        limit=limit,
        drawing=drawing,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        tokenizer=tokenizer,
        verifier=verifier if verify or sample else None,
        recipe=decontaminate,
        one_per_problem=one_per_problem,
    )
    card = make_traces(order)
    if json:
        print_json("traces", card.to_json())
    else:
        _show(card)
        print(out)


def _drawing(source: str, name: str | None, samples: int, temperature: float, max_new_tokens: int) -> "Drawing":
    from rlsp_cli.evals.rejection import Drawing

    is_url = source.startswith(("http://", "https://"))
    if is_url and name is None:
        raise UsageError(f"--sample {source}: which model there? name it by --model-name")
    return Drawing(
        name if is_url and name else source, source if is_url else None, samples, temperature, max_new_tokens
    )


def _show(card: "Card") -> None:
    from rlsp_cli.data.card import reasons_text

    cells = [(count.name, count.before, count.after, reasons_text(count)) for count in card.filters]
    print_table(["filter", "in", "out", "what went, and the first of it"], cells)
