"""A recording in a real browser while it is being made, through the real stack."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from lucid.cli.output import Failure
from lucid.cli.watch_pieces import codec
from tests.cli.chromium import PROGRAM, browsing
from tests.cli.command import LUCID, RunningStack
from tests.sessions.screens import Screen, screens

RECORDED_SECONDS = 35
SHOWN = (
    "(v => v.buffered.length ? v.buffered.end(v.buffered.length - 1) : 0)(document.querySelector('video'))"
)


@contextmanager
def running(stack: RunningStack, *command: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
    """A command of Lucid's on the stack, for as long as the context lasts."""
    environment = os.environ | {"LUCID_STATE": str(stack.state.directory)} | env
    process = subprocess.Popen([*LUCID, *command], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def clock(screen: Screen) -> Iterator[None]:
    """A clock on a screen, so that something moves."""
    process = screen.start("xclock", "-update", "1", "-geometry", "640x480")
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def recorded(stack: RunningStack, name: str) -> str:
    """The id of the session of that name, once a chunk of it is stored."""
    until = time.monotonic() + 20
    while True:
        found = json.loads(stack.lucid("sessions", "--json").stdout)["sessions"]
        if ids := [each["id"] for each in found if each["name"] == name and each["chunks"]]:
            return str(ids[0])
        assert time.monotonic() < until, found
        time.sleep(0.5)


@pytest.mark.stack
@pytest.mark.timeout(240)
@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="needs Chromium; scripts/setup test installs it")
async def test_a_browser_plays_a_recording_as_it_comes(stack: RunningStack, tmp_path: Path) -> None:
    with screens(tmp_path) as start:
        screen = start("640x480")
        record = ("record", "--display", f":{screen.number}", "--fps", "15", "--name", "watched")
        seconds = ("--seconds", str(RECORDED_SECONDS))
        with (
            clock(screen),
            running(stack, *record, *seconds, XAUTHORITY=str(screen.xauthority)) as recorder,
        ):
            session = await asyncio.to_thread(recorded, stack, "watched")
            with running(stack, "watch", session, "--from-start") as watch:
                assert watch.stdout is not None
                address = (await asyncio.to_thread(watch.stdout.readline)).strip()
                await _only_who_knows_the_address_sees_it(address)
                await _plays(address, screen, tmp_path)
            assert await asyncio.to_thread(recorder.wait, 60) == 0
    rows = json.loads(stack.lucid("access", session, "--json").stdout)["accesses"]
    replays = [row for row in rows if row["what"] == "replay"]
    assert len(replays) >= 3, "who watches is on record each time"
    begins = [row["start_ms"] for row in reversed(replays)]
    assert begins == sorted(begins)


async def _plays(address: str, screen: Screen, tmp_path: Path) -> None:
    async with browsing(tmp_path / "browser", address) as page:
        await page.until("!!document.querySelector('video')", 10)
        await page.until(f"{SHOWN} > 9", 30)  # two chunks: one of half a second, one of ten
        await page.until("document.querySelector('video').currentTime > 2", 15)
        assert await page.value("document.querySelector('video').videoWidth") == 640
        assert await page.value("document.querySelector('#state').innerText") != "the recording has ended"
        before = await page.value(SHOWN)
        await asyncio.to_thread(screen.run, "xrandr", "--output", "screen", "--off", "--fb", "400x300")
        await page.until("document.querySelector('video').videoWidth == 400", 40)
        assert await page.value(SHOWN) > before
        await page.picture(tmp_path / "watched.png")
        await page.until("document.querySelector('#state').innerText == 'the recording has ended'", 60)


async def _only_who_knows_the_address_sees_it(address: str) -> None:
    base = urlsplit(address)
    async with aiohttp.ClientSession(f"{base.scheme}://{base.netloc}") as client:
        for path in ("/", "/pieces/0", "/x/pieces/0"):
            async with client.get(path) as answer:
                assert answer.status == 404, path
        async with client.get(base.path) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


class TestCodec:
    def test_is_named_by_profile_constraints_and_level(self) -> None:
        assert codec(b"....avcC\x01\x64\x00\x1f\xff") == "avc1.64001f"

    def test_of_anything_else_is_refused(self) -> None:
        with pytest.raises(Failure, match=r"not H\.264"):
            codec(b"....hvcC\x01\x64\x00\x1f\xff")
