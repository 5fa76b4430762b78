"""`rlsp benches list|show|protocols`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.command import Commands
from rlsp_cli.cli.options import BenchData, Json
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.tab_completion import benches
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.evals.benches.inspect import Inspection

Folder = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="A folder of BENCH.jsonl.", file_okay=False),
]
app = Commands("List and show the benches: sets of problems to evaluate on.")


@app.command("list")
def list_(data: Folder = None, json: Json = False) -> None:
    """List the benches: size, verifier, sampling, and where their data is.

    Example: rlsp benches list --data ./data
    """
    from rlsp_cli.evals.benches import find_bench, shipped_benches
    from rlsp_cli.evals.benches.inspect import where
    from rlsp_cli.evals.scorer_benches import (
        find_scorer_bench,
        shipped_scorer_benches,
        where_labelled,
    )

    rows = [(find_bench(name), where(name, data)) for name in shipped_benches()]
    files = map(find_scorer_bench, shipped_scorer_benches())
    for_scorers = [(file, where_labelled(file, data)) for file in files]
    if json:
        found = [
            {**file.model_dump(mode="json"), "where": place}
            for file, place in [*rows, *for_scorers]
        ]
        print_json("benches", found)
        return

    cells = []
    for file, place in rows:
        # Without the revision, which would take half of the line.
        data_is_here = not place.startswith("none")
        source = place.partition("@")[0] if data_is_here else None
        sampling = _sampling(file.sampling)
        cells.append(
            (file.name, file.problems, file.verifier.use, sampling, source, file.description)
        )
    print_table(["bench", "problems", "verifier", "sampling", "data", "what it is"], cells)

    print_table(
        ["bench", "measures", "data", "what it is"],
        [(file.name, file.measure, place, file.description) for file, place in for_scorers],
        title="\nBenches for scorers: rlsp eval --bench NAME --scorer SCORER",
    )


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(help="A name of `rlsp benches list`, or a file.", autocompletion=benches),
    ],
    data: BenchData = None,
    json: Json = False,
) -> None:
    """Show a bench's file and first prompt, and whether its data is right.

    Example: rlsp benches show aime24 --data ./data
    """
    from rlsp_cli.evals.benches.inspect import inspect
    from rlsp_cli.evals.scorer_benches import find_scorer_bench, shipped_scorer_benches

    if name in shipped_scorer_benches():
        if json:
            print_json("bench", find_scorer_bench(name).model_dump(mode="json"))
        else:
            print(shipped_scorer_benches()[name].read_text(encoding="utf-8"), end="")
        return

    seen = inspect(name, data)
    if json:
        print_json("bench", seen.to_json())
        return

    # The file as it is: a copy of it is how one's own bench begins.
    print(seen.path.read_text(encoding="utf-8"), end="")
    print_table(["", ""], [("file", seen.path), ("data", seen.where), ("digest", _digest(seen))])
    if seen.first_prompt is not None:
        print(f"\nthe first prompt, before the model's chat template:\n\n{seen.first_prompt}")


@app.command()
def protocols(
    name: Annotated[
        str | None, typer.Argument(help="A protocol to show: its name, or a file.")
    ] = None,
    json: Json = False,
) -> None:
    """List the protocols of other harnesses, or show one.

    `eval.protocol` runs benches as another harness does: its prompts, sampling
    and scoring.

    Example: rlsp benches protocols lm_eval
    """
    from rlsp_cli.evals.benches.protocol_file import find_protocol, protocol_path, shipped_protocols

    if name is not None:
        found = find_protocol(name)
        if json:
            print_json("protocol", found.model_dump(mode="json"))
        else:
            print(protocol_path(name).read_text(encoding="utf-8"), end="")
        return

    files = list(map(find_protocol, shipped_protocols()))
    if json:
        print_json("protocols", [file.model_dump(mode="json") for file in files])
        return

    cells = []
    for file in files:
        named = "every" if file.every_bench else ", ".join(file.benches)
        cells.append((file.name, named, file.description))
    print_table(["protocol", "benches", "what it is"], cells)


def _sampling(sampling: Any) -> str:
    if not sampling.samples:
        return "greedy"
    return f"{sampling.samples} at {sampling.temperature:g}, top_p {sampling.top_p:g}"


def _digest(seen: "Inspection") -> str:
    if seen.digest is None:
        return "unknown: the data is not here"

    verdicts = {
        True: "not the bench's problems",
        False: "as the file says",
        None: "the bench's file has none to compare with",
    }
    return f"{seen.digest} ({verdicts[seen.changed]})"
