"""Runs on a host: when its Lucid services were stopped and started, from the journal of systemd.

Argument: from when on, seconds since the epoch. Prints a JSON object by unit: the time in microseconds of
`stopping`, `stopped`, `starting` and `started`, each the latest one.
"""

import json
import subprocess
import sys

EVENTS = {  # sd-messages(3)
    "de5b426a63be47a7b6ac3eaac82e2f6f": "stopping",
    "9d1aaa27d60140bd96365438aad20286": "stopped",
    "7d4958e842da4a758f6c1cdc7b36dcc5": "starting",
    "39f53479d3a045ac8e11786248231fbf": "started",
}


def main() -> None:
    """Reads the journal once."""
    wanted = [f"MESSAGE_ID={number}" for number in EVENTS]
    command = ["journalctl", "--output=json", f"--since=@{sys.argv[1]}", "--no-pager", *wanted]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found: dict[str, dict[str, int]] = {}
    for entry in map(json.loads, lines):
        unit = entry.get("UNIT", "")
        if unit.startswith("lucid-") and unit.endswith(".service"):
            happened = EVENTS[entry["MESSAGE_ID"]]
            found.setdefault(unit, {})[happened] = int(entry["__MONOTONIC_TIMESTAMP"])
    print(json.dumps(found))  # noqa: T201 - its answer


main()
