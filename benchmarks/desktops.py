"""What remote desktops cost: `python -m benchmarks.desktops [--json]`.

The whole site on one virtual host, which shares this machine's processors with the clients. A desktop is
opened through the gateway: policy checked, X server started, the first fragment of its recording durable, one
client admitted. Beside it the peer: a session of a stock xrdp-sesman on the same host, which records nothing.
Then how long somebody waits who opens one with FreeRDP, and what desktops and their recordings take of the
host. Needs root and `scripts/setup lab`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.site import play
from lab import cgroups, inventory, journey, lifecycle
from lab.errors import LabError
from lab.place import INVENTORIES, REPOSITORY, Lab
from lab.run import inside, run, within

INVENTORY = INVENTORIES / "single/hosts.yml"
SESSIONS = 20
TARGET = 4.0
"""Seconds from the request to a recorded desktop on the client's screen, at the median."""
SCENARIO_SECONDS = 1200


@dataclass(frozen=True)
class Opening:
    """Seconds until a desktop is there; `ratio` is the median over the bare session's."""

    what: str
    median_s: float
    slowest_s: float
    ratio: float


def measure(lab: Lab, timings: Path) -> tuple[list[Opening], float, dict[str, Any]]:
    """Both ways of opening, seconds until a client shows it, figures by kind. The lab stays up."""
    lifecycle.up(lab, list(lab.inventory.hosts.values()), lambda _what, _seconds: None)
    journey.prepare(lab)
    for playbook in ("playbooks/secrets.yml", "site.yml", "lab/operator.yml"):
        play(lab, playbook, timings)
    journey.inside(lab, sys.executable, "-m", "lab.account", str(lab.state))
    recorded = [float(each) for each in played(lab, "churn")["opened"]]
    bare = bare_sessions(lab)
    openings = [_opening("Lucid, recorded", recorded, bare), _opening("xrdp-sesman", bare, bare)]
    return openings, float(played(lab, "usable")["median"]), played(lab, "figures")


def played(lab: Lab, scenario: str) -> dict[str, Any]:
    """What a scenario of people at desktops has measured. Raises LabError."""
    done = subprocess.run(
        [*within(lab.netns("control")), sys.executable, "-m", "tests.site.desks", scenario],
        cwd=REPOSITORY,
        env=os.environ | lifecycle.environment(lab),
        stdout=subprocess.PIPE,
        timeout=SCENARIO_SECONDS,
        check=False,
    )
    if done.returncode:
        raise LabError(f"{scenario!r} ended with status {done.returncode}; what went wrong stands above")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def bare_sessions(lab: Lab) -> list[float]:
    """Seconds of each session of a stock xrdp-sesman. Raises LabError."""
    (host,) = lab.inventory.hosts
    if (leader := cgroups.leader(lab, host)) is None:
        raise LabError(f"{host} is off")
    script = (Path(__file__).parent / "bare_session.sh").read_text(encoding="ascii")
    said = run(*inside(leader, "sh", "-s", str(SESSIONS)), given=script, seconds=300)
    return [float(line) for line in said.split()]


def _opening(what: str, seconds: list[float], bare: list[float]) -> Opening:
    median = statistics.median(seconds)
    return Opening(what, round(median, 2), round(max(seconds), 2), round(median / statistics.median(bare), 2))


def rows(figures: Mapping[str, Mapping[str, float]]) -> list[dict[str, object]]:
    """The figures as rows of a table."""
    return [{"content": kind, **row} for kind, row in figures.items()]


def main(arguments: list[str]) -> int:
    """Exit 1 if the target is missed, 2 if the lab could not be had or something failed in it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lucid-bench-") as directory:
        lab = Lab(f"d{os.getpid() % 10000}", Path(directory) / "lab", inventory.load(INVENTORY))
        try:
            openings, seen, figures = measure(lab, Path(directory) / "timings.json")
        except LabError as error:
            print(error, file=sys.stderr)
            return 2
        finally:
            lifecycle.down(lab)
    if options.json:
        told = {"benchmark": "desktops", "opening": [asdict(each) for each in openings]}
        print(json.dumps(told | {"seen_s": seen, "target": TARGET, "results": rows(figures)}))
    else:
        opening = Table("desktop", "median, s", "slowest, s", "ratio", title="Opened one after the other")
        for each in openings:
            opening.add_row(each.what, f"{each.median_s:g}", f"{each.slowest_s:g}", f"{each.ratio:g}")
        opening.caption = f"on the client's screen after {seen:g} s at the median, at most {TARGET:g}"
        cost = Table(*rows(figures)[0], title="One desktop's share of its host")
        for row in rows(figures):
            cost.add_row(*map(str, row.values()))
        Console().print(opening, cost)
    return 1 if seen > TARGET else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
