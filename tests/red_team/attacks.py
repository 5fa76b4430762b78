"""A program that tries to get out of its sandbox: every function is an attack.

It raises OSError or returns False when it was stopped, and returns True when it got through. `OUTSIDE`, a file, `FOLDER`,
the folder that it is in, and `VICTIM`, a process of the same user, are set before this runs.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time

OUTSIDE: str
FOLDER: str
VICTIM: int

libc = ctypes.CDLL(None, use_errno=True)
PARENT = os.getppid()
WORD = b"planted"


def checked(result):
    """A C function's result; its error as OSError."""
    if result in (-1, 2**64 - 1):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call(number, *args):
    """A system call of x86-64 by its number."""
    return checked(libc.syscall(number, *args))


# Files


def read_passwd():
    return bool(open("/etc/passwd").read())


def read_outside():
    return bool(open(OUTSIDE).read())


def list_folder():
    return bool(os.listdir(FOLDER))


def read_environment():
    return any("SECRET" in name for name in os.environ)


def read_own_environment():
    return WORD in open("/proc/self/environ", "rb").read()


def read_environments():
    return any(WORD in open(f"/proc/{pid}/environ", "rb").read() for pid in (PARENT, VICTIM))


def write_outside():
    open(OUTSIDE, "w").write("mine")
    return True


def append_outside():
    open(OUTSIDE, "a").write("mine")
    return True


def truncate_outside():
    os.truncate(OUTSIDE, 0)
    return True


def unlink_outside():
    os.unlink(OUTSIDE)
    return True


def rename_outside():
    os.rename(OUTSIDE, OUTSIDE + ".moved")
    return True


def create_outside():
    open(FOLDER + "/created", "w").close()
    return True


def make_folder_outside():
    os.mkdir(FOLDER + "/made")
    return True


def hard_link():
    os.link(OUTSIDE, "link")
    return bool(open("link").read())


def symlink_read():
    os.symlink(OUTSIDE, "symlink")
    return bool(open("symlink").read())


def symlink_write():
    os.symlink(OUTSIDE, "symlink")
    open("symlink", "w").write("mine")
    return True


def write_usr():
    open("/usr/rlsp-red-team", "w").close()
    return True


def write_python():
    open(os.__file__, "a").close()
    return True


def write_root():
    open("/rlsp-red-team", "w").close()
    return True


def chmod_outside():
    os.chmod(OUTSIDE, 0o777)
    return True


def fchmodat2_outside():
    call(452, -100, OUTSIDE.encode(), 0o777, 0)
    return True


def chmod_python():
    os.chmod(os.__file__, 0o777)
    return True


def chown_outside():
    os.chown(OUTSIDE, 65534, 65534)
    return True


def utime_outside():
    os.utime(OUTSIDE, (1, 1))
    return True


def setxattr_outside():
    os.setxattr(OUTSIDE, "user.red", b"1")
    return True


def chattr_scratch():
    file = os.open("immutable", os.O_CREAT | os.O_RDWR)
    fcntl.ioctl(file, 0x40086602, struct.pack("l", 0x10))
    return True


def stat_outside():
    return os.stat(OUTSIDE).st_size > 0


def read_link_of_parent():
    return bool(os.readlink(f"/proc/{VICTIM}/exe"))


def list_descriptors():
    return bool(os.listdir("/proc/self/fd"))


def inherited_descriptors():
    channel = os.fstat(3).st_ino
    there = []
    for number in range(4, 256):
        try:
            there.append(os.fstat(number).st_ino)
        except OSError:
            pass
    return any(inode != channel for inode in there)


def open_beneath_descriptors():
    for number in range(3, 64):
        try:
            os.open("etc/passwd", os.O_RDONLY, dir_fd=number)
            return True
        except OSError:
            pass
    return False


def open_by_handle():
    handle = struct.pack("Ii8s", 8, 1, b"\x02")
    mount = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    call(304, mount, handle, 0)
    return True


def memory_file():
    os.memfd_create("red")
    return True


def chroot():
    os.chroot("/tmp")
    return True


def pivot_root():
    call(155, b".", b".")
    return True


