"""Ends process groups when the process that started them is gone, even by SIGKILL.

Runs as a program of its own with a pipe from its keeper on standard input: `+PGID` puts a process
group under guard, `-PGID` releases it. The kernel closes the pipe when the keeper dies; what is then still
under guard gets SIGTERM, and after a few seconds SIGKILL.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 4.0


def main() -> None:
    """Reads the pipe to its end, then ends what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    guarded: dict[int, None] = {}
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            guarded[group] = None
        else:
            guarded.pop(group, None)
    # Those started last depend on those started first.
    left = [group for group in reversed(guarded) if _signal(group, signal.SIGTERM)]
    until = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < until:
        time.sleep(0.05)
        left = [group for group in left if _signal(group, 0)]
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Whether the group was there to get it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    main()
