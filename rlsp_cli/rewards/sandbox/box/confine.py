"""Functions by which a process gives up rights for good; OSError where the kernel lacks one."""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Sequence

# linux/prctl.h, linux/seccomp.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_PR_SET_NO_NEW_PRIVS = 38

# linux/capability.h: version 3 has three masks (effective, permitted, inheritable) of 64 bits,
# each as two words.
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITY_HEADER = "Ii"
_NO_CAPABILITIES = bytes(3 * 8)
_THIS_PROCESS = 0

# linux/landlock.h. Calls as young as these have one number on all architectures that we run on.
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_RULE = "=Qi"

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_FOLDER = 1 << 3

# Every right that a version of Landlock can forbid: version 2 added moving a file to another
# folder, 3 truncating one, 5 ioctl on a device. The kernel refuses bits that it does not know.
_ALL_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}

_ALL_TCP = 0b11  # bind, connect
_ALL_SCOPES = 0b11  # abstract sockets, signals
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_RULESET = "QQQ"
_RULESET_FIELD_BYTES = 8

# struct sock_fprog: the number of instructions, padding, and a pointer to them.
_SECCOMP_PROGRAM = "HxxxxxxP"
_BPF_INSTRUCTION_BYTES = 8

MOST_FILE_BYTES = 64 << 20
_MOST_OPEN_FILES = 64

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Be killed when the process that forked this one ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "parent death signal")


def drop_privileges() -> None:
    """Drop all capabilities, root's too, and never gain any."""
    # Otherwise a program with the setuid bit would bring them back, and the kernel would refuse
    # Landlock and seccomp to a process without CAP_SYS_ADMIN.
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")

    header = struct.pack(_CAPABILITY_HEADER, _CAPABILITY_VERSION_3, _THIS_PROCESS)
    _check(_libc.capset(header, _NO_CAPABILITIES), "capset")


def read_only(readable: Sequence[str]) -> None:
    """Read beneath these paths, write to /dev/null alone; a newer Landlock also forbids TCP."""
    version = _check(
        _libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION),
        "Landlock",
    )
    files = _ALL_FILE_RIGHTS[max(since for since in _ALL_FILE_RIGHTS if since <= version)]

    # The struct has grown by a field at a time, and a kernel refuses fields that it does not know.
    fields = 1 + (version >= _TCP_SINCE) + (version >= _SCOPES_SINCE)
    size = fields * _RULESET_FIELD_BYTES
    rules = struct.pack(_RULESET, files, _ALL_TCP, _ALL_SCOPES)[:size]
    ruleset = _check(_libc.syscall(_LANDLOCK_CREATE_RULESET, rules, size, 0), "Landlock's rules")

    for path in (os.devnull, *readable):
        _allow_beneath(ruleset, path)

    _check(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def _allow_beneath(ruleset: int, path: str) -> None:
    rights = _READ_FILE
    if path == os.devnull:
        rights |= _WRITE_FILE
    else:
        rights |= _EXECUTE

    # The kernel refuses a right of folders in a rule about a file.
    if os.path.isdir(path):  # noqa: PTH112
        rights |= _READ_FOLDER

    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = struct.pack(_LANDLOCK_RULE, rights, beneath)
    added = _libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
    _check(added, path)
    os.close(beneath)


def limit(seconds: float, memory_mb: int) -> None:
    """Limit processor time, memory, open files and the size of a file; no limit is raised."""
    limits = {
        # In whole seconds; at the hard limit the kernel kills, whatever handles SIGXCPU.
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_FSIZE: MOST_FILE_BYTES,
        resource.RLIMIT_NOFILE: _MOST_OPEN_FILES,
        # Locked memory and a core file would be taken from the machine, outside of these limits.
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)

        # Both limits, or the program could raise the soft one to the hard one.
        resource.setrlimit(which, (allowed, allowed))


def filter_calls(program: bytes) -> None:
    """From here on the kernel carries out only the system calls that a compiled filter allows."""
    instructions = ctypes.create_string_buffer(program)
    count = len(program) // _BPF_INSTRUCTION_BYTES
    header = struct.pack(_SECCOMP_PROGRAM, count, ctypes.addressof(instructions))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0), "seccomp")


def _check(code: int, what: str) -> int:
    if code < 0:  # ctypes raises nothing by itself
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return code
