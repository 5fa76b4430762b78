"""The child process of the local backend: `python -m rlsp_cli.backends.local RUN/STAGE/job.json`."""

import errno
import sys
from pathlib import Path

from rlsp_cli.backends.job import read_inputs
from rlsp_cli.backends.local.stages import run_stage
from rlsp_cli.engine.stop import ignore_signals
from rlsp_cli.errors import NotReadyError, RlspError
from rlsp_cli.runs.failure import report
from rlsp_cli.runs.lock import locked


def main(argv: list[str]) -> int:
    """Run one stage; an error of a known kind is one line on stderr and in the attempt's error.json."""
    job = Path(argv[0]).absolute()
    stage, inputs = read_inputs(job)
    try:
        with locked(job.parent):  # on Slurm it may run on after the rlsp that submitted it has died
            run_stage(stage, inputs)
    except RlspError as error:
        return report(error)
    except Exception as error:
        if not _is_full_disk(error):
            raise
        return report(
            NotReadyError(
                f"no space left on the disk of {inputs['run']}; free some and add --resume"
            )
        )
    finally:
        ignore_signals()
    return 0


def _is_full_disk(error: Exception) -> bool:
    """Whether a write failed for lack of space; safetensors and torch say so in types of their own."""
    words = ("No space left on device", "PytorchStreamWriter failed writing")
    return getattr(error, "errno", None) == errno.ENOSPC or any(
        word in str(error) for word in words
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
