"""Remote desktops of the site: real RDP clients, real desktops, seen from outside and from their host.

The scenarios run on the control host (desks.py), which plays the public.
"""

import json
import sys
from typing import Any

import pytest

from tests.site.desk_events import COMMANDS
from tests.site.standing import Site
from tests.site.wellness import recovered

USABLE_SECONDS = 4.0
"""From the request to a recorded desktop on the client's screen, at the median."""
MOST_LATE_MS = 200
MOST_APART_MS = 3000
"""Of what the two tracks of a recording cover: one begins and ends with the other."""
LONGEST_GAP_MS = 5000
"""While the recorder begins anew, on a busy machine."""
LIKE_DB = 30.0
"""Of the last frame and what the person saw: text is as legible in one as in the other."""


def played(site: Site, scenario: str, seconds: float = 180) -> dict[str, Any]:
    """What a scenario has measured; its failure fails the test with what it said."""
    done = site.control(sys.executable, "-m", "tests.site.desks", scenario, seconds=seconds)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{scenario}: {found}")  # noqa: T201 - for the reader of -s
    return found


@pytest.mark.timeout(300)
def test_a_person_works_leaves_comes_back_and_leaves_nothing(site: Site) -> None:
    recovered(site)
    around = played(site, "work")["around"].splitlines()
    assert [line.rpartition(": ")[2] for line in around[:3]] == ["Permission denied"] * 3
    assert around[3].startswith("X1")
    assert len(around[4:5]) == 1
    assert all(name.endswith(around[3][1:]) for name in around[5:-1]), "sockets of other desktops"


@pytest.mark.timeout(300)
def test_what_a_policy_does_not_name_does_not_get_through(site: Site) -> None:
    assert "typed" not in played(site, "denied")["home"]


@pytest.mark.quiet
@pytest.mark.timeout(180)
def test_a_desktop_is_soon_on_the_screen_of_whoever_asked_for_it(site: Site) -> None:
    assert played(site, "usable")["median"] < USABLE_SECONDS


@pytest.mark.quiet
@pytest.mark.timeout(420)
def test_twenty_desktops_leave_nothing_behind(site: Site) -> None:
    assert played(site, "churn", seconds=400)["median"] < USABLE_SECONDS


@pytest.mark.timeout(300)
def test_a_desktop_outlives_the_services_that_see_to_it(site: Site) -> None:
    found = played(site, "kills")
    assert (found["ending"], found["end"]) == ("logged_out", "display_lost")
    assert set(found["gaps"]) <= {"recorder_restarted", "capture_restarted"}
    recovered(site)


@pytest.mark.timeout(300)
def test_each_desktop_is_recorded_by_a_user_who_sees_nothing_else(site: Site) -> None:
    found = played(site, "captures")
    assert found["gaps"] == {"one": ["capture_restarted"] * 2, "other": []}


@pytest.mark.quiet
@pytest.mark.timeout(300)
def test_what_is_recorded_is_what_was_seen_and_when(site: Site) -> None:
    found = played(site, "clock")
    assert max(map(abs, found["late_ms"])) < MOST_LATE_MS
    assert found["likeness_db"] > LIKE_DB


@pytest.mark.timeout(300)
def test_what_was_typed_and_copied_is_in_the_events_track_of_its_recording(site: Site) -> None:
    found = played(site, "events")
    assert found["typed"] == "".join(COMMANDS)
    assert found["clicks"]
    assert ["client", "from outside"] in found["copied"]
    assert ["desktop", "from inside\n"] in found["copied"]
    assert [number for number, _ in found["tracks"]] == [0, 1]
    assert found["gaps"] == []
    assert abs(found["covered_ms"][0] - found["covered_ms"][1]) < MOST_APART_MS


@pytest.mark.timeout(300)
def test_what_a_client_brings_along_stays_outside(site: Site) -> None:
    found = played(site, "offered")
    assert found["mounts"] == []
    assert not {"passwd", "offered", "thinclient_drives"} & set(found["home"])
    assert set(found["programs"]) <= {"xinit", "Xorg", "openbox", "xterm", "sh", "bash", "xclip"}
    assert all("chansrv" not in name and "sound" not in name for name in found["sockets"])
    assert "pulse" not in found["sound"]


@pytest.mark.timeout(300)
def test_a_stolen_password_is_of_no_use_elsewhere(site: Site) -> None:
    assert played(site, "stolen")["stranger"]


@pytest.mark.quiet
@pytest.mark.timeout(300)
def test_another_size_is_recorded_whole_after_a_named_gap(site: Site) -> None:
    found = played(site, "sizes")
    assert [size for size, _ in found["recorded"]] == found["shown"]
    assert [_colour(corner) for _, corner in found["recorded"]] == ["red", "blue", "green", "red"]
    assert {cause for cause, _ in found["gaps_ms"]} == {"capture_restarted"}
    assert max(length for _, length in found["gaps_ms"]) < LONGEST_GAP_MS


@pytest.mark.quiet
@pytest.mark.timeout(300)
def test_the_recorder_is_not_thrown_out_unnoticed(site: Site) -> None:
    found = played(site, "evicted")
    gap, end = found["gap"], found["end"]
    assert min(gap["cut_off"]) > 0, "nothing was tried"
    assert [cause for cause, _ in gap["gaps_ms"]] == ["capture_restarted"] * len(gap["cut_off"])
    assert max(length for _, length in gap["gaps_ms"]) < LONGEST_GAP_MS
    assert gap["end"] == "stopped"
    assert (end["ending"], end["end"]) == ("violation", "violation")
    assert [(kind, state) for kind, _, state in end["violations"]] == [("recorder_ended", "final")]


@pytest.mark.timeout(300)
def test_two_desktops_of_a_host_reach_nothing_of_each_other(site: Site) -> None:
    assert played(site, "neighbours")["reached"] == [{}, {}]


def _colour(corner: list[int]) -> str:
    """The colour that a mean of Y, Cb and Cr stands for, of those that the scenario paints."""
    _, blue, red = corner
    return "red" if red > 180 else "blue" if blue > 180 else "green" if max(blue, red) < 80 else "none"
