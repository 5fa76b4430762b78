"""What rlsp does around Axolotl's training: `python -m rlsp_cli.backends.axolotl setup|finish RUN/sft/job.json`."""

import os
import sys
from pathlib import Path

from rlsp_cli.backends.axolotl.finish import finish
from rlsp_cli.backends.axolotl.setup import setup
from rlsp_cli.backends.job import read_inputs
from rlsp_cli.errors import RlspError
from rlsp_cli.runs.stream import write_json

_STEPS = {"setup": setup, "finish": finish}


def main(argv: list[str]) -> int:
    """Do one step; an error of a known kind is one line on stderr and in the attempt's error.json."""
    try:
        _STEPS[argv[0]](read_inputs(Path(argv[1]))[1])
    except RlspError as error:
        print(f"rlsp: {error}", file=sys.stderr)
        if path := os.environ.get("RLSP_ERROR_FILE"):
            write_json(Path(path), {"exit_code": error.exit_code, "message": str(error)})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
