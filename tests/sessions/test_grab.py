"""The grabber as the process that it is: which frames it writes, when, and how it ends."""

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from lucid.sessions import capture_jobs, grab
from lucid.sessions.capture import grabber_job
from lucid.sessions.x11_wire import ScreenSize
from tests.sessions.painter import BLACK, BLUE, GREEN, RED, Painter
from tests.sessions.screens import Screen

RATE = 10
SIZE = ScreenSize(640, 480)


@pytest.fixture
def grabber(screen: Screen, painter: Painter) -> Iterator[subprocess.Popen[bytes]]:
    """Started; its first line and its header have been read."""
    job = grabber_job(screen.number, SIZE, RATE)
    with (
        screen.handed_over() as stdin,
        subprocess.Popen(
            capture_jobs.command(job),
            env=capture_jobs.environment(job),
            stdin=stdin.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        ) as process,
    ):
        assert process.stderr is not None
        assert process.stdout is not None
        began = float(process.stderr.readline())
        assert abs(began - time.monotonic()) < 5
        header = read(process, 32)
        assert header[:4] + header[8:16] == b"DKIFBGR\0" + struct.pack("<2H", *SIZE)
        assert struct.unpack_from("<2I", header, 16) == (RATE, 1)
        yield process
        process.kill()


def read(grabber: subprocess.Popen[bytes], size: int) -> bytes:
    assert grabber.stdout is not None
    data = b""
    while len(data) < size and (piece := grabber.stdout.read(size - len(data))):
        data += piece
    return data


def frame(grabber: subprocess.Popen[bytes]) -> tuple[int, tuple[int, ...]]:
    """The next frame's tick, and the red, green and blue of its first pixel; tick -1 at the end."""
    if not (head := read(grabber, 12)):
        return -1, ()
    size, tick = struct.unpack("<IQ", head)
    pixels = read(grabber, size)
    assert len(pixels) == 4 * SIZE.width * SIZE.height
    return tick, tuple(pixels[2::-1])


def rest(grabber: subprocess.Popen[bytes]) -> list[tuple[int, tuple[int, ...]]]:
    frames = []
    while (one := frame(grabber))[0] >= 0:
        frames.append(one)
    return frames


class TestFrames:
    def test_of_a_still_screen_are_one_a_second(self, grabber: subprocess.Popen[bytes]) -> None:
        assert [frame(grabber) for _ in range(4)] == [(0, BLACK), (5, BLACK), (15, BLACK), (25, BLACK)]

    def test_come_at_the_next_tick_after_a_change_however_long_it_was_still(
        self, grabber: subprocess.Popen[bytes], painter: Painter
    ) -> None:
        assert [frame(grabber)[0] for _ in range(3)] == [0, 5, 15]
        third = time.monotonic()
        time.sleep(0.33)
        painter.paint(RED)
        painted = time.monotonic() - third
        tick, colour = frame(grabber)
        assert colour == RED
        assert painted <= (tick - 15) / RATE + 0.03
        assert (tick - 15) / RATE - painted <= 1.5 / RATE

    def test_show_the_last_of_several_changes_between_two_ticks(
        self, grabber: subprocess.Popen[bytes], painter: Painter
    ) -> None:
        frame(grabber)
        for colour in (RED, GREEN, BLUE):
            painter.paint(colour)
        changed = frame(grabber)
        if changed[1] != BLUE:  # a tick fell between
            changed = frame(grabber)
        assert changed[1] == BLUE

    def test_of_a_screen_always_in_motion_are_no_more_than_the_frame_rate(
        self, grabber: subprocess.Popen[bytes], painter: Painter
    ) -> None:
        frame(grabber)
        deadline, ticks = time.monotonic() + 1.5, []
        step = 0
        while time.monotonic() < deadline:
            painter.paint((RED, GREEN)[step % 2])
            step += 1
            if step % 20 == 0:
                ticks.append(frame(grabber)[0])
        assert ticks == sorted(set(ticks))
        assert len(ticks) <= 1.5 * RATE + 1


class TestEnds:
    def test_on_sigterm_with_what_the_screen_shows_then(
        self, grabber: subprocess.Popen[bytes], painter: Painter
    ) -> None:
        assert frame(grabber) == (0, BLACK)
        painter.paint(GREEN)
        grabber.terminate()
        frames = rest(grabber)
        assert frames[-1][1] == GREEN
        assert len(frames) <= 3
        assert grabber.wait(timeout=20) == 0

    def test_when_the_display_goes_away_with_a_status_of_its_own(
        self, grabber: subprocess.Popen[bytes], screen: Screen
    ) -> None:
        frame(grabber)
        screen.server.kill()
        rest(grabber)
        assert grabber.wait(timeout=20) == grab.CUT_OFF
        assert grabber.stderr is not None
        assert b"X server" in grabber.stderr.read()

    def test_without_complaint_when_nobody_reads_any_more(self, grabber: subprocess.Popen[bytes]) -> None:
        frame(grabber)
        assert grabber.stdout is not None
        grabber.stdout.close()
        assert grabber.wait(timeout=20) == 0

    def test_stopped_while_the_encoder_does_not_read_as_soon_as_it_does(
        self, grabber: subprocess.Popen[bytes]
    ) -> None:
        os.kill(grabber.pid, signal.SIGTERM)
        time.sleep(0.3)
        assert grabber.poll() is None
        assert rest(grabber)[0][0] == 0
        assert grabber.wait(timeout=20) == 0

    @pytest.mark.parametrize("stdin", [subprocess.DEVNULL, subprocess.PIPE])
    def test_with_a_message_when_it_is_given_no_display(self, stdin: int) -> None:
        job = grabber_job(7, SIZE, RATE)
        with subprocess.Popen(
            capture_jobs.command(job),
            env=capture_jobs.environment(job),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            _, said = process.communicate(timeout=10)
        assert process.returncode == grab.FAILED
        assert said.startswith(b"standard input has no display")
        assert said.count(b"\n") == 1
