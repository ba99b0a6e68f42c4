"""What recording a desktop costs: `python -m benchmarks.recording [--json]`.

The recorder's own capture runs on real X servers at 720p and 1080p with three kinds of content: idle (a still
desktop), scrolling (a terminal full of output) and moving (a test picture in a window). Figures are the
processor time of its grabber and encoder, in per cent of one core, and the bytes that an hour would take.
Beside them, in turn on the same screen, the peer: ffmpeg with its own x11grab and the same encoder settings.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lucid.sessions.capture import Capture
from lucid.sessions.capture_process import READ_SIZE
from lucid.sessions.recorder_encoder import CaptureSettings, Quality, encoding_arguments
from lucid.sessions.xauthority import write_cookie

SIZES = ("1280x720", "1920x1080")
SCROLL = "while :; do head -c 60 /dev/urandom | base64 | head -c 70; echo; sleep 0.05; done"
CONTENT: dict[str, list[str]] = {
    "idle": ["xclock", "-strftime", "%H", "-digital"],
    "scrolling": ["xterm", "-geometry", "120x40+20+20", "-e", "bash", "-c", SCROLL],
    "moving": ["ffplay", "-loglevel", "quiet", "-an", "-f", "lavfi", "-i", "testsrc2=size=480x270:rate=25"],
}
FRAME_RATE = 15
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Result:
    """Figures for one content at one size: the recorder's two processes, and the peer."""

    size: str
    content: str
    grabber_percent: float
    encoder_percent: float
    mb_per_hour: float
    x11grab_percent: float
    x11grab_mb_per_hour: float


async def measure(
    display: int, cookie: bytes, size: str, content: str, seconds: float, scratch: Path
) -> Result:
    """Records for a while with each; the first two seconds, in which they start, are not counted."""
    environment = {**os.environ, "DISPLAY": f":{display}", "XAUTHORITY": str(scratch / "xauthority")}
    program = await asyncio.create_subprocess_exec(
        *CONTENT[content], env=environment, start_new_session=True, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.sleep(1.5)
        async with Capture(display, cookie, CaptureSettings(frame_rate=FRAME_RATE)) as capture:
            (grabber, encoder), rate = await _figures(
                aiter(capture), [capture.grabber_pid, capture.pid], seconds
            )
        peer = await asyncio.create_subprocess_exec(
            *("ffmpeg", "-nostdin", "-loglevel", "quiet", "-f", "x11grab", "-framerate", str(FRAME_RATE)),
            *("-video_size", size, "-i", f":{display}", *encoding_arguments(Quality.HIGH)),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        assert peer.stdout is not None
        (x11grab,), peer_rate = await _figures(_pieces(peer.stdout), [peer.pid], seconds)
        peer.kill()
        await peer.wait()
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        await program.wait()
    return Result(size, content, grabber, encoder, rate, x11grab, peer_rate)


async def _figures(
    stream: AsyncIterator[bytes], pids: list[int], seconds: float
) -> tuple[list[float], float]:
    """What processes take while their bytes are read: per cent of a core each, megabytes an hour."""
    received = 0

    async def receive() -> None:
        nonlocal received
        async for data in stream:
            received += len(data)

    receiver = asyncio.create_task(receive())
    try:
        await asyncio.sleep(2)
        begin, before = time.monotonic(), [_ticks(pid) for pid in pids]
        await asyncio.sleep(seconds)
        elapsed = time.monotonic() - begin
        used = [after - first for after, first in zip(map(_ticks, pids), before, strict=True)]
    finally:
        receiver.cancel()
    return (
        [round(100 * ticks / TICKS / elapsed, 1) for ticks in used],
        round(received / (elapsed + 2) * 3600 / 1e6, 1),
    )


async def _pieces(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await stream.read(READ_SIZE):
        yield data


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def desktop(size: str, scratch: Path) -> tuple[subprocess.Popen[bytes], int, bytes]:
    """An X server of this size, its display number and its cookie."""
    cookie, xauthority = secrets.token_bytes(16), scratch / "xauthority"
    write_cookie(xauthority, 0, cookie)
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset",
         "-auth", str(xauthority)], pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as numbers:
        number = int(numbers.readline())
    write_cookie(xauthority, number, cookie)
    return server, number, cookie


def main(arguments: list[str]) -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--seconds", type=float, default=12, help="how long to record each")
    options = parser.parse_args(arguments)
    results = []
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="lucid-bench-") as name:
            server, number, cookie = desktop(size, Path(name))
            try:
                for content in random.sample(list(CONTENT), len(CONTENT)):
                    work = measure(number, cookie, size, content, options.seconds, Path(name))
                    results.append(asyncio.run(work))
            finally:
                server.terminate()
                server.wait()
    results.sort(key=lambda r: (SIZES.index(r.size), list(CONTENT).index(r.content)))
    if options.json:
        print(json.dumps({"benchmark": "recording", "results": [asdict(r) for r in results]}))
        return 0
    table = Table(title=f"Recording a desktop at {FRAME_RATE} frames a second")
    for column in ("size", "content", "grabber %", "encoder %", "MB/h", "x11grab %", "its MB/h"):
        table.add_column(column, justify="left" if column in {"size", "content"} else "right")
    for r in results:
        table.add_row(*(value if isinstance(value, str) else f"{value:g}" for value in astuple(r)))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
