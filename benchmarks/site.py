"""How long the lab's site takes, new and again: `python -m benchmarks.site [--json]`.

Virtual hosts on this machine, which all share its processors; packages and base image are cached, so what is
measured is the work and not a network. Needs root and `scripts/setup lab`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab import inventory, journey, lifecycle
from lab.errors import LabError
from lab.place import INVENTORY, REPOSITORY, Lab
from lab.run import within

TARGETS = {"hosts answer on ssh": 60.0, "new site": 1200.0, "second run": 300.0}
"""Seconds at most, on two cores."""
SHOWN = 8


@dataclass(frozen=True)
class Result:
    """Seconds that a step took."""

    step: str
    seconds: float
    target: float


def play(lab: Lab, name: str, timings: Path) -> float:
    """Runs a playbook on the control host; its tasks' times go into a file. Raises CalledProcessError."""
    environment = lifecycle.environment(lab) | {"LUCID_TIMINGS_FILE": str(timings)}
    begun = time.monotonic()
    subprocess.run(
        [*within(lab.netns("control")), "ansible-playbook", "-i", journey.inventory(lab), name],
        cwd=REPOSITORY,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - begun


def measure(lab: Lab, timings: Path) -> tuple[list[Result], dict[str, float]]:
    """All steps, and the seconds of each task of the new site. The lab stays up."""
    hosts = list(lab.inventory.hosts.values())
    lifecycle.up(lab, hosts[:1], lambda _what, _seconds: None)  # what is cached is there after this
    lifecycle.down(lab)
    seconds = {}
    begun = time.monotonic()
    lifecycle.up(lab, hosts, lambda _what, _seconds: None, *journey.router_rules(lab))
    seconds["hosts answer on ssh"] = time.monotonic() - begun
    journey.prepare(lab)
    play(lab, "playbooks/secrets.yml", timings)
    seconds["new site"] = play(lab, "site.yml", timings)
    tasks: dict[str, float] = json.loads(timings.read_text())
    seconds["second run"] = play(lab, "site.yml", timings)
    return [Result(step, round(seconds[step], 1), target) for step, target in TARGETS.items()], tasks


def main(arguments: list[str]) -> int:
    """Exit 1 if a target is missed, 2 if the machine holds no lab."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lucid-bench-") as directory:
        lab = Lab(f"b{os.getpid() % 10000}", Path(directory) / "lab", inventory.load(INVENTORY))
        try:
            results, tasks = measure(lab, Path(directory) / "timings.json")
        except LabError as error:
            print(error, file=sys.stderr)
            return 2
        finally:
            lifecycle.down(lab)
    count = len(lab.inventory.hosts)
    slowest = sorted(tasks.items(), key=lambda item: -item[1])[:SHOWN]
    if options.json:
        rows = [{"task": name, "seconds": round(seconds, 1)} for name, seconds in slowest]
        shown = [asdict(r) for r in results]
        print(json.dumps({"benchmark": "site", "hosts": count, "results": shown, "slowest": rows}))
    else:
        table = Table("step", "seconds", "at most", title=f"{count} hosts on this machine")
        for r in results:
            table.add_row(r.step, f"{r.seconds:g}", f"{r.target:g}")
        tasks_table = Table("task", "seconds", title="Slowest tasks of the new site")
        for name, seconds in slowest:
            tasks_table.add_row(name, f"{seconds:.1f}")
        Console().print(table, tasks_table)
    return 1 if any(r.seconds > r.target for r in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
