"""A whole site under faults for as long as wanted: power cuts while it records, then every host restarted."""

import time
from pathlib import Path

import pytest

from lab import cgroups, lifecycle
from lab import hosts as machines
from tests.faults.seeds import seeded
from tests.site.breaking import FAULTS, OFF_SECONDS, show
from tests.site.recorded import recorded
from tests.site.standing import Site
from tests.site.wellness import recovered

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

FAULTS_PER_RECORDING = 8


def test_recordings_outlive_power_cuts_and_cut_cables(site: Site, tmp_path: Path, rounds: int) -> None:
    rng = seeded("soak: power cuts and cut cables while recording")
    for number in range(max(1, rounds // 10)):
        recovered(site)
        with recorded(site, tmp_path) as recording:
            recording.next_chunk()
            faults = [rng.choice(FAULTS) for _ in range(FAULTS_PER_RECORDING)]
            recoveries = [fault(site, recording) for fault in faults]
            recording.finish()
        show(f"Round {number + 1}", recoveries)


def test_a_recording_goes_on_after_its_own_host_lost_power(site: Site, tmp_path: Path) -> None:
    """The desktop dies with its host and comes back with it; what nobody saw in between is a gap."""
    recovered(site)
    with recorded(site, tmp_path) as recording:
        recording.next_chunk()
        machines.kill(site.lab, site.hosts["rdp1"])
        begun = time.monotonic()
        time.sleep(OFF_SECONDS)
        lifecycle.start(site.lab, site.hosts["rdp1"])
        recovered(site)
        well = time.monotonic() - begun
        recording.follow()
        recording.next_chunk()
        end = recording.finish()
    causes = [gap.cause for gap in end.manifest.gaps]
    print(f"rdp1: all well {well:.1f} s after the power cut; {end.manifest.count} chunks, gaps {causes}")  # noqa: T201 - figures
    assert "recorder_restarted" in causes


def test_every_host_restarted_one_after_the_other_leaves_a_healthy_site(site: Site, tmp_path: Path) -> None:
    recovered(site)
    for name in site.hosts:
        begun = time.monotonic()
        restart(site, name)
        up = time.monotonic() - begun
        recovered(site, 120)
        well = time.monotonic() - begun
        print(f"{name}: up after {up:.1f} s, the site healthy after {well:.1f} s")  # noqa: T201 - figures
    with recorded(site, tmp_path) as recording:
        recording.next_chunk()
        recording.finish()


def restart(site: Site, name: str) -> None:
    """Restarts a host in good order; returns when it is up."""
    before = cgroups.leader(site.lab, name)
    site.on(name, "systemctl", "reboot", check=False)  # the connection may go before the answer
    site.wait("another first process", lambda: cgroups.leader(site.lab, name) not in {None, before}, 90)
    machines.await_up(site.lab, [site.hosts[name]])
