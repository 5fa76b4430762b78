"""This machine as a node of a Ray cluster, until a signal comes or the cluster ends."""

import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rlsp_cli.backends.environment import find_environment
from rlsp_cli.child.cause import last_error
from rlsp_cli.errors import JobError, NotReadyError, StoppedError, UsageError
from rlsp_cli.launch.gpus import count_gpus
from rlsp_cli.launch.ray.cluster import agent_options, claimed, running_node, start_words
from rlsp_cli.launch.ray.head_token import given_token, read_token, with_token
from rlsp_cli.launch.signals import catching_signals
from rlsp_cli.runs.paths import RunPaths

_POLL_S = 0.3
_CONNECT_S = 5.0


def join_cluster(head: str, run: Path | None, gpus: int | None, say: Callable[[str], None]) -> None:
    """Be a node of the cluster at HOST:PORT until Ctrl-C, or until its head ends with the job.

    The token is that of the `run` to which the head belongs, or else that of our environment.
    `gpus` are claimed instead of those that Ray finds. NotReadyError when this machine cannot join,
    JobError when it falls out.
    """
    if not re.fullmatch(r"\S+:\d+", head):
        raise UsageError(
            f"--join {head}: expected HOST:PORT of the head, as its machine printed it"
        )

    python = find_environment("openrlhf").python(Path.cwd())
    count = count_gpus() if gpus is None else gpus
    offered = claimed(gpus) if gpus is not None else []
    say(f"joining the Ray cluster at {head} with {count} GPUs; Ctrl-C leaves it")

    token = given_token() if run is None else with_token(read_token(_stage_with_token(run)))
    if not token:
        say(
            "without a token, which heads of rlsp want: Ray may try for minutes; "
            "name the run folder after HOST:PORT"
        )

    received, code, log = be_node(start_words(python, f"--address={head}", *offered), token)
    if received:
        raise StoppedError(f"left the Ray cluster at {head}", received[0])

    # Ray ends with an error in all three cases. Once it has joined, it prints that --block was
    # given; after that only the head can tell whether the cluster goes on.
    if "--block" not in log:
        raise NotReadyError(f"--join {head}: Ray could not join: {last_error(log)}")
    if _answers(head):
        raise JobError(
            f"the node here ended with code {code}, "
            f"and the Ray cluster at {head} goes on without it"
        )
    say(f"the Ray cluster at {head} has ended")


def be_node(
    words: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[Sequence[int], int, str]:
    """Run `ray start --block` until it ends or a signal comes.

    Returns the signals that ended it, its exit code, and its log.
    """
    with tempfile.TemporaryDirectory() as folder, catching_signals(lambda _: None) as received:
        log = Path(folder) / "node.log"

        # The signal only ends the loop: leaving the block ends the node with all its processes.
        with running_node(words, log, environment) as node:
            while node.poll() is None and not received:
                time.sleep(_POLL_S)

        return received, node.returncode, log.read_text(encoding="utf-8", errors="replace")


def run_node(words: Sequence[str]) -> None:
    """Be a node as one step of a Slurm job; JobError when Ray ends before a signal comes."""
    received, code, log = be_node([*words, *agent_options()])

    # Slurm ends the step by a signal when the job is over: that is its normal end.
    if not received:
        sys.stderr.write(log)
        raise JobError(f"a Ray node ended with code {code}: {last_error(log)}")


def _stage_with_token(run: Path) -> Path:
    """The folder in which the head of a run leaves its token; only PPO runs on Ray."""
    return RunPaths(run).stage("ppo").root


def _answers(head: str) -> bool:
    host, _, port = head.rpartition(":")
    try:
        # An IPv6 address stands in brackets before its port.
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError:
        return False
    return True
