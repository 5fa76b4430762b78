"""Time and peak memory of cutting a run's rollouts where a resumed stage goes on.

Writes `--megabytes` of rollouts over 1,000 steps and drops the last `--steps` of them, in a process
of its own. Run it at two commits to compare them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = 1000
ROW_BYTES = 8000
CODE = "import sys, pathlib, rlsp_cli.runs.stream as s; s.drop_rows_from(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"


def write_rollouts(path: Path, megabytes: int) -> None:
    """Rows of equal size, as many for each step."""
    text = "so the answer is 42, " * (ROW_BYTES // 21)
    rows = megabytes * 2**20 // ROW_BYTES // STEPS
    with path.open("w") as stream:
        for step in range(STEPS):
            line = json.dumps({"step": step, "prompt": "What is it?", "response": text}) + "\n"
            stream.writelines([line] * rows)


def main() -> None:
    """One line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rollouts.jsonl"
        write_rollouts(path, options.megabytes)
        began = time.perf_counter()
        argv = [sys.executable, "-c", CODE, str(path), str(STEPS - options.steps)]
        process = subprocess.Popen(argv)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"exit status {status}")
        found = {
            "megabytes": options.megabytes,
            "wall_s": round(time.perf_counter() - began, 2),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_mib": round(usage.ru_maxrss / 1024),
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main()
