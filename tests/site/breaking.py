"""What is done to the site while it records, and how long it took to be itself again."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from lab import faults, hosts, lifecycle
from tests.site.recorded import Recorded
from tests.site.standing import Site
from tests.site.wellness import SCRIPTS, databases, health

OFF_SECONDS = 5.0
"""How long a host stays without power."""
CUT_SECONDS = 20.0
BACK_SECONDS = 90.0


@dataclass(frozen=True)
class Recovery:
    """Seconds since the fault, or since the cable was back."""

    fault: str
    taken_over: float | None
    """Until another host held the office of the one that died."""
    acknowledged: float
    """Until the next chunk was acknowledged; one is made every 10 s."""
    back: float
    """Until host and services were healthy again."""


def primary_dies(site: Site, recorded: Recorded) -> Recovery:
    """Power off for the host of MongoDB's primary."""
    return _database_dies(site, recorded, "primary")


def master_dies(site: Site, recorded: Recorded) -> Recovery:
    """Power off for the host of the Redis master."""
    return _database_dies(site, recorded, "master")


def _database_dies(site: Site, recorded: Recorded, office: str) -> Recovery:
    victim = getattr(databases(site), office)
    assert victim is not None, f"the data hosts do not agree on a {office}"
    survivor = next(host.name for host in site.lab.inventory.find("data") if host.name != victim)
    watch = site.begin("ssh", survivor, "sudo", "python3", "-", victim, str(site.hosts[victim].address.ip))
    assert watch.stdin is not None
    watch.stdin.write((SCRIPTS / "databases.py").read_text())
    watch.stdin.close()
    watch.stdin = None
    hosts.kill(site.lab, site.hosts[victim])
    killed, begun = time.time(), time.monotonic()
    recorded.next_chunk()
    acknowledged = time.monotonic() - begun
    said, _ = watch.communicate(timeout=BACK_SECONDS)
    found = json.loads(said)
    assert f"{office}_at" in found, f"no other {office} than {victim}: {found}"
    lifecycle.start(site.lab, site.hosts[victim])
    wanted = len(site.lab.inventory.find("data"))
    site.wait("three members", lambda: databases(site).members == wanted, BACK_SECONDS)
    return Recovery(
        fault=f"power off: {victim}, {'MongoDB primary' if office == 'primary' else 'Redis master'}",
        taken_over=found[f"{office}_at"] - killed,
        acknowledged=acknowledged,
        back=time.monotonic() - begun,
    )


def sessions_die(site: Site, recorded: Recorded) -> Recovery:
    """Power off for the host that takes chunks in."""
    return _services_die(site, recorded, "sess1")


def core_dies(site: Site, recorded: Recorded) -> Recovery:
    """Power off for the host of chain and anchors."""
    return _services_die(site, recorded, "core1")


def _services_die(site: Site, recorded: Recorded, name: str) -> Recovery:
    hosts.kill(site.lab, site.hosts[name])
    begun = time.monotonic()
    time.sleep(OFF_SECONDS)
    lifecycle.start(site.lab, site.hosts[name])
    site.wait(f"healthy services on {name}", lambda: _healthy(site, name), BACK_SECONDS)
    back = time.monotonic() - begun
    recorded.next_chunk()
    return Recovery(f"power off: {name}, {OFF_SECONDS:g} s", None, time.monotonic() - begun, back)


def cable_cut(site: Site, recorded: Recorded) -> Recovery:
    """Nothing passes between sess1 and the databases for a while."""
    name, data = site.hosts["sess1"], site.lab.inventory.find("data")
    faults.cut(site.lab, name, data)
    try:
        time.sleep(CUT_SECONDS / 2)
        before = len(recorded.acknowledged)
        time.sleep(CUT_SECONDS / 2)
        assert len(recorded.acknowledged) == before, "a chunk was acknowledged without its record"
    finally:
        faults.join(site.lab, name, data)
    begun = time.monotonic()
    recorded.next_chunk()
    acknowledged = time.monotonic() - begun
    site.wait("healthy services on sess1", lambda: _healthy(site, "sess1"), BACK_SECONDS)
    fault = f"cut: sess1 from the databases, {CUT_SECONDS:g} s"
    return Recovery(fault, None, acknowledged, time.monotonic() - begun)


def _healthy(site: Site, host: str) -> bool:
    return set(health(site, host).values()) == {"healthy"}


FAULTS: tuple[Callable[[Site, Recorded], Recovery], ...] = (
    primary_dies,
    master_dies,
    sessions_die,
    core_dies,
    cable_cut,
)


def show(title: str, recoveries: list[Recovery]) -> None:
    """Prints the table of what was measured."""
    table = Table(title=title, title_justify="left")
    for column in ("fault", "taken over", "next chunk acknowledged", "healthy again"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for each in recoveries:
        seconds = (each.taken_over, each.acknowledged, each.back)
        table.add_row(each.fault, *("" if s is None else f"{s:.1f} s" for s in seconds))
    Console(width=110).print(table)
