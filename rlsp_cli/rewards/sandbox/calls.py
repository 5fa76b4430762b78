"""The system calls that a program may use; any other fails as if the kernel lacked it (ENOSYS).

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
    access chdir close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fallocate fchdir fdatasync flock fstat fstatfs fsync ftruncate getcwd getdents
    getdents64 link linkat lseek lstat mkdir mkdirat newfstatat open openat openat2 pread64 preadv
    preadv2 pwrite64 pwritev pwritev2 read readlink readlinkat readv rename renameat renameat2 rmdir
    sendfile stat statfs statx symlink symlinkat sync_file_range truncate umask unlink unlinkat
    write writev
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 pipe
    pipe2 poll ppoll pselect6 recvfrom select shutdown getsockopt getsockname timerfd_create
    timerfd_gettime timerfd_settime
"""
_MEMORY = "brk madvise mincore mlock mmap mprotect mremap msync munlock munmap"
_THREADS = """
    exit exit_group futex futex_waitv futex_wake futex_wait futex_requeue membarrier rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait
    restart_syscall sched_getaffinity sched_yield set_robust_list set_tid_address sigaltstack
"""
_TIME = """
    alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause
    setitimer time times
"""
_ITSELF = """
    arch_prctl getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getrandom
    getresgid getresuid getrlimit getrusage getsid gettid getuid setrlimit sysinfo uname
"""
_PLAIN = f"{_FILES} {_WAITING} {_MEMORY} {_THREADS} {_TIME} {_ITSELF}".split()

_UNKNOWN = -1
"""What libseccomp answers for a call that it does not know."""
_CLONE_THREAD = 0x10000
_AF_UNIX = 1
_PR_SET_NAME, _PR_GET_NAME = 15, 16
_OWN_PROCESS = 0
_NO_ADDRESS = 0

# Duplicating, flags and locks. Left out: F_SETOWN, F_SETSIG, F_SETLEASE and F_NOTIFY, by which
# the kernel would send signals, F_SETPIPE_SZ and seals.
_FCNTL = {
    "F_DUPFD": 0,
    "F_GETFD": 1,
    "F_SETFD": 2,
    "F_GETFL": 3,
    "F_SETFL": 4,
    "F_GETLK": 5,
    "F_SETLK": 6,
    "F_SETLKW": 7,
    "F_OFD_GETLK": 36,
    "F_OFD_SETLK": 37,
    "F_OFD_SETLKW": 38,
    "F_DUPFD_CLOEXEC": 1030,
}

# What Python asks of any file that it opens. Left out above all: TIOCSTI, which types into a
# terminal, and TIOCLINUX.
_IOCTL = {
    "TCGETS": 0x5401,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}


@cache
def allowed_calls(*more: str) -> bytes:
    """The filter, compiled for this machine, with `more` calls than the program's own.

    NotReadyError without libseccomp.
    """
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise NotReadyError(
            f"no libseccomp: {error} - apt install libseccomp2, pip install pyseccomp"
        ) from error

    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.ENOSYS))
    for name in (*_PLAIN, *more):
        _allow(pyseccomp, rules, name)
    for command in _FCNTL.values():
        _allow(pyseccomp, rules, "fcntl", pyseccomp.Arg(1, pyseccomp.EQ, command))
    for request in _IOCTL.values():
        _allow(pyseccomp, rules, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    for option in (_PR_SET_NAME, _PR_GET_NAME):
        _allow(pyseccomp, rules, "prctl", pyseccomp.Arg(0, pyseccomp.EQ, option))

    # A thread, but no process. clone3, whose flags lie in memory that a filter cannot read, is
    # not on the list; the C library then falls back to clone.
    if "clone" not in more:
        thread = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD)
        _allow(pyseccomp, rules, "clone", thread)

    # The limits of other processes, the supervisor's too, are out of reach.
    _allow(pyseccomp, rules, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, _OWN_PROCESS))

    # asyncio wakes itself through a pair of sockets; nothing may be sent anywhere else.
    _allow(pyseccomp, rules, "socketpair", pyseccomp.Arg(0, pyseccomp.EQ, _AF_UNIX))
    _allow(pyseccomp, rules, "sendto", pyseccomp.Arg(4, pyseccomp.EQ, _NO_ADDRESS))

    # The library writes a filter only to a file that has a descriptor.
    with tempfile.TemporaryFile() as compiled:
        rules.export_bpf(compiled)
        compiled.seek(0)
        return compiled.read()


def _allow(library: Any, rules: Any, name: str, *conditions: Any) -> None:
    """Allow a call; one that an older libseccomp does not know stays forbidden."""
    if library.resolve_syscall(library.Arch.NATIVE, name) != _UNKNOWN:
        rules.add_rule(library.ALLOW, name, *conditions)
