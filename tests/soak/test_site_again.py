"""Looking at a site that stands, without touching it."""

import pytest

from tests.site.standing import Site, changes

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]


def test_check_mode_finds_nothing_to_change(site: Site) -> None:
    changed = changes(site.playbook("site.yml", "--check").stdout)
    assert changed == dict.fromkeys(["localhost", *site.hosts], 0)
