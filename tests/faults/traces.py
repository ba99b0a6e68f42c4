"""Reads what strace(1) saw of a process and its threads, as one line of events in the order they happened."""

import itertools
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = "fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,write,writev,sendto,sendmsg,recvfrom,read"


def strace(output: Path) -> list[str]:
    """The command line that a program is put behind. Names stand in place of descriptors."""
    program = shutil.which("strace")
    assert program, "the order of system calls cannot be seen: install the package strace"
    return [program, "-f", "--seccomp-bpf", "-yy", "-s", "400", "-e", f"trace={CALLS}", "-o", str(output)]


@dataclass(frozen=True)
class Event:
    """One system call that succeeded. What it did is done at `ended`; it was asked for at `began`."""

    began: int
    ended: int
    """Lines of the trace, which strace writes in the order of events."""
    name: str
    text: str
    """Its arguments as strace shows them."""


_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_UNFINISHED = " <unfinished ...>"
_FAILED = re.compile(r"\) += -1 E")


def events(trace: Path) -> list[Event]:
    """All calls of the trace that came to an end without an error, in the order of their ends."""
    found, open_calls = list[Event](), dict[tuple[str, str], tuple[int, str]]()
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        if call := _CALL.match(line):
            pid, name, rest = call.groups()
            if rest.endswith(_UNFINISHED):
                open_calls[pid, name] = number, rest.removesuffix(_UNFINISHED)
                continue
            began, text = number, rest
        elif (call := _RESUMED.match(line)) and (call[1], call[2]) in open_calls:
            pid, name, rest = call.groups()
            began, text = open_calls.pop((pid, name))
            text += rest
        else:
            continue
        if not _FAILED.search(text):
            found.append(Event(began, number, name, text))
    return found


def first(seen: Sequence[Event], names: str, pattern: str, *, after: int = -1) -> Event:
    """The first of these calls (names divided by `|`) that fits and began after that line."""
    for event in seen:
        if event.began > after and re.fullmatch(names, event.name) and re.search(pattern, event.text):
            return event
    raise AssertionError(f"no {names} with {pattern} after line {after} of the trace")


def check_order(*chain: Event) -> None:
    """Each call was over before the next one was asked for."""
    for before, after in itertools.pairwise(chain):
        assert before.ended < after.began, f"{after} did not wait for {before}"


SEND, RECEIVE = "write|writev|sendto|sendmsg", "read|recvfrom"


def connection(port: int, *, ours: bool) -> str:
    """Pattern of a TCP connection with this port on our side, or on the other."""
    return rf"TCP:\[127\.0\.0\.1:{port}->" if ours else rf"TCP:\[[^]]*->127\.0\.0\.1:{port}\]"
