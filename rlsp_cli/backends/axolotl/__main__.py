"""Steps around Axolotl's training: `python -m rlsp_cli.backends.axolotl setup|finish JOB.json`."""

import sys

from rlsp_cli.backends.axolotl.finish import finish
from rlsp_cli.backends.axolotl.setup import setup
from rlsp_cli.backends.job_step import run_step

if __name__ == "__main__":
    sys.exit(run_step({"setup": setup, "finish": finish}, sys.argv[1:]))
