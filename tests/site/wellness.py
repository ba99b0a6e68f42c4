"""Whether the whole site is well: its units, its services, its databases, and what Prometheus sees of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import status
from lucid.catalog import Tls
from lucid.deploy import plan
from tests.site.standing import Site

SCRIPTS = Path(__file__).with_name("scripts")
PROMETHEUS = "/etc/lucid/tls/prometheus"


@dataclass(frozen=True)
class Databases:
    """What the data hosts that answer say; `primary` and `master` are hosts, None without agreement."""

    primary: str | None
    members: int
    """Members of the replica set that are primary or secondary."""
    master: str | None
    sentinels: int
    """Hosts whose Sentinel names that master."""


def services(site: Site, host: str) -> list[str]:
    """The services of a host, each after those on the same host that it calls."""
    return [unit.name for unit in plan.units(site.catalog, site.described, site.described.named(host))]


def service_hosts(site: Site) -> list[str]:
    """The hosts that have services."""
    return [host for host in site.hosts if services(site, host)]


def health(site: Site, host: str) -> dict[str, str]:
    """What each service of a host says of itself; `healthy` with nothing behind it is all well."""
    asked = []
    for name in services(site, host):
        listen = next((each for each in site.catalog.services[name].listen if each.tls is Tls.NONE), None)
        port = (listen or site.catalog.services[name].entry).port
        asked.append(f"{name}:{port}:plain" if listen else f"{name}:{port}")
    script = (SCRIPTS / "health.py").read_text()
    done = site.on(host, "python3", "-", *asked, given=script, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else dict.fromkeys(asked, done.stderr)


def databases(site: Site) -> Databases:
    """The state of the databases, as the data hosts that are on see it."""
    hosts = [host.name for host in site.lab.inventory.find("data")]
    script = (SCRIPTS / "databases.py").read_text()

    def ask(host: str) -> dict[str, Any]:
        done = site.on(host, "python3", "-", given=script, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    with ThreadPoolExecutor(len(hosts)) as pool:
        said = [found for found in pool.map(ask, hosts) if found]
    names = {str(host.address.ip): host.name for host in site.hosts.values()}
    masters = [names.get(found["master"]) for found in said]
    primaries = {found["primary"] for found in said if found["member"]}
    return Databases(
        primary=primaries.pop() if len(primaries) == 1 else None,
        members=sum(found["member"] for found in said),
        master=masters[0] if len(set(masters)) == 1 else None,
        sentinels=len(masters),
    )


def targets(site: Site) -> dict[str, str]:
    """Prometheus' targets, and what is wrong with those that are not up."""
    host = site.lab.inventory.find("support")[0].name
    files = (f"{PROMETHEUS}/prometheus.crt", f"{PROMETHEUS}/prometheus.key")
    done = site.on(
        host,
        *("curl", "--silent", "--max-time", "5", "--cacert", "/etc/lucid/tls/ca.crt"),
        *("--cert", files[0], "--key", files[1], "https://localhost:9090/api/v1/targets?state=active"),
        user="prometheus",
        check=False,
    )
    if done.returncode:
        return {"prometheus": f"curl ended with status {done.returncode}"}
    found = json.loads(done.stdout)["data"]["activeTargets"]
    return {
        f"{each['scrapePool']} {each['labels']['host']}": each["lastError"] or each["health"]
        for each in found
    }


def ills(site: Site) -> list[str]:
    """Everything that is not as it should be; nothing when the whole site is well."""
    found = [
        f"{host.name}: {host.health} {' '.join(host.failed)}".strip()
        for host in status.look(site.lab)
        if host.health != "running" or host.cut_from
    ]
    with ThreadPoolExecutor(4) as pool:
        hosts = service_hosts(site)
        for host, said in zip(hosts, pool.map(lambda host: health(site, host), hosts), strict=True):
            found += [f"{name} on {host}: {what}" for name, what in said.items() if what != "healthy"]
    data = databases(site)
    wanted = len(site.lab.inventory.find("data"))
    if data.primary is None or data.members != wanted:
        found.append(f"replica set: primary {data.primary}, {data.members} of {wanted} members")
    if data.master is None or data.sentinels != wanted:
        found.append(f"Redis: master {data.master}, {data.sentinels} of {wanted} Sentinels")
    seen = targets(site)
    found += [f"Prometheus on {name}: {what}" for name, what in seen.items() if what != "up"]
    return found


def recovered(site: Site, seconds: float = 90) -> float:
    """Waits until nothing is wrong with the site; returns the seconds that took."""
    last: list[str] = []

    def well() -> bool:
        last[:] = ills(site)
        return not last

    try:
        return site.wait("a healthy site", well, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {last}") from None
