"""Somebody types and pastes in a real RDP desktop whose policy has that recorded: the events track has it."""

import asyncio
import json
import time
from typing import Any

from lab import person
from lab.account import gateway
from lab.place import here
from lab.workplace import Workplace
from lucid.cli.replay import fetch_replay
from lucid.contracts.rdp_manager import Connection
from lucid.contracts.types import SessionPath
from lucid.evidence.policy import Clipboard, Input, Recorded
from tests.site.desk_host import ended, inside, on, verified

COMMANDS = (
    "clear; xclip -o -selection clipboard >in.txt\n",
    "echo from inside | xclip -i -selection clipboard; echo Done. >done.txt\n",
)


async def events(workplace: Workplace) -> dict[str, object]:
    """What was typed, clicked and copied in either direction, with times; and that no gap is in it."""
    policy = await workplace.policy(
        "events",
        input=Input(mouse=True, keyboard=True),
        clipboard=Clipboard(to_desktop=True, from_desktop=True),
        record=Recorded(input=True, clipboard=True),
    )
    connection = await workplace.open(policy, "events")
    session, host = connection.session.id, connection.session.host
    with person.seated() as somebody, person.connected(somebody, connection):
        await workplace.until(session, "connected")
        await asyncio.sleep(1)
        begun_ms = round(1000 * time.time())
        await asyncio.to_thread(_work, somebody, connection)
        ended_ms = round(1000 * time.time())
        listener = "$(pgrep -f lucid.sessions.liste[n] | head -n 1)"
        used = on(
            host, f"grep -E '^(VmRSS|VmHWM)' /proc/{listener}/status; cut -d' ' -f14,15 /proc/{listener}/stat"
        )
    await ended(workplace, connection)
    report = await verified(workplace, session)
    assert report.manifest is not None
    file = here().state / f"{session}.mp4"
    beside = (await asyncio.to_thread(fetch_replay, gateway(here().state), SessionPath(session), file))[-1]
    lines: list[dict[str, Any]] = [json.loads(line) for line in beside.read_text().splitlines()]
    worked = [line for line in lines if begun_ms <= line["at"] <= ended_ms]
    return {
        "typed": "".join(_typed(line) for line in worked),
        "clicks": [(line["x"], line["y"]) for line in worked if line["what"] == "button" and line["down"]],
        "copied": [(line["from"], line.get("text")) for line in lines if line["what"] == "clipboard"],
        "tracks": [(track.track, track.codec) for track in report.tracks],
        "covered_ms": [track.covered_ms for track in report.tracks],
        "gaps": [gap.track for gap in report.manifest.gaps],
        "listener": used.split(),
    }


def _work(somebody: person.Person, connection: Connection) -> None:
    somebody.click(400, 300)
    somebody.copy("from outside")
    time.sleep(1.5)
    somebody.type(COMMANDS[0])
    person.eventually("pasted", 10, lambda: inside(connection, "in.txt") == "from outside")
    somebody.type(COMMANDS[1])
    person.eventually("copied", 10, lambda: inside(connection, "done.txt") == "Done.\n")
    time.sleep(1.5)


def _typed(line: dict[str, Any]) -> str:
    if line["what"] == "key" and line["down"]:
        return "\n" if line["key"] == "Return" else str(line.get("text", ""))
    return ""
