"""Steps around OpenRLHF's training.

python -m rlsp_cli.backends.openrlhf setup|serve|finish JOB.json
"""

import sys

from rlsp_cli.backends.job_step import run_step
from rlsp_cli.backends.openrlhf.finish import finish
from rlsp_cli.backends.openrlhf.serve import serve_job
from rlsp_cli.backends.openrlhf.setup import setup

if __name__ == "__main__":
    sys.exit(run_step({"setup": setup, "serve": serve_job, "finish": finish}, sys.argv[1:]))
