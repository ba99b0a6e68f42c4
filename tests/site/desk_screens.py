"""Scenarios of desks.py: screens that change their size, and what the recording shows of them."""

import asyncio
import subprocess
from pathlib import Path

from lab import person
from lab.account import gateway
from lab.place import here
from lab.workplace import Workplace
from lucid.cli.replay import fetch_replay
from lucid.contracts.rdp_manager import Connection
from lucid.contracts.types import SessionPath
from tests.site import pictures
from tests.site.desk_host import ended, told, verified

SEAT = "1920x1200"
SIZES = {"1280x720": "red", "1600x900": "blue", "1024x640": "lime"}
"""The first is the desktop's own; each other one is what a client comes back with."""
DYNAMIC, DYNAMIC_COLOUR = "1440x800", "red"
"""What the last client's window is drawn to, while it is connected."""


async def sizes(workplace: Workplace) -> dict[str, object]:
    """Somebody comes back with a larger screen, with a smaller one, and then draws the window larger."""
    policy = await workplace.policy("sizes")
    connection = await workplace.open(policy, "sizes")
    session, shown = connection.session.id, []
    with person.seated(SEAT) as somebody:
        for size, colour in SIZES.items():
            options = [f"/size:{size}", "/dynamic-resolution"]
            with person.connected(somebody, connection, options=options):
                await workplace.until(session, "connected")
                await asyncio.sleep(2)
                shown.append(await asyncio.to_thread(_paint, somebody, connection, size, colour))
                if size == list(SIZES)[-1]:
                    await asyncio.to_thread(somebody.draw_to, *map(int, DYNAMIC.split("x")))
                    await asyncio.sleep(3)
                    found = await asyncio.to_thread(_paint, somebody, connection, DYNAMIC, DYNAMIC_COLOUR)
                    shown.append(found)
            await workplace.until(session, "disconnected")
            if size != list(SIZES)[-1]:
                connection = await workplace.again(session)
    await ended(workplace, connection)
    report = await verified(workplace, session)
    assert report.manifest is not None
    gaps = [(gap.cause, gap.end_ms - gap.start_ms) for gap in report.manifest.gaps]
    file = here().state / f"{session}.mp4"
    parts = await asyncio.to_thread(fetch_replay, gateway(here().state), SessionPath(session), file)
    return {"shown": shown, "gaps_ms": gaps, "recorded": [_seen(part) for part in parts]}


def _paint(somebody: person.Person, connection: Connection, size: str, colour: str) -> str:
    """The size that the desktop says it has; its ground is of that colour then, and in the recording so."""
    somebody.click(400, 300)
    found = told(somebody, connection, f"xrandr | head -1; xsetroot -solid {colour}; sleep 2")
    width, height = size.split("x")
    assert f"current {width} x {height}" in found, found
    return size


def _seen(part: Path) -> tuple[str, tuple[int, int, int]]:
    """Size of a recorded part, and mean Y, Cb and Cr of its lower right corner in its last frame."""
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0:s=x"]
    done = subprocess.run([*command, str(part)], check=True, capture_output=True, text=True, timeout=20)
    width, height = map(int, done.stdout.split("x"))
    return f"{width}x{height}", pictures.colours(part, width - 16, height - 16)[-1][1]
