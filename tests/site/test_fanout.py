"""Two hosts of remote desktops: placement, drain, and the loss of a host in mid-session (desk_fanout.py)."""

import pytest

from tests.site.standing import Site
from tests.site.test_desktops import played
from tests.site.wellness import recovered

LOST_SECONDS = 60.0
"""From a power cut to the end of the desktops there: 30 s of silence, and the time of a busy machine."""
LONGEST_ANSWER_SECONDS = 12.0
"""While a host is off, for somebody whose question went there first: 5 s, and the time of a busy machine."""


@pytest.mark.timeout(300)
def test_desktops_spread_over_hosts_and_a_draining_host_gets_none(site: Site) -> None:
    recovered(site)
    played(site, "placement", seconds=200)


@pytest.mark.timeout(480)
def test_a_host_that_goes_down_ends_its_desktops_honestly_and_no_others(site: Site) -> None:
    recovered(site)
    found = played(site, "losses", seconds=400)
    assert found["power cut"]["known"] < LOST_SECONDS
    for fault in ("power cut", "restart"):
        assert found[fault]["slowest answer"] < LONGEST_ANSWER_SECONDS
        assert found[fault]["chunks"] >= found[fault]["acknowledged before"] > 0
    recovered(site)
