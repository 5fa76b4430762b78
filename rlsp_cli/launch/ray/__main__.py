"""`python -m rlsp_cli.launch.ray RUN/STAGE/job.json` drives a job.

Batch scripts use two steps more: `... node WORDS` runs `ray start --block` as one node, and
`... wait URL NODES SECONDS PID...` waits until so many have joined, as long as all these processes
live.
"""

import os
import sys
from pathlib import Path

from rlsp_cli.backends.ray_address import read_ray_address
from rlsp_cli.errors import RlspError
from rlsp_cli.launch.ray.cluster import await_nodes
from rlsp_cli.launch.ray.dashboard import Dashboard
from rlsp_cli.launch.ray.driver import drive
from rlsp_cli.launch.ray.node import run_node
from rlsp_cli.runs.failure import report, reported_exit_code


def main(argv: list[str]) -> int:
    """Do one of these, and return the exit code.

    An RlspError becomes a message on stderr, and is kept in the attempt's error.json.
    """
    try:
        if argv[0] == "wait":
            _wait(argv[1], int(argv[2]), float(argv[3]), [int(pid) for pid in argv[4:]])
        elif argv[0] == "node":
            run_node(argv[1:])
        else:
            drive(Path(argv[0]))
    except RlspError as error:
        return report(error)

    # The job may have reported an error of its own; that stands, whatever Ray says of its end.
    return reported_exit_code()


def _wait(url: str, nodes: int, timeout_s: float, pids: list[int]) -> None:
    address = read_ray_address(url, "wait")
    dashboard = Dashboard(address.url, address.headers)
    await_nodes(dashboard, nodes, timeout_s, lambda: all(map(_is_alive, pids)))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 is never sent, only checked
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