def mount():
    checked(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
    return True


def move_mount():
    call(428, -100, b"/", 1)  # open_tree
    return True


def unshare_user():
    checked(libc.unshare(0x10000000))
    return True


def unshare_mounts():
    checked(libc.unshare(0x00020000))
    return True


def named_pipe():
    os.mkfifo("pipe")
    return True


def device_null():
    os.mknod("null", 0o020666, os.makedev(1, 3))
    return bool(open("null", "w"))


def device_kernel_messages():
    os.mknod("kmsg", 0o020666, os.makedev(1, 11))
    return bool(open("kmsg", "rb"))


def device_memory():
    os.mknod("mem", 0o020666, os.makedev(1, 1))
    return bool(open("mem", "rb"))


def device_disk():
    os.mknod("disk", 0o060666, os.makedev(254, 0))
    return bool(open("disk", "rb"))


# Network


def tcp():
    socket.create_connection(("127.0.0.1", 22), 1)
    return True


def udp():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
    return True


def unix_socket():
    socket.socket(socket.AF_UNIX)
    return True


def netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
    return True


def packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    return True


def raw_socket_call():
    call(41, socket.AF_INET, socket.SOCK_STREAM, 0)
    return True


def pair_to_an_address():
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"x", "/run/systemd/journal/socket")
    return True


def pair_of_another_family():
    socket.socketpair(socket.AF_INET, socket.SOCK_STREAM)
    return True


def pass_a_descriptor():
    one, _ = socket.socketpair()
    socket.send_fds(one, [b"x"], [0])
    return True


def io_uring():
    call(425, 1, bytes(120))
    return True


# Processes


def fork():
    os.fork()
    return True


def vfork():
    call(58)
    return True


def spawn():
    os.posix_spawn("/bin/true", ["true"], {})
    return True


def subprocess_run():
    import subprocess

    subprocess.run(["/bin/true"], check=True)
    return True


def raw_clone():
    call(56, signal.SIGCHLD, 0, 0, 0, 0)
    return True


def raw_clone_of_the_memory():
    call(56, 0x100 | signal.SIGCHLD, 0, 0, 0, 0)
    return True


def raw_clone3():
    call(435, bytes(88), 88)
    return True


def execute():
    os.execv("/usr/bin/id", ["id"])


def execute_a_shell():
    os.execv("/bin/sh", ["sh", "-c", ":"])


def multiprocessing_run():
    import multiprocessing

    multiprocessing.get_context("fork").Process(target=print).start()
    return True


# Other processes


def kill_parent():
    os.kill(PARENT, 0)
    return True


def kill_victim():
    os.kill(VICTIM, 9)
    return True


def kill_all():
    os.kill(-1, 0)  # asks only whether it might
    return True


def kill_group():
    os.killpg(0, 0)
    return True


def queue_a_signal():
    call(129, VICTIM, 0, bytes(128))
    return True


def queue_a_signal_to_a_thread():
    call(297, VICTIM, VICTIM, 0, bytes(128))
    return True


def thread_kill():
    call(234, VICTIM, VICTIM, 0)
    return True


def pidfd():
    os.pidfd_open(VICTIM)
    return True


def pidfd_signal():
    call(424, 0, 0, 0, 0)
    return True


def signal_by_owner():
    read_end, _ = os.pipe()
    fcntl.fcntl(read_end, fcntl.F_SETOWN, VICTIM)
    return True


def signal_by_extended_owner():
    read_end, _ = os.pipe()
    fcntl.fcntl(read_end, 15, struct.pack("ii", 1, VICTIM))
    return True


def signal_by_ioctl():
    read_end, _ = os.pipe()
    fcntl.ioctl(read_end, 0x8901, struct.pack("i", VICTIM))
    return True


def choose_the_signal():
    read_end, _ = os.pipe()
    fcntl.fcntl(read_end, 10, 9)
    return True


def trace_victim():
    checked(libc.ptrace(16, VICTIM, 0, 0))
    return True


def read_memory_of_victim():
    call(310, VICTIM, 0, 0, 0, 0, 0)
    return True


def write_memory_of_victim():
    call(311, VICTIM, 0, 0, 0, 0, 0)
    return True


def take_a_descriptor():
    call(438, 0, 0, 0)
    return True


def compare_with_victim():
    call(312, VICTIM, VICTIM, 0, 0, 0)
    return True


def limit_files_of_victim():
    resource.prlimit(VICTIM, resource.RLIMIT_NOFILE, (3, 3))
    return True


def limit_files_of_parent():
    resource.prlimit(PARENT, resource.RLIMIT_NOFILE, (3, 3))
    return True


def limit_time_of_victim():
    resource.prlimit(VICTIM, resource.RLIMIT_CPU, (0, 0))
    return True


def limit_time_of_parent():
    resource.prlimit(PARENT, resource.RLIMIT_CPU, (0, 0))
    return True


def limit_with_a_long_pid():
    call(302, ctypes.c_uint64((7 << 32) | VICTIM), 7, 0, 0)
    return True


def raise_own_memory():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


def raise_own_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


def renice_victim():
    os.setpriority(os.PRIO_PROCESS, VICTIM, 19)
    return True


