"""Every service restarted, a release deployed, rolled back and taken back, while people work and record."""

from pathlib import Path

import pytest

from tests.site.checkouts import VERSION, never_ready, newer
from tests.site.loaded import loaded
from tests.site.recorded import recorded
from tests.site.releases import one_release, releases
from tests.site.standing import Site
from tests.site.wellness import recovered, service_hosts, services

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


def test_every_service_is_restarted_and_nobody_is_turned_away(site: Site, tmp_path: Path) -> None:
    recovered(site)
    with recorded(site, tmp_path) as recording:
        with loaded(site):
            for host in service_hosts(site):
                for name in services(site, host):
                    site.on(host, "systemctl", "restart", f"lucid-{name}.service")
        recording.finish()


def test_a_deployment_and_its_roll_back_turn_nobody_away(site: Site, tmp_path: Path) -> None:
    recovered(site)
    before = one_release(site)
    with recorded(site, tmp_path) as recording:
        with loaded(site):
            site.playbook("playbooks/deploy.yml", directory=newer(tmp_path / "checkout"))
        assert one_release(site).startswith(f"{VERSION}+")
        with loaded(site):
            site.playbook("playbooks/rollback.yml")
        assert one_release(site) == before
        recording.finish()
    recovered(site)


def test_a_release_that_never_becomes_ready_is_taken_back_everywhere(site: Site, tmp_path: Path) -> None:
    """core1 had switched already when it showed on sess1."""
    before = releases(site)
    with loaded(site):
        played = site.playbook(
            *("playbooks/deploy.yml", "-e", "lucid_service_ready_seconds=20"),
            directory=never_ready(tmp_path / "checkout"),
            check=False,
        )
    assert played.returncode != 0
    (told,) = [line for line in played.stdout.splitlines() if line.startswith("fatal: [sess1]")][-1:]
    assert "session-api: unhealthy" in told
    for host in ("sess1", "core1"):
        assert f"{host} runs {before[host]} again." in told
    assert releases(site) == before
    recovered(site)
