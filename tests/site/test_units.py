"""Lucid's units on its hosts: their order, their limits, and what becomes of a service that hangs."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.site.standing import Site
from tests.site.wellness import SCRIPTS, health, service_hosts, services

WATCHDOG_SECONDS = 30
MOST_TASKS = 512
BYTES = {"M": 2**20, "G": 2**30}


class TestTheTarget:
    @pytest.mark.timeout(240)
    def test_takes_a_host_down_callers_first_and_brings_it_up_callees_first(self, site: Site) -> None:
        host = "sess1"
        since = site.on(host, "date", "+%s").stdout.strip()
        begun = time.monotonic()
        site.on(host, "systemctl", "stop", "lucid.target")
        # The target is down at once; what is part of it when it has answered what it was asked.
        site.wait("services that have stopped", lambda: not running(site, host), 120)
        down = time.monotonic() - begun
        begun = time.monotonic()
        site.on(host, "systemctl", "start", "lucid.target")
        site.wait("healthy services", lambda: healthy(site, host), 60)
        up = time.monotonic() - begun
        print(f"{host}: down in {down:.1f} s, healthy after {up:.1f} s")  # noqa: T201 - a figure
        done = site.on(host, "python3", "-", since, given=(SCRIPTS / "order.py").read_text())
        seen = json.loads(done.stdout)
        for caller in services(site, host):
            for callee in set(site.catalog.services[caller].calls) & set(services(site, host)):
                one, other = seen[f"lucid-{caller}.service"], seen[f"lucid-{callee}.service"]
                assert one["stopped"] <= other["stopping"], f"{callee} left while {caller} still called it"
                assert other["started"] <= one["starting"], f"{caller} began before {callee}, its callee"


class TestAServiceThatHangs:
    @pytest.mark.timeout(180)
    def test_is_started_anew_by_its_watchdog(self, site: Site) -> None:
        """One whose main process stands still, and at the same time one whose worker does."""
        with ThreadPoolExecutor(2) as pool:
            main = pool.submit(hang, site, "core1", "session-anchoring", worker=False)
            worker = pool.submit(hang, site, "rdp1", "session-recorder", worker=True)
            seconds = (main.result(), worker.result())
        print(f"hung main process, hung worker: well after {seconds} s")  # noqa: T201 - figures
        assert all(WATCHDOG_SECONDS / 2 < each < 2 * WATCHDOG_SECONDS for each in seconds)


class TestLimits:
    def test_of_the_catalogue_stand_in_the_control_groups(self, site: Site) -> None:
        script = (SCRIPTS / "limits.py").read_text()
        found: dict[tuple[str, str], list[int]] = {}
        for host in service_hosts(site):
            done = site.on(host, "python3", "-", *services(site, host), given=script)
            found |= {(host, name): limits for name, limits in json.loads(done.stdout).items()}
        assert found == {
            (host.name, name): [
                int(service.memory[:-1]) * BYTES[service.memory[-1]],
                service.cpu,
                MOST_TASKS,
            ]
            for name, service in site.catalog.services.items()
            for host in site.described.of_group(service.group)
        }


def running(site: Site, host: str) -> list[str]:
    """The Lucid services and sockets of a host that are not inactive."""
    listed = site.on(host, "systemctl", "list-units", "--output=json", "lucid-*.service", "lucid-*.socket")
    own = {f"lucid-{name}" for name in services(site, host)}
    return [
        unit["unit"]
        for unit in json.loads(listed.stdout)
        if any(unit["unit"].startswith(name) for name in own)
    ]


def healthy(site: Site, host: str) -> bool:
    return set(health(site, host).values()) == {"healthy"}


def hang(site: Site, host: str, name: str, *, worker: bool) -> float:
    """Stops a process without ending it; returns the seconds until the service is well again without it."""
    main = ("systemctl", "show", "--property=MainPID", "--value", f"lucid-{name}.service")
    victim = site.on(host, *main).stdout.strip()
    if worker:
        victim = site.on(host, "pgrep", "--parent", victim).stdout.split()[0]
    site.on(host, "kill", "-STOP", victim)
    begun = time.monotonic()

    def gone() -> bool:
        return site.on(host, "test", "-d", f"/proc/{victim}", check=False).returncode != 0

    site.wait(f"a {name} without process {victim}", gone, 90)
    site.wait(f"a healthy {name}", lambda: health(site, host)[name] == "healthy", 30)
    return round(time.monotonic() - begun, 1)
