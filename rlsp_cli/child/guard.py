"""A process that cleans up after a driver that was killed: it waits for the end of its stdin.

`python guard.py stop URL` stops a job; `python guard.py end GROUP FOLDER` kills the processes of a
node, and removes their folder. The first line of its stdin holds the headers of the request, which
no command line may show. A driver that leaves in order says `done` before the end; one that is
killed says nothing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_TIMEOUT_S = 30.0
_POLL_S = 0.1


@contextmanager
def guarded(*words: str, headers: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run the block beside a process that does what `words` say if this process dies meanwhile."""
    # In a session of its own, or the Ctrl-C that kills us would reach it too.
    guard = subprocess.Popen(
        [sys.executable, "-I", __file__, *words], stdin=subprocess.PIPE, start_new_session=True
    )

    # The kernel closes the pipe when this process dies, in whatever way: that is what wakes the
    # guard. No handler of ours could be sure to run.
    assert guard.stdin is not None
    guard.stdin.write(json.dumps(dict(headers or {})).encode() + b"\n")
    guard.stdin.flush()

    try:
        yield
    finally:
        guard.communicate(b"done")


def stop(url: str, headers: Mapping[str, str]) -> None:
    """Ask the dashboard to stop the job."""
    request = urllib.request.Request(url, method="POST")  # noqa: S310 (a dashboard's)
    for name, value in headers.items():
        # They hold a token, which a redirect would otherwise carry to another host.
        request.add_unredirected_header(name, value)

    # A proxy does not lead to a cluster nearby.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(request, timeout=_TIMEOUT_S).close()


def end(group: str, folder: str) -> None:
    """Kill all processes of a group, and remove their folder."""
    deadline = time.monotonic() + _TIMEOUT_S

    # Again and again until none is left: Ray leaves processes behind, some for a minute, and those
    # may still start others.
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(int(group), signal.SIGKILL)
            time.sleep(_POLL_S)

    remove_with_users(folder)


def remove_with_users(folder: str) -> None:
    """Remove a node's folder, and kill the processes that run in it."""
    # The driver of a Ray job has a session of its own and escapes the group; its working directory
    # lies in the folder.
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended meanwhile, or is not ours
            if link.readlink().is_relative_to(folder):
                os.kill(int(link.parent.name), signal.SIGKILL)

    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    first_line = sys.stdin.readline()
    if sys.stdin.read() != "done":
        if sys.argv[1] == "stop":
            stop(sys.argv[2], json.loads(first_line))
        else:
            end(sys.argv[2], sys.argv[3])
