"""A real browser without a window, told what to do through the Chrome DevTools Protocol."""

import asyncio
import base64
import itertools
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

START_SECONDS = 30.0
PROGRAM = "chromium"


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def ask(self, method: str, **params: object) -> dict[str, Any]:
        """The result of a method of the protocol. What it tells unasked is passed over."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told = json.loads((await self._socket.receive(timeout=START_SECONDS)).data)
            if told.get("id") == number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to."""
        told = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression: str, seconds: float) -> float:
        """Waits until an expression is true; returns the seconds that took."""
        begin = time.monotonic()
        while not await self.value(expression):
            if time.monotonic() - begin > seconds:
                words = await self.value("document.body ? document.body.innerText : ''")
                raise AssertionError(f"{expression}: not within {seconds:g} s; the page says {words!r}")
            await asyncio.sleep(0.25)
        return time.monotonic() - begin

    async def picture(self, path: Path) -> None:
        """What is to be seen, as PNG."""
        picture = base64.b64decode((await self.ask("Page.captureScreenshot"))["data"])
        await asyncio.to_thread(path.write_bytes, picture)


@asynccontextmanager
async def browsing(directory: Path, address: str) -> AsyncIterator[Page]:
    """A browser that shows the page at an address; its files are in `directory`."""
    switches = ["--headless=new", "--no-first-run", "--disable-gpu", "--remote-debugging-port=0"]
    switches += [f"--user-data-dir={directory}", "--window-size=1280,900"]
    if os.geteuid() == 0:
        switches.append("--no-sandbox")  # Chromium has no other way to run as root
    browser = await asyncio.create_subprocess_exec(
        PROGRAM,
        *switches,
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await asyncio.to_thread(_port, directory / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                target = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                await page.ask("Page.navigate", url=address)
                yield page
    finally:
        browser.terminate()
        await browser.wait()


def _port(path: Path) -> int:
    until = time.monotonic() + START_SECONDS
    while not path.exists() or not (text := path.read_text()):
        assert time.monotonic() < until, "the browser does not start"
        time.sleep(0.1)
    return int(text.split()[0])
