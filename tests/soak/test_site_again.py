"""Deploying again what stands changes nothing, and looking whether it would changes nothing either."""

import pytest

from tests.site.standing import Site, changes

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]


@pytest.mark.parametrize("how", [(), ("--check",)], ids=["in earnest", "check mode"])
def test_a_second_run_finds_nothing_to_change(site: Site, how: tuple[str, ...]) -> None:
    changed = changes(site.playbook("site.yml", *how).stdout)
    assert changed == dict.fromkeys(["localhost", *site.hosts], 0)
