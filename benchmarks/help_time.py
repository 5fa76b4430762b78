"""Wall time of `rlsp --help` beside `axolotl --help`."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


def wall_time(executable: Path) -> float:
    """Seconds that `executable --help` takes."""
    environment = {
        **os.environ,
        "DO_NOT_TRACK": "1",
        "AXOLOTL_DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }
    began = time.perf_counter()
    subprocess.run([executable, "--help"], env=environment, capture_output=True, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Alternating runs, after one of each that fills the file cache; medians and their ratio as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--axolotl", type=Path, required=True, help="the axolotl executable of its own environment"
    )
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    executables = {"rlsp": Path(sys.executable).parent / "rlsp", "axolotl": options.axolotl}
    seconds: dict[str, list[float]] = {name: [] for name in executables}
    for _ in range(options.runs + 1):
        for name, executable in executables.items():
            seconds[name].append(wall_time(executable))
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    rounded = {f"{name}_s": round(median, 3) for name, median in medians.items()}
    print(
        json.dumps(
            {
                **rounded,
                "ratio": round(medians["axolotl"] / medians["rlsp"], 1),
                "runs": options.runs,
            }
        )
    )


if __name__ == "__main__":
    main()
