"""The capture against real X servers and the real encoder, in ways it can end."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lucid.sessions.capture import Capture
from lucid.sessions.capture_run import EndCause
from lucid.sessions.chunking import Chunk, Chunker
from lucid.sessions.fmp4 import FragmentSplitter, InitSegment
from lucid.sessions.recorder_encoder import CaptureSettings, Quality
from lucid.sessions.recording_errors import CaptureStartError, DisplayError, RecordingError
from lucid.sessions.x11_wire import SOCKETS, ScreenSize
from tests.sessions.capture_units import accepting
from tests.sessions.screens import Screen, StartScreen

SETTINGS = CaptureSettings(frame_rate=10, quality=Quality.LOW)


@pytest.fixture(params=["as children", "in a unit"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The socket of units, or none: how the capture's programs are started."""
    if request.param == "as children":
        yield ""
        return
    with accepting(tmp_path / "capture"):
        yield str(tmp_path / "capture")


def capture_of(screen: Screen, way: str = "", settings: CaptureSettings = SETTINGS) -> Capture:
    return Capture(screen.number, screen.cookie, dataclasses.replace(settings, capture_socket=way))


async def end_after(capture: Capture, act: Callable[[], object]) -> tuple[EndCause, str]:
    """Act when the first fragment is there, read to the end, and return the cause and detail."""
    splitter = FragmentSplitter()
    acted = False
    async with asyncio.timeout(30):
        async for data in capture:
            if not acted and any(not isinstance(segment, InitSegment) for segment in splitter.feed(data)):
                acted = True
                await asyncio.to_thread(act)
    return capture.end.cause, capture.end.detail


def probe(video: bytes, *show: str) -> list[str]:
    """What ffprobe says of a video, and that it finds no fault with it."""
    command = ["ffprobe", "-v", "error", *show, "-of", "csv=p=0", "-"]
    run = subprocess.run(command, input=video, capture_output=True, check=True, timeout=30)
    assert run.stderr == b""
    return run.stdout.decode().split()


@contextlib.contextmanager
def clock_on(screen: Screen) -> Iterator[None]:
    """Moving content."""
    command = ["xclock", "-digital", "-update", "1"]
    with subprocess.Popen(command, env=screen.environment(), stderr=subprocess.DEVNULL) as clock:
        yield
        clock.kill()


def check_video(chunks: list[Chunk]) -> None:
    """The chunks make one playable recording, its key frames as asked for; each can be decoded alone."""
    video = b"".join(part for chunk in chunks for part in chunk.parts)
    stream = probe(video, "-show_entries", "stream=codec_name,width,height,pix_fmt")
    assert stream == ["h264,642,482,yuv420p"]
    packets = probe(video, "-show_entries", "packet=pts_time,flags")
    key_frames = [float(packet.split(",")[0]) for packet in packets if ",K" in packet]
    assert key_frames == [
        0,
        pytest.approx(0.5, abs=0.3),
        pytest.approx(key_frames[1] + 5, abs=0.3),
    ]
    init = chunks[0].parts[0]
    for chunk in chunks:
        alone = init + b"".join(part for part in chunk.parts if part is not init)
        (frames,) = probe(alone, "-count_frames", "-show_entries", "stream=nb_read_frames")
        assert int(frames) >= 1


def check_cookie_is_in_no_file(screen: Screen, directory: Path, pids: tuple[int, int]) -> None:
    own = {screen.xauthority, *directory.glob("server-xauthority-*")}
    files = [path for path in directory.rglob("*") if path.is_file() and path not in own]
    files += [Path(f"/proc/{pid}/{name}") for pid in pids for name in ("cmdline", "environ")]
    for content in (path.read_bytes() for path in files):
        assert screen.cookie not in content
        assert screen.cookie.hex().encode() not in content


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class TestRecording:
    async def test_of_an_odd_sized_moving_desktop_makes_playable_chunks_on_key_frames(
        self, start_screen: StartScreen, way: str
    ) -> None:
        screen = start_screen("641x481")
        splitter, chunker, chunks = FragmentSplitter(), Chunker("screen"), list[Chunk]()
        started_ms = 0
        with clock_on(screen):
            async with capture_of(screen, way) as capture:
                asyncio.get_running_loop().call_later(7, capture.stop)
                async for data in capture:
                    for segment in splitter.feed(data):
                        if isinstance(segment, InitSegment):
                            started_ms = time.time_ns() // 1_000_000 - capture.age_ms
                            chunks += chunker.begin_run(segment, started_ms)
                        else:
                            chunks += chunker.add(segment)
        chunks += chunker.finish()

        assert capture.size == ScreenSize(641, 481)
        assert capture.end.cause is EndCause.STOPPED
        assert splitter.unfinished == 0
        assert [chunk.starts_run for chunk in chunks] == [True, False]
        lengths = [chunk.end_ms - chunk.start_ms for chunk in chunks]
        assert 500 <= lengths[0] <= 900
        assert 5000 <= lengths[1] <= 7500
        assert chunks[0].start_ms == started_ms
        check_video(chunks)

    async def test_keeps_the_cookie_in_no_file_and_leaves_no_process(
        self, screen: Screen, way: str, tmp_path: Path
    ) -> None:
        async with capture_of(screen, way) as capture:
            check_cookie_is_in_no_file(screen, tmp_path, (capture.pid, capture.grabber_pid))
        assert gone(capture.pid)
        assert gone(capture.grabber_pid)

    async def test_waits_for_a_slow_reader(self, screen: Screen, way: str) -> None:
        """Left alone with bytes unread, the encoder is killed and nothing hangs."""
        noise = CaptureSettings(frame_rate=30, quality=Quality.ULTRA)
        async with asyncio.timeout(20), capture_of(screen, way, noise) as capture:
            async for _ in capture:
                break
            await asyncio.sleep(1)
            with pytest.raises(RecordingError, match="not been read to its end"):
                _ = capture.end
        assert gone(capture.pid)


