"""Running a model's Python: a process that can write into one folder only, has no network and starts no process.

Landlock guards files and signals, seccomp sockets and processes, limits time, memory and file sizes (Linux 5.13 or
newer on x86-64 or arm64; elsewhere `run_python` refuses). What it cannot stop: the program reads what every user of the
machine can read of Python and /usr, may use its time and memory to the full, may use a fault of the kernel, and may
cheat tests that run in its own process. Standard library only: the child runs this file itself.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

_MOST_OUTPUT = 1 << 20
_NOT_THERE = 97
"""Exit code of a child that could not shut itself in."""


class Result(NamedTuple):
    """How a program ended; `code` is None when it was killed at the deadline."""

    code: int | None
    stdout: str
    stderr: str


def run_python(program: str, stdin: str = "", timeout_s: float = 2.0, memory_mb: int = 512) -> Result:
    """Run a program shut in; RuntimeError when this machine cannot."""
    with tempfile.TemporaryDirectory(prefix="rlsp-sandbox-") as root:
        scratch, out, err = Path(root, "scratch"), Path(root, "out"), Path(root, "err")
        scratch.mkdir()
        (scratch / "program.py").write_text(program, encoding="utf-8")
        (scratch / "stdin").write_text(stdin, encoding="utf-8")
        arguments = [sys.executable, "-I", __file__, str(scratch), str(timeout_s), str(memory_mb)]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(scratch), "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
        with (scratch / "stdin").open() as feed, out.open("w") as stdout, err.open("w") as stderr:
            child = subprocess.Popen(
                arguments, stdin=feed, stdout=stdout, stderr=stderr, env=environment, start_new_session=True
            )
            try:
                code = child.wait(timeout_s + 1)  # a second to start in
            except subprocess.TimeoutExpired:
                code = None
            finally:
                child.kill()
                child.wait()
        result = Result(code, _head(out), _head(err))
    if code == _NOT_THERE:
        raise RuntimeError(f"no sandbox on this machine: {result.stderr.strip()}")
    return result


def _head(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_MOST_OUTPUT).decode("utf-8", "replace")


# What follows runs in the child.

_READ, _FILE = 0b1101, 0b110  # execute, read file, read folder; read file, write file
_LANDLOCK_FS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}  # what each version can forbid on files
_SYSCALLS = {  # sockets, io_uring, ptrace, memory of other processes, signals, processes
    "x86_64": (0xC000003E, (41, 425, 101, 310, 311, 62, 200, 234, 129, 424, 57, 58), 56, 435),
    "aarch64": (0xC00000B7, (198, 425, 117, 270, 271, 129, 130, 131, 138, 424), 220, 435),
}


def main(scratch: str, timeout_s: str, memory_mb: str) -> None:
    """Shut this process in, then become the program."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _limit(float(timeout_s), int(memory_mb) << 20)
        _check(libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
        _check(libc.prctl(1, signal.SIGKILL), "parent death signal")
        _landlock(libc, scratch)
        _seccomp(libc)
    except OSError as error:
        print(error, file=sys.stderr)
        os._exit(_NOT_THERE)
    os.chdir(scratch)
    source = Path("program.py").read_text(encoding="utf-8")
    sys.argv = ["program.py"]
    exec(compile(source, "program.py", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})  # noqa: S102


def _limit(timeout_s: float, memory: int) -> None:
    seconds = int(timeout_s) + 1
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 16 << 20,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        resource.setrlimit(which, (most, most))


def _check(code: int, what: str) -> int:
    if code < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return code


def _landlock(libc: ctypes.CDLL, scratch: str) -> None:
    """Writes into `scratch` only, reads there, in Python and in /usr; no TCP and no signals where it knows how."""
    version = _check(libc.syscall(444, None, 0, 1), "landlock")
    handled = next(bits for since, bits in sorted(_LANDLOCK_FS.items(), reverse=True) if version >= since)
    attributes = struct.pack("QQQ", handled, 3, 3)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules = _check(libc.syscall(444, attributes, len(attributes), 0), "landlock ruleset")
    readable = {sys.base_prefix, sys.prefix, "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom"}
    for path, access in [(scratch, handled), ("/dev/null", 0b110), *((path, _READ) for path in readable)]:
        if os.path.exists(path):  # noqa: PTH110
            allowed = access if os.path.isdir(path) else access & _FILE  # noqa: PTH112
            beneath = struct.pack("=Qi", allowed, os.open(path, os.O_PATH))
            _check(libc.syscall(445, rules, 1, beneath, 0), f"landlock rule of {path}")
    _check(libc.syscall(446, rules, 0), "landlock restrict")


def _seccomp(libc: ctypes.CDLL) -> None:
    """Sockets, signals, other processes' memory and new processes fail with EACCES; threads may start."""
    if platform.machine() not in _SYSCALLS:
        raise OSError(0, f"seccomp: no list of system calls for {platform.machine()}")
    architecture, denied, clone, clone3 = _SYSCALLS[platform.machine()]
    kill, refuse, unknown, allow = 0x80000000, 0x00050000 | 13, 0x00050000 | 38, 0x7FFF0000
    code = [(0x20, 0, 0, 4), (0x15, 1, 0, architecture), (0x06, 0, 0, kill), (0x20, 0, 0, 0)]
    code += [(0x35, 0, 1, 0x40000000), (0x06, 0, 0, kill)]  # the x32 numbers would go around the list
    for number in denied:
        code += [(0x15, 0, 1, number), (0x06, 0, 0, refuse)]
    code += [(0x15, 0, 1, clone3), (0x06, 0, 0, unknown)]  # libc then uses clone, whose flags can be read
    code += [(0x15, 0, 3, clone), (0x20, 0, 0, 16), (0x45, 1, 0, 0x10000), (0x06, 0, 0, refuse)]
    code += [(0x06, 0, 0, allow)]
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    _check(libc.prctl(22, 2, header, 0, 0), "seccomp")


if __name__ == "__main__":
    main(*sys.argv[1:])
