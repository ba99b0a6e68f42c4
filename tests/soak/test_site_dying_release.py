"""A release that kills a service is taken back while people work."""

from pathlib import Path

import pytest

from lucid.contracts import auth_service
from tests.site.checkouts import dying
from tests.site.loaded import loaded
from tests.site.releases import releases
from tests.site.standing import Site
from tests.site.wellness import recovered

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]


def test_a_release_whose_service_dies_is_taken_back_while_people_work(site: Site, tmp_path: Path) -> None:
    """And the hosts behind the one where it happened never hear of it."""
    before = releases(site)
    started = {host: began(site, host) for host in before if host != "core1"}
    with loaded(site, spare=auth_service.ME.path):
        played = site.playbook(
            "playbooks/deploy.yml", directory=dying(tmp_path / "checkout"), check=False, seconds=280
        )
    assert played.returncode != 0
    (told,) = [line for line in played.stdout.splitlines() if line.startswith("fatal: [core1]")][-1:]
    assert "lucid-auth-service.service" in told
    assert f"core1 runs {before['core1']} again." in told
    assert releases(site) == before
    assert {host: began(site, host) for host in started} == started
    recovered(site)


def began(site: Site, host: str) -> str:
    """When each Lucid service of the host was started."""
    show = ("systemctl", "show", "--property=Id,ActiveEnterTimestampMonotonic", "lucid-*.service")
    return site.on(host, *show).stdout