class TestEnds:
    async def test_when_the_screen_changes_its_size(self, screen: Screen, way: str) -> None:
        async with capture_of(screen, way) as capture:
            resize = ("xrandr", "--output", "screen", "--off", "--fb", "400x300")
            end = await end_after(capture, lambda: screen.run(*resize))
        assert end == (EndCause.RESIZED, "the screen changed from 640x480 to 400x300")
        async with capture_of(screen, way) as capture:
            assert capture.size == ScreenSize(400, 300)

    async def test_when_the_display_goes_away(self, screen: Screen, way: str) -> None:
        async with capture_of(screen, way) as capture:
            end = await end_after(capture, screen.server.kill)
        assert end == (EndCause.DISPLAY_LOST, f"display :{screen.number} is gone or does not answer")

    @pytest.mark.parametrize("whom", ["the encoder", "the encoder and the watch"])
    async def test_when_a_program_in_the_session_throws_it_out(
        self, screen: Screen, way: str, whom: str
    ) -> None:
        async with capture_of(screen, way) as capture:
            cause, detail = await end_after(
                capture, lambda: kill_clients(screen, keep_first=whom == "the encoder")
            )
        assert cause is EndCause.EVICTED
        assert detail == f"display :{screen.number} lives but has cut off the recorder's connection"

    async def test_when_the_encoder_is_killed(self, screen: Screen, way: str) -> None:
        async with capture_of(screen, way) as capture:
            end = await end_after(capture, lambda: os.kill(capture.pid, signal.SIGKILL))
        assert end == (EndCause.KILLED, "the encoder was ended by SIGKILL")

    async def test_when_the_grabber_is_killed(self, screen: Screen, way: str) -> None:
        async with capture_of(screen, way) as capture:
            end = await end_after(capture, lambda: os.kill(capture.grabber_pid, signal.SIGKILL))
        assert end == (EndCause.KILLED, "the grabber was ended by SIGKILL")

    async def test_when_the_grabber_hangs(self, screen: Screen, way: str) -> None:
        impatient = CaptureSettings(frame_rate=10, quality=Quality.LOW, stall_seconds=5.5)
        async with capture_of(screen, way, impatient) as capture:
            end = await end_after(capture, lambda: os.kill(capture.grabber_pid, signal.SIGSTOP))
        assert end == (EndCause.STALLED, "the encoder wrote nothing for 5.5 s")

    async def test_with_the_grabbers_own_words_when_it_fails(
        self, start_screen: StartScreen, way: str
    ) -> None:
        async with capture_of(start_screen("640x480", depth=16), way) as capture:
            assert [data async for data in capture] == []
        assert capture.end.cause is EndCause.FAILED
        assert capture.end.detail == (
            "the grabber ended with status 1: the screen is not in true colour with 32 bits a pixel:"
            " set its depth to 24"
        )

    async def test_as_asked_when_the_signal_comes_to_the_encoder_too(self, screen: Screen, way: str) -> None:
        """A service manager that stops the recorder signals all of its processes."""
        async with capture_of(screen, way) as capture, asyncio.timeout(10):
            stream = aiter(capture)
            await anext(stream)
            capture.stop()
            os.kill(capture.pid, signal.SIGTERM)
            _ = [data async for data in stream]
        assert capture.end.cause is EndCause.STOPPED

    async def test_as_asked_when_stopped_before_the_first_picture(self, screen: Screen, way: str) -> None:
        async with capture_of(screen, way) as capture:
            capture.stop()
            async with asyncio.timeout(5):
                _ = [data async for data in capture]
        assert capture.end.cause is EndCause.STOPPED

    async def test_when_the_encoder_hangs(self, screen: Screen, way: str) -> None:
        impatient = CaptureSettings(frame_rate=10, quality=Quality.LOW, stall_seconds=5.5)
        async with capture_of(screen, way, impatient) as capture:
            end = await end_after(capture, lambda: os.kill(capture.pid, signal.SIGSTOP))
        assert end == (EndCause.STALLED, "the encoder wrote nothing for 5.5 s")

    async def test_with_the_encoders_own_words_when_it_fails(self, screen: Screen, tmp_path: Path) -> None:
        failing = tmp_path / "ffmpeg"
        failing.write_text("#!/bin/sh\necho first >&2\necho 'no such codec' >&2\nexit 3\n")
        failing.chmod(0o755)
        async with capture_of(screen, settings=CaptureSettings(ffmpeg=str(failing))) as capture:
            assert [data async for data in capture] == []
        assert capture.end.cause is EndCause.FAILED
        assert capture.end.detail == "ffmpeg ended with status 3: first | no such codec"

    def test_with_its_parent_when_that_is_killed(self, screen: Screen, way: str) -> None:
        command = [sys.executable, "-c", PARENT, str(screen.number), str(screen.xauthority), way]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            children = [int(pid) for pid in parent.stdout.readline().split()]
            assert not any(map(gone, children))
            parent.kill()
            parent.wait(timeout=10)
        deadline = time.monotonic() + 2
        while not all(map(gone, children)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert all(map(gone, children))


class TestDoesNotStart:
    async def test_without_a_display(self) -> None:
        with pytest.raises(DisplayError, match="display :9999 cannot be reached"):
            await Capture(9999, None, SETTINGS).__aenter__()

    @pytest.mark.parametrize("cookie", [None, bytes(16)])
    async def test_with_a_wrong_cookie(self, screen: Screen, cookie: bytes | None) -> None:
        with pytest.raises(
            DisplayError, match=f"display :{screen.number} refuses the recorder: .*(Auth|COOKIE)"
        ):
            await Capture(screen.number, cookie, SETTINGS).__aenter__()

    async def test_on_a_screen_too_small(self, start_screen: StartScreen) -> None:
        with pytest.raises(DisplayError, match="the screen is 319x240: from 320x240 to 7680x4320"):
            await capture_of(start_screen("319x240")).__aenter__()

    async def test_without_the_encoder(self, screen: Screen) -> None:
        with pytest.raises(CaptureStartError, match="encoder='no-such-ffmpeg' cannot be run"):
            await capture_of(screen, settings=CaptureSettings(ffmpeg="no-such-ffmpeg")).__aenter__()

    async def test_without_its_unit(self, screen: Screen, tmp_path: Path) -> None:
        """A recorder that is to use units does not fall back on children of its own."""
        with pytest.raises(CaptureStartError, match=r"capture_socket=.* does not answer"):
            await capture_of(screen, str(tmp_path / "nobody")).__aenter__()


PARENT = """
import asyncio, sys
from pathlib import Path
from lucid.sessions.capture import Capture
from lucid.sessions.recorder_encoder import CaptureSettings
from lucid.sessions.xauthority import find_cookie, parse

async def main(display, cookie, way):
    async with Capture(display, cookie, CaptureSettings(capture_socket=way)) as capture:
        print(capture.pid, capture.grabber_pid, flush=True)
        async for _ in capture:
            pass

display, xauthority, way = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
asyncio.run(main(display, find_cookie(parse(xauthority.read_bytes()), display), way))
"""


def kill_clients(screen: Screen, *, keep_first: bool) -> None:
    """What a hostile program does: KillClient (X11 request 113) on every client's range of resource ids.

    The watch is the first to connect, so it has the lowest range.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{SOCKETS}/X{screen.number}")
        name = b"MIT-MAGIC-COOKIE-1"
        connection.sendall(
            struct.pack("=cx4H2x", b"l", 11, 0, len(name), 16) + name + bytes(2) + screen.cookie
        )
        with connection.makefile("rb") as answers:
            status, _, _, _, words = struct.unpack("=2B3H", answers.read(8))
            assert status == 1
            (own, mask) = struct.unpack_from("=2I", answers.read(4 * words), 4)
            step = mask + 1
            for client in range(2 if keep_first else 1, 64):
                if client * step != own:
                    connection.sendall(struct.pack("=BxHI", 113, 2, client * step))
            connection.sendall(struct.pack("=BxH", 43, 1))  # GetInputFocus, so that all before has been done
            while answers.read(32)[0] != 1:
                pass
