"""`rlsp data pairs`: right and wrong responses to the same problems."""

import shlex
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.filters import show_filters
from rlsp_cli.cli.options import Json, is_override
from rlsp_cli.cli.output import print_json
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.recipe.section import Section
    from rlsp_cli.traces import DataCard


def pair_keys() -> "type[Section]":
    """The keys of the command."""
    from rlsp_cli.traces import PairSettings

    return PairSettings


def pairs(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [KEY=VALUE]...", help="Runs or files of responses, then keys."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The .jsonl file to write; its card is written too."),
    ],
    json: Json = False,
) -> None:
    """Make pairs for preference training: a right and a wrong response to a problem.

    A source is a run, of whose rollouts pairs are made, the samples.jsonl of an
    evaluation, the responses of rlsp data prompts, or a file with problem,
    response and correct. Keys: verifier, per_problem, decontaminate.

    Example: rlsp data pairs runs/a/1 --out pairs.jsonl decontaminate=my.yaml
    """
    from rlsp_cli.recipe.key_values import read_settings
    from rlsp_cli.traces import PairJob, PairSettings, make_pairs

    keys = [word for word in sources if is_override(word)]
    named = [Path(word) for word in sources if word not in keys]
    if not named:
        raise UsageError("which responses? name a run or a file before the keys")

    command = shlex.join(["rlsp", *sys.argv[1:]])
    card = make_pairs(PairJob(named, out, command, read_settings(keys, PairSettings)))
    if json:
        print_json("pairs", card.to_json())
        return

    show_filters(card.filters)
    print(_lengths(card))
    print(out)


def _lengths(card: "DataCard") -> str:
    """What training may learn instead: that the longer response is the better one."""
    rows = [row.to_row() for row in card.rows]
    words = {
        kind: statistics.fmean(len(row[kind].split()) for row in rows)
        for kind in ("chosen", "rejected")
    }
    return "words on average: " + ", ".join(f"{kind} {mean:.1f}" for kind, mean in words.items())
