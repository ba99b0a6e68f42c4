"""A recorder that is killed while it writes down what is typed names what it missed, in each track."""

import asyncio
import subprocess

from tests.deployment import Deployment
from tests.faults.hosts import Hosts
from tests.faults.recordings import BEHIND, STORES, begin, proved, stop, view
from tests.sessions.screens import Screen
from tests.sessions.waiting import until


async def test_a_killed_recorder_has_gaps_in_both_tracks(
    house: Deployment, hosts: Hosts, screen: Screen
) -> None:
    await house.start(*BEHIND, *STORES)
    api = await house.client("session-api")
    await hosts.start("session-recorder")
    session = await begin(api, screen, events=("input", "clipboard"))
    await asyncio.to_thread(screen.run, "xdotool", "type", "seen")
    await asyncio.sleep(2)
    await hosts.kill("session-recorder")
    await asyncio.sleep(2.5)
    program = f"lucid.sessions.listen {screen.number} "
    left = await asyncio.to_thread(subprocess.run, ["pgrep", "-f", program], capture_output=True, check=False)
    assert left.stdout == b"", "the listener outlived its recorder"
    await hosts.start("session-recorder")

    async def goes_on() -> bool:
        return (await view(api, session)).state == "recording"

    await until(goes_on)
    await asyncio.sleep(2)
    await stop(api, session)
    manifest = await proved(house, api, session)
    assert {gap.track: gap.cause for gap in manifest.gaps} == {
        0: "recorder_restarted",
        1: "recorder_restarted",
    }
    assert all(gap.end_ms - gap.start_ms >= 2000 for gap in manifest.gaps)
    assert [track.count > 0 for track in manifest.tracks] == [True, True]
