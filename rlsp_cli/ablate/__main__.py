"""A task of a Slurm array: `python -m rlsp_cli.ablate tasks.json` becomes the task's command."""

import os
import sys
from pathlib import Path

from rlsp_cli.runs.stream import read_json


def main(tasks: Path) -> None:
    """Become the command whose number Slurm gives; its output goes to its log."""
    task = read_json(tasks)["tasks"][int(os.environ["SLURM_ARRAY_TASK_ID"])]
    log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for output in (1, 2):
        os.dup2(log, output)
    os.execv(task["argv"][0], task["argv"])  # noqa: S606 (a list, never a shell)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
