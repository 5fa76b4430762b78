"""The rlsp side of `ppo_vs_trl.py`: runs a PPO stage from its job.json, with a clock around each step.

Prints completions per second, and per second of CPU time, as its last lines.
"""

import sys
import time

from rlsp_cli.backends.local.__main__ import main as run_job
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.engine.rollout import Rollout


def main(job: str, completions: int) -> None:
    """Run the job; each of its steps has so many completions, and the first step is left out."""
    step, clock = PpoTrainer.step, []

    def timed(trainer: PpoTrainer, number: int) -> tuple[Rollout, dict[str, float]]:
        began, cpu = time.perf_counter(), time.process_time()
        result = step(trainer, number)
        clock.append((time.perf_counter() - began, time.process_time() - cpu))
        return result

    PpoTrainer.step = timed
    code = run_job([job])
    for seconds in zip(*clock[1:], strict=True):
        print(completions * (len(clock) - 1) / sum(seconds))
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
