"""The system calls that a program may use; every other one fails as if the kernel did not have it (ENOSYS).

An allow list, because the kernel gains calls. What is on it touches files, memory, time and threads
of the process itself. Not on it are new processes and programs, signals, sockets, other processes,
users, modes and times of files, shared memory of System V, keys, and whatever administers a
machine.
"""

import errno
import tempfile
from functools import cache
from typing import Any

from rlsp_cli.errors import NotReadyError

_FILES = """
    access chdir close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchdir
    fdatasync flock fstat fstatfs fsync ftruncate getcwd getdents getdents64 link linkat lseek lstat mkdir mkdirat
    newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readlink readlinkat readv
    rename renameat renameat2 rmdir sendfile stat statfs statx symlink symlinkat sync_file_range truncate umask unlink
    unlinkat write writev
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 pipe pipe2 poll ppoll
    pselect6 recvfrom select shutdown getsockopt getsockname timerfd_create timerfd_gettime timerfd_settime
"""
_MEMORY = "brk madvise mincore mlock mmap mprotect mremap msync munlock munmap"
_THREADS = """
    exit exit_group futex futex_waitv futex_wake futex_wait futex_requeue membarrier rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait restart_syscall sched_getaffinity sched_yield
    set_robust_list set_tid_address sigaltstack
"""
_TIME = """
    alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause setitimer time times
"""
_ITSELF = """
    arch_prctl getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getrandom getresgid getresuid
    getrlimit getrusage getsid gettid getuid setrlimit sysinfo uname
"""
_PLAIN = f"{_FILES} {_WAITING} {_MEMORY} {_THREADS} {_TIME} {_ITSELF}".split()

_UNKNOWN = -1
_CLONE_THREAD = 0x10000
_AF_UNIX = 1
_PR_SET_NAME, _PR_GET_NAME = 15, 16
_FCNTL = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    36,
    37,
    38,
    1030,
)  # duplicate, flags, locks; nothing that has signals sent
_IOCTL = (
    0x5401,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)  # is it a terminal, its size, bytes to read, blocking, on exec


@cache
def allowed_calls() -> bytes:
    """The filter, compiled for this machine; NotReadyError without libseccomp."""
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise NotReadyError(
            f"no libseccomp: {error} - apt install libseccomp2, pip install pyseccomp"
        ) from error

    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.ENOSYS))
    for name in _PLAIN:
        _allow(pyseccomp, rules, name)
    for command in _FCNTL:
        _allow(pyseccomp, rules, "fcntl", pyseccomp.Arg(1, pyseccomp.EQ, command))
    for request in _IOCTL:
        _allow(pyseccomp, rules, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    for option in (_PR_SET_NAME, _PR_GET_NAME):
        _allow(pyseccomp, rules, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))

    _allow(
        pyseccomp,
        rules,
        "clone",
        pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD),
    )
    _allow(pyseccomp, rules, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0))  # its own limits
    _allow(
        pyseccomp, rules, "socketpair", pyseccomp.Arg(0, pyseccomp.EQ, _AF_UNIX)
    )  # asyncio wakes itself through one
    _allow(
        pyseccomp, rules, "sendto", pyseccomp.Arg(4, pyseccomp.EQ, 0)
    )  # to the other end, no address

    with tempfile.TemporaryFile() as compiled:
        rules.export_bpf(compiled)
        compiled.seek(0)
        return compiled.read()


def _allow(library: Any, rules: Any, name: str, *conditions: Any) -> None:
    """Allow a call; an older libseccomp need not know a newer one, which then stays forbidden."""
    if library.resolve_syscall(library.Arch.NATIVE, name) != _UNKNOWN:
        rules.add_rule(library.ALLOW, name, *conditions)
