"""Memory of process groups, from /proc."""

import contextlib
from collections import defaultdict
from pathlib import Path


def by_group() -> dict[int, int]:
    """Bytes in use by each process group, by its id.

    Proportional set size (proc(5), smaps_rollup): pages that processes share are counted once among them.
    """
    found: dict[int, int] = defaultdict(int)
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
                # The name in parentheses may hold anything; state, parent and group follow it.
                group = int((process / "stat").read_text().rpartition(")")[2].split()[2])
                found[group] += _proportional((process / "smaps_rollup").read_text())
    return found


def _proportional(rollup: str) -> int:
    lines = (line.split() for line in rollup.splitlines())
    return next((int(words[1]) * 1024 for words in lines if words[0] == "Pss:"), 0)
