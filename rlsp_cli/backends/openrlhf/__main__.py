"""Steps around OpenRLHF's training.

python -m rlsp_cli.backends.openrlhf setup|serve|finish JOB.json
"""

import sys

from rlsp_cli.backends.job_step import JobStep, run_step
from rlsp_cli.backends.openrlhf.serve import serve_job


def _setup(step: JobStep) -> None:
    from rlsp_cli.backends.openrlhf.setup import setup

    setup(step)


def _finish(step: JobStep) -> None:
    from rlsp_cli.backends.openrlhf.finish import finish

    finish(step)


if __name__ == "__main__":
    # Those two import torch, and the service does not: it starts at once, and again in a training
    # that waits for it.
    sys.exit(run_step({"setup": _setup, "serve": serve_job, "finish": _finish}, sys.argv[1:]))
