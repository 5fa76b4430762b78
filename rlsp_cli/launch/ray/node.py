"""This machine as a node of a Ray cluster, for as long as it is wanted or the cluster lasts."""

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
from rlsp_cli.launch.ray.cluster import claimed, running_node, start_words
from rlsp_cli.launch.ray.head_token import given_token, read_token, with_token
from rlsp_cli.launch.signals import catching_signals
from rlsp_cli.runs.paths import RunPaths

_POLL_S = 0.3
_CONNECT_S = 5.0


def join_cluster(head: str, run: Path | None, gpus: int | None, say: Callable[[str], None]) -> None:
    """Be a node of the cluster at HOST:PORT until Ctrl-C, or until the head ends, as it does when the job is over.

    The token is that of the `run` whose head it is, or else that of our environment. `gpus` are
    claimed instead of those that Ray finds. NotReadyError when it cannot join, JobError when it
    falls out.
    """
    if not re.fullmatch(r"\S+:\d+", head):
        raise UsageError(
            f"--join {head}: expected HOST:PORT of the head, as its machine printed it"
        )
    python = find_environment("openrlhf").python(Path.cwd())
    say(
        f"joining the Ray cluster at {head} with {count_gpus() if gpus is None else gpus} GPUs; Ctrl-C leaves it"
    )
    offered = claimed(gpus) if gpus is not None else []
    token = (
        with_token(read_token(RunPaths(run).stage("ppo").root))
        if run is not None
        else given_token()
    )
    if not token:
        say(
            "without a token, which heads of rlsp want: Ray may try for minutes; name the run folder after HOST:PORT"
        )
    received, code, log = be_node(start_words(python, f"--address={head}", *offered), token)
    if received:
        raise StoppedError(f"left the Ray cluster at {head}", received[0])
    if "--block" not in log:
        raise NotReadyError(f"--join {head}: Ray could not join: {last_error(log)}")
    if _answers(head):
        raise JobError(
            f"the node here ended with code {code}, and the Ray cluster at {head} goes on without it"
        )
    say(f"the Ray cluster at {head} has ended")


def be_node(
    words: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[Sequence[int], int, str]:
    """Run `ray start --block` until it ends or a signal comes; (signals that ended it, exit code, its log)."""
    with tempfile.TemporaryDirectory() as folder, catching_signals(lambda _: None) as received:
        log = Path(folder) / "node.log"
        with running_node(words, log, environment) as node:
            while node.poll() is None and not received:
                time.sleep(_POLL_S)
        return received, node.returncode, log.read_text(encoding="utf-8", errors="replace")


def run_node(words: Sequence[str]) -> None:
    """The same as one step of an allocation, which a signal ends in order; JobError when Ray ends by itself."""
    received, code, log = be_node(words)
    if not received:
        sys.stderr.write(log)
        raise JobError(f"a Ray node ended with code {code}: {last_error(log)}")


def _answers(head: str) -> bool:
    host, _, port = head.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError:
        return False
    return True
