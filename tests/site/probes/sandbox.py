"""What a program can do where it runs: everything a thief inside it would try. Only the standard library."""

import ctypes
import errno
import mmap
import os
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

DONE = "done"
LIBC = ctypes.CDLL(None, use_errno=True)
SPACES = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
RAW_PROTOCOLS = 0x0300  # ETH_P_ALL in network order
PTRACE_ATTACH = 16
FIGURES = ("/proc/stat", "/proc/meminfo", "/proc/loadavg")


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """`asked`: tools to be run, places (directories) to be written to, private (files) to be read."""
    executable, writable = _walk()
    return {
        "executable": executable,
        "writable": writable,
        "present": [tool for tool in asked["tools"] if os.path.exists(tool)],  # noqa: PTH110 - a string
        "ran": [tool for tool in asked["tools"] if _ran([tool, "--version"])],
        "smuggled": {name: outcome(attempt) for name, attempt in _smuggling().items()},
        "wrote": [place for place in asked["places"] if outcome(partial(_write, place)) == DONE],
        "readable": [path for path in asked["private"] if outcome(partial(_read, path)) == DONE],
        "credentials": sorted(path.name for path in Path(os.environ["CREDENTIALS_DIRECTORY"]).iterdir())
        if "CREDENTIALS_DIRECTORY" in os.environ
        else [],
        "state": outcome(lambda: _write(os.environ["STATE_DIRECTORY"])),
        "calls": {name: outcome(attempt) for name, attempt in _calls().items()},
        "figures": {path: outcome(partial(_read, path)) for path in FIGURES},
        "network": outcome(_raise_loopback),
        "processes": _processes(),
    }


def outcome(attempt: Callable[[], object]) -> str:
    """`done`, or the name of the error that ended it."""
    try:
        attempt()
    except OSError as error:
        # dlopen() tells its errors in words only.
        return errno.errorcode.get(error.errno or 0, str(error))
    return DONE


def _walk() -> tuple[list[str], list[str]]:
    """The files that could be executed, libraries aside; the files and directories that could be written."""
    executable: list[str] = []
    writable: list[str] = []
    for directory, inner, names in os.walk("/"):
        if directory == "/":
            inner[:] = [name for name in inner if name not in {"proc", "sys"}]
        if os.access(directory, os.W_OK):
            writable.append(directory)
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118 - tens of thousands, in a tenth of the time
            mode = os.lstat(path).st_mode if os.path.lexists(path) else 0
            if stat.S_ISREG(mode):
                if mode & 0o111 and ".so" not in name and os.access(path, os.X_OK):
                    executable.append(path)
                if os.access(path, os.W_OK):
                    writable.append(path)
    return executable, writable


def _ran(command: list[str], **options: Any) -> int | None:
    """Whether a program was started. Its exit status plus one: what could not be started gives nothing."""
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    try:
        done = subprocess.run(command, stderr=subprocess.DEVNULL, timeout=10, check=False, **quiet, **options)
    except OSError:
        return None
    return done.returncode + 1


def _smuggling() -> dict[str, Callable[[], object]]:
    """Ways to run a shell where /bin/sh cannot be executed."""
    state = Path(os.environ["STATE_DIRECTORY"])
    shell = Path("/bin/sh").read_bytes()

    def run(*command: str, **options: Any) -> None:
        if _ran([*command, "-c", "exit 41"], **options) != 42:
            raise PermissionError(errno.EACCES, "not run")

    def copied(directory: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            Path(file.name).write_bytes(shell)
            Path(file.name).chmod(0o700)
            script = Path(f"{file.name}.copy")
            script.write_bytes(shell)
            script.chmod(0o700)
            try:
                run(str(script))
            finally:
                script.unlink()

    def unnamed() -> None:
        file = os.memfd_create("shell", 0)
        os.write(file, shell)
        run(f"/proc/self/fd/{file}", pass_fds=(file,))

    def library(directory: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=directory, suffix=".so") as file:
            file.write(_only("/usr/lib", "*-linux-gnu/libm.so.6").read_bytes())
            file.flush()
            ctypes.CDLL(file.name)

    return {
        "by the loader": lambda: run(str(_only("/", "lib*/ld-linux*")), "/bin/sh"),
        "copied into its state": lambda: copied(state),
        "copied into /tmp": lambda: copied(Path("/tmp")),  # noqa: S108 - that is the question
        "copied into /dev/shm": lambda: copied(Path("/dev/shm")),  # noqa: S108 - that is the question
        "copied into memory": unnamed,
        "as a library in its state": lambda: library(state),
    }


def _only(directory: str, pattern: str) -> Path:
    return next(iter(Path(directory).glob(pattern)))


def _calls() -> dict[str, Callable[[], object]]:
    def libc(name: str, *arguments: Any) -> Callable[[], None]:
        def call() -> None:
            if getattr(LIBC, name)(*arguments) == -1:
                raise OSError(ctypes.get_errno(), name)

        return call

    def set_user_id() -> None:
        with tempfile.NamedTemporaryFile(dir=os.environ["STATE_DIRECTORY"]) as file:
            os.chmod(file.name, 0o4700)  # noqa: PTH101 - a call like the others

    real_time = os.sched_param(1)
    return {
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP),
        "raw socket, IPv6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP),
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, RAW_PROTOCOLS),
        "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "vsock socket": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
        **{f"new {name} namespace": libc("unshare", flag) for name, flag in SPACES.items()},
        "enter a namespace": libc("setns", os.open("/proc/self/ns/net", os.O_RDONLY), 0),
        "ptrace": libc("ptrace", PTRACE_ATTACH, 1, None, None),
        "load a module": libc("init_module", b"", 0, b""),
        "remove a module": libc("delete_module", b"lucid", os.O_NONBLOCK),
        "mount": libc("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "unmount": libc("umount2", b"/tmp", 0),
        "chroot": lambda: os.chroot("/"),
        "kernel log": libc("klogctl", 3, ctypes.create_string_buffer(16), 16),
        "host name": lambda: socket.sethostname("stolen"),
        "clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
        "become root": lambda: os.setuid(0),
        "set-user-id": set_user_id,
        "real-time priority": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, real_time),
        "higher priority": lambda: os.nice(-5),
        "personality": libc("personality", 0x0040000),
        "memory to write and execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
        "memory of the kernel": lambda: os.open("/dev/mem", os.O_RDONLY),
        "messages of the kernel": lambda: os.open("/dev/kmsg", os.O_RDONLY),
        "a device": lambda: os.mknod("/tmp/sda", stat.S_IFBLK | 0o600, os.makedev(8, 0)),  # noqa: S108 - ditto
        "settings of the kernel": lambda: _read("/proc/sys/kernel/hostname"),
        "kill": lambda: os.kill(1, 0),
    }


def _raise_loopback() -> None:
    """Asks the kernel by netlink to set the loopback's flags to what they are, which only root may."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(5)
        new_link, request_and_answer = 16, 0x5
        kernel.send(struct.pack("=IHHIIBxHiII", 32, new_link, request_and_answer, 1, 0, 0, 0, 1, 0, 0))
        (code,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    if code:
        raise OSError(-code, "refused")


def _processes() -> dict[str, str]:
    """All processes in sight but this one: id and command line."""
    lines = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                lines[entry.name] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError as error:
                lines[entry.name] = str(error)
    return lines


def _write(directory: str) -> None:
    with tempfile.NamedTemporaryFile(dir=directory):
        pass


def _read(path: str) -> None:
    with open(path, "rb") as file:  # noqa: PTH123 - as short as it gets
        file.read(1)
