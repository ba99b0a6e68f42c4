"""What desktops cost their host: processor, memory and recorded bytes; idle, scrolling and moving."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from lab import person
from lab.workplace import Workplace
from lucid.contracts.rdp_manager import Connection
from lucid.contracts.xrdp import display_number
from lucid.evidence.policy import Input
from tests.site.desk_host import on, verified

IDLE, BUSY = 8, 2
SECONDS = 40
TICKS = os.sysconf("SC_CLK_TCK")
SCROLLING = "while :; do date; seq 40; sleep 0.1; done"
MOVING = "while :; do for x in $(seq 0 20 600); do xdotool getactivewindow windowmove $x $x; done; done"

WORK = (("idle", IDLE, ""), ("scrolling", BUSY, SCROLLING), ("moving", BUSY, MOVING))


@dataclass(frozen=True)
class Used:
    """One session's totals: seconds of a processor, for the desktop and for its recording; bytes."""

    desktop: float
    recording: float
    memory: int
    recorded: int
    at: float


async def figures(workplace: Workplace) -> dict[str, object]:
    """Eight idle desktops at once on one host, then two that scroll, then two with a window that moves.

    Each is a row.
    """
    policy = await workplace.policy("figures", input=Input(mouse=True, keyboard=True), session_seconds=3600)
    rows: dict[str, object] = {}
    for kind, count, command in (
        ("idle", IDLE, ""),
        ("scrolling", BUSY, SCROLLING),
        ("moving", BUSY, MOVING),
    ):
        with ExitStack() as stack:
            connections = []
            for _ in range(count):
                connections.append(connection := await workplace.open(policy, kind))
                somebody = stack.enter_context(person.seated())
                stack.enter_context(person.connected(somebody, connection))
                await workplace.until(connection.session.id, "connected")
                await asyncio.sleep(1)
                if command:
                    await asyncio.to_thread(somebody.click, 400, 300)
                    await asyncio.to_thread(somebody.type, f"clear; {command}\n")
            await asyncio.sleep(5)
            before = [await used(workplace, each) for each in connections]
            await asyncio.sleep(SECONDS)
            after = [await used(workplace, each) for each in connections]
            for connection in connections:
                await workplace.end(connection.session.id)
                await workplace.until(connection.session.id, "ended")
        for connection in connections:
            report = await verified(workplace, connection.session.id)
            assert report.manifest is not None
            assert report.manifest.gaps == (), f"{kind}: not all was recorded"
        rows[kind] = row(before, after)
    return rows


def row(before: Sequence[Used], after: Sequence[Used]) -> dict[str, float]:
    """Means of one session: per cent of a core, MiB, MB an hour."""
    pairs = list(zip(before, after, strict=True))
    seconds = sum(b.at - a.at for a, b in pairs) / len(pairs)

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    return {
        "sessions": len(pairs),
        "desktop_percent": round(100 * mean([b.desktop - a.desktop for a, b in pairs]) / seconds, 1),
        "recording_percent": round(100 * mean([b.recording - a.recording for a, b in pairs]) / seconds, 1),
        "memory_mib": round(mean([b.memory for _, b in pairs]) / 2**20),
        "mb_an_hour": round(mean([b.recorded - a.recorded for a, b in pairs]) / seconds * 3600 / 1e6, 1),
    }


async def used(workplace: Workplace, connection: Connection) -> Used:
    """What a session has used so far, by its processes and those of its capture's unit."""
    port = connection.port
    slot = f"lucid.slice/lucid-rdp.slice/lucid-rdp-{port}.slice"
    script = f"""
    cat /sys/fs/cgroup/memory/{slot}/memory.usage_in_bytes
    for pid in $(cat /sys/fs/cgroup/systemd/{slot}/*/cgroup.procs); do
      awk '{{print "desktop", $14 + $15 + $16 + $17}}' /proc/$pid/stat # with children that have ended
    done
    for pid in $(pgrep -f '[l]ucid.sessions.grab {display_number(port)} '); do
      unit=$(sed -n 's/^[0-9]*:name=systemd://p; s/^0:://p' /proc/$pid/cgroup | grep -m 1 lucid-capture@)
      for each in $(cat /sys/fs/cgroup/systemd$unit/cgroup.procs); do
        awk '{{print "recording", $14 + $15}}' /proc/$each/stat
      done
    done 2>/dev/null
    true
    """
    memory, *lines = (await asyncio.to_thread(on, connection.session.host, script)).splitlines()
    told = [line.split() for line in lines]
    desktop, recording = (
        sum(float(ticks) for what, ticks in told if what == name) / TICKS for name in ("desktop", "recording")
    )
    recorded = (await workplace.recording(connection.session.id)).raw_bytes
    return Used(desktop, recording, int(memory), recorded, time.monotonic())
