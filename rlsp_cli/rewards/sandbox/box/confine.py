"""Ways in which a process gives up what it may do, for good. OSError where the kernel does not know one."""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = (
    444,
    445,
    446,
)  # on every architecture
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_ALL_FILE_RIGHTS = {
    1: 0x1FFF,
    2: 0x3FFF,
    3: 0x7FFF,
    5: 0xFFFF,
}  # what each version of Landlock can forbid
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11  # since versions 4 and 6

MOST_FILE_BYTES = 64 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Be killed when the process that forked this one ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "parent death signal")


def drop_privileges() -> None:
    """Drop all capabilities, root's too, and never gain any."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    header, nothing = struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24)
    _check(_libc.capset(header, nothing), "capset")


def read_only(readable: Sequence[str]) -> None:
    """Landlock: read beneath these paths, write to /dev/null alone; no TCP and no signals where it knows how."""
    version = _check(
        _libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION),
        "Landlock",
    )
    files = next(
        rights
        for since, rights in sorted(_ALL_FILE_RIGHTS.items(), reverse=True)
        if version >= since
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = struct.pack("QQQ", files, _ALL_TCP, _ALL_SCOPES)[:size]
    ruleset = _check(_libc.syscall(_LANDLOCK_CREATE_RULESET, rules, size, 0), "Landlock's rules")

    for path in (os.devnull, *readable):
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _READ_FILE
        if path == os.devnull:
            rights |= _WRITE_FILE
        else:
            rights |= _EXECUTE
        if os.path.isdir(path):  # noqa: PTH112
            rights |= _READ_FOLDER

        rule = struct.pack("=Qi", rights, beneath)
        _check(
            _libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0), path
        )
        os.close(beneath)

    _check(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def limit(seconds: float, memory_mb: int) -> None:
    """Limits of processor time, address space, and of what is written to one file; never above those that it has."""
    limits = {
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_FSIZE: MOST_FILE_BYTES,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (allowed, allowed))


def filter_calls(program: bytes) -> None:
    """From here on the kernel carries out only the system calls that a compiled filter allows."""
    instructions = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0), "seccomp")


def _check(code: int, what: str) -> int:
    if code < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return code
