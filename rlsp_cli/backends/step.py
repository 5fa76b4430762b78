"""A step that rlsp itself does for a job, in a process of its own: it ends with an exit code and a report."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from rlsp_cli.backends.job import read_inputs
from rlsp_cli.errors import RlspError
from rlsp_cli.runs.failure import report
from rlsp_cli.terminal import print


def say_note(text: str) -> None:
    """Tell the person who watches: lines of this form are passed on from a command's log."""
    print(f"note: {text}", file=sys.stderr, flush=True)


def run_step(steps: Mapping[str, Callable[..., None]], argv: list[str]) -> int:
    """Do the step `argv[0]` with the inputs of the job.json `argv[1]` and the words after it.

    An error of a known kind is one line on stderr and in the attempt's error.json.
    """
    try:
        steps[argv[0]](read_inputs(Path(argv[1]))[1], *argv[2:])
    except RlspError as error:
        return report(error)
    return 0
