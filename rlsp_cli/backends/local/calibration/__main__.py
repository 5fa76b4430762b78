"""The child process of a calibration: a Load on stdin, its Speed on stdout, both as JSON."""

import sys
from dataclasses import asdict
from json import dumps

from pydantic import TypeAdapter

from rlsp_cli.backends.local.calibration.measure import measure
from rlsp_cli.backends.local.calibration.speed import Load
from rlsp_cli.errors import RlspError
from rlsp_cli.runs.failure import report
from rlsp_cli.terminal import print


def main() -> int:
    """Measure, and print the result on the last line."""
    load = TypeAdapter(Load).validate_json(sys.stdin.read())
    try:
        print(dumps(asdict(measure(load))))
    except RlspError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
