"""Runs on a host: what stands in the control groups of the services that are its arguments.

Prints a JSON object by name: memory in bytes, processor in percent of one core, most tasks. Control groups
version 1 as in the lab, or version 2.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def version1(group: str) -> "list[int]":
    """A directory for each controller."""
    quota = int((ROOT / "cpu" / group / "cpu.cfs_quota_us").read_text())
    period = int((ROOT / "cpu" / group / "cpu.cfs_period_us").read_text())
    memory = int((ROOT / "memory" / group / "memory.limit_in_bytes").read_text())
    return [memory, quota * 100 // period, int((ROOT / "pids" / group / "pids.max").read_text())]


def version2(group: str) -> "list[int]":
    """One directory."""
    quota, period = map(int, (ROOT / group / "cpu.max").read_text().split())
    memory = int((ROOT / group / "memory.max").read_text())
    return [memory, quota * 100 // period, int((ROOT / group / "pids.max").read_text())]


def main() -> None:
    """Looks at one after the other."""
    found = {}
    for name in sys.argv[1:]:
        show = ["systemctl", "show", "--property=ControlGroup", "--value", f"lucid-{name}.service"]
        group = subprocess.run(show, check=True, capture_output=True, text=True).stdout.strip().lstrip("/")
        found[name] = version1(group) if (ROOT / "memory").is_dir() else version2(group)
    print(json.dumps(found))  # noqa: T201 - its answer


main()
