"""`rlsp data starts`: beginnings of responses, from which PPO goes on."""

import shlex
import sys
from collections import Counter
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


def start_keys() -> "type[Section]":
    """The keys of the command."""
    from rlsp_cli.traces import StartSettings

    return StartSettings


def starts(
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
    """Cut responses after a random step, for PPO to go on from there.

    A source is a run, whose rollouts are cut, or one of the files that rlsp data
    pairs takes. FILE has problems with the columns start and origin: whether the
    response was right or wrong. Keys: by, per_problem, seed.

    Example: rlsp data starts runs/a/1 --out starts.jsonl by=blank_line
    """
    from rlsp_cli.recipe.key_values import read_settings
    from rlsp_cli.traces import StartJob, StartSettings, make_starts

    keys = [word for word in sources if is_override(word)]
    named = [Path(word) for word in sources if word not in keys]
    if not named:
        raise UsageError("which responses? name a run or a file before the keys")

    command = shlex.join(["rlsp", *sys.argv[1:]])
    card = make_starts(StartJob(named, out, command, read_settings(keys, StartSettings)))
    if json:
        print_json("starts", card.to_json())
        return

    show_filters(card.filters)
    counts = Counter(row.to_row()["origin"] for row in card.rows)
    print(f"starts from right responses: {counts['right']}, from wrong ones: {counts['wrong']}")
    print(out)
