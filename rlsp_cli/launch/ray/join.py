"""This machine as a further node of a Ray cluster whose head runs elsewhere."""

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

from rlsp_cli.backends.environment import find_environment
from rlsp_cli.errors import JobError, NotReadyError, StoppedError, UsageError
from rlsp_cli.launch.cause import last_words
from rlsp_cli.launch.gpus import count_gpus
from rlsp_cli.launch.ray.cluster import claimed, node_environment, private_folder, start_words
from rlsp_cli.launch.ray.leash import end, spawn
from rlsp_cli.launch.signals import catching_signals

_POLL_S = 0.3
_CONNECT_S = 5.0


def join_cluster(head: str, gpus: int | None, say: Callable[[str], None]) -> None:
    """Be a node of the cluster at HOST:PORT until Ctrl-C, or until the head ends, as it does when the job is over.

    `gpus` are claimed instead of those that Ray finds. NotReadyError when it cannot join, JobError when it falls out.
    """
    if not re.fullmatch(r"\S+:\d+", head):
        raise UsageError(f"--join {head}: expected HOST:PORT of the head, as its machine printed it")
    python = find_environment("openrlhf").python(Path.cwd())
    with private_folder() as folder, catching_signals(lambda _: None) as received:
        words = start_words(python, f"--address={head}", *(claimed(gpus) if gpus is not None else []))
        log = folder / "node.log"
        node = spawn(words, node_environment(python), log)
        try:
            say(f"joining the Ray cluster at {head} with {count_gpus() if gpus is None else gpus} GPUs; Ctrl-C leaves")
            while node.poll() is None and not received:
                time.sleep(_POLL_S)
            text = log.read_text(encoding="utf-8", errors="replace")
        finally:
            end(node)
    if received:
        error = StoppedError(f"left the Ray cluster at {head}")
        error.exit_code = 128 + received[0]
        raise error
    if "--block" not in text:
        raise NotReadyError(f"--join {head}: Ray could not join: {last_words(text)}")
    if _answers(head):
        raise JobError(
            f"the node here ended with code {node.returncode}, and the Ray cluster at {head} goes on without it"
        )
    say(f"the Ray cluster at {head} has ended")


def _answers(head: str) -> bool:
    host, _, port = head.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError:
        return False
    return True
