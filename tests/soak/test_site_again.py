"""Deploying again what stands changes nothing, and looking whether it would changes nothing either."""

from pathlib import Path

import pytest

from tests.site.checkouts import newer
from tests.site.releases import one_release
from tests.site.standing import Site, changes
from tests.site.wellness import recovered, service_hosts

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]


@pytest.mark.parametrize("how", [(), ("--check",)], ids=["in earnest", "check mode"])
def test_a_second_run_finds_nothing_to_change(site: Site, how: tuple[str, ...]) -> None:
    changed = changes(site.playbook("site.yml", *how).stdout)
    assert changed == dict.fromkeys(["localhost", *site.hosts], 0)


def test_check_mode_tells_whom_another_release_would_change_and_changes_nobody(
    site: Site, tmp_path: Path
) -> None:
    before = one_release(site)
    changed = changes(site.playbook("site.yml", "--check", directory=newer(tmp_path / "checkout")).stdout)
    assert {host for host, count in changed.items() if count} == set(service_hosts(site))
    assert one_release(site) == before
    recovered(site)