def renice_parent():
    os.setpriority(os.PRIO_PROCESS, PARENT, 19)
    return True


def pin_victim():
    os.sched_setaffinity(VICTIM, {0})
    return True


def reschedule_victim():
    os.sched_setscheduler(VICTIM, os.SCHED_IDLE, os.sched_param(0))
    return True


def io_priority_of_victim():
    call(251, 1, VICTIM, 3 << 13)
    return True


def move_pages_of_victim():
    call(279, VICTIM, 0, 0, 0, 0, 0)
    return True


def group_of_victim():
    os.setpgid(VICTIM, 0)
    return True


# What stays


def shared_memory():
    return checked(libc.shmget(0x52540001, 1 << 20, 0o1600)) >= 0


def message_queue():
    return checked(libc.msgget(0x52540002, 0o1600)) >= 0


def semaphores():
    return checked(libc.semget(0x52540003, 1, 0o1600)) >= 0


def posix_message_queue():
    call(240, b"red", os.O_CREAT | os.O_RDWR, 0o600, 0)
    return True


def user_keyring():
    return call(248, b"user", b"red", b"x", 1, -4) > 0


def session_keyring():
    return call(248, b"user", b"red", b"x", 1, -3) > 0


def read_keyring():
    return call(250, 0, -3, 1) > 0


def outlive_the_parent():
    checked(libc.prctl(1, 0))
    return True


def session_of_its_own():
    os.setsid()
    return True


# The machine


def set_clock():
    time.clock_settime(time.CLOCK_REALTIME, time.time())
    return True


def adjust_clock():
    call(305, 0, bytes(208))
    return True


def host_name():
    socket.sethostname(socket.gethostname())
    return True


def reboot():
    try:
        call(169, 0, 0, 0, 0)  # wrong magic numbers
    except OSError as error:
        return error.errno == errno.EINVAL  # it may
    return True


def bpf():
    try:
        call(321, 0, 0, 0)
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.ENOSYS)
    return True


def user_fault():
    call(323, 0)
    return True


def perf_event():
    call(298, bytes(120), 0, -1, -1, 0)
    return True


def load_module():
    call(313, 0, b"", 0)
    return True


def swap_on():
    try:
        call(167, b"/none", 0)
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.ENOSYS)
    return True


def kernel_log():
    return call(103, 3, bytes(64), 64) > 0


def become_root():
    os.setuid(0)
    return True


def become_nobody():
    os.setresuid(65533, 65533, 65533)
    return True


def keep_capabilities():
    return any(int(word, 16) for word in capabilities())


def capabilities():
    """Effective and permitted ones, where the kernel says."""
    data = ctypes.create_string_buffer(24)
    checked(libc.capget(struct.pack("Ii", 0x20080522, 0), data))
    return [f"{word:x}" for word in struct.unpack("6I", data.raw) if word]


def new_seccomp_filter():
    checked(libc.prctl(22, 2, 0))
    return True


def personality():
    call(135, 0x0040000)
    return True


def x32_calls():
    call(0x40000000 + 39)
    return True


# Too much


def memory_in_one():
    return bool(bytearray(2 << 30))


def memory_in_many():
    kept = []
    while True:
        kept.append(mmap.mmap(-1, 64 << 20))


def locked_memory():
    room = mmap.mmap(-1, 1 << 20)
    checked(libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(room))), 1 << 20))
    return True


def disk_in_one_file():
    with open("big", "wb") as file:
        for _ in range(80):
            file.write(bytes(1 << 20))
    return True


def disk_in_many_files():
    for number in range(100):
        with open(f"many{number}", "wb") as file:
            file.write(bytes(1 << 20))
    return True


def shared_memory_folder():
    for number in range(100):
        with open(f"/dev/shm/many{number}", "wb") as file:
            file.write(bytes(1 << 20))
    return True


def sparse_file():
    os.truncate(os.open("sparse", os.O_CREAT | os.O_RDWR), 1 << 40)
    return True


def many_descriptors():
    kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(1000)]
    return bool(kept)


def nested_folders():
    for _ in range(500):
        os.mkdir("d")
        os.chdir("d")
    return False


def threads():
    threading.stack_size(32768)
    kept = []
    try:
        for _ in range(200):
            kept.append(threading.Thread(target=time.sleep, args=(9,), daemon=True))
            kept[-1].start()
    except RuntimeError:
        pass
    return False


def terminal():
    os.write(1, b"\x1b[2J")
    fcntl.ioctl(0, 0x5412, b"x")  # type for the user (TIOCSTI)
    return True


def recursion():
    sys.setrecursionlimit(100_000)

    def down(depth):
        return down(depth + 1)

    return down(0)
