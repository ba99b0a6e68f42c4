"""The picture of a real screen: what it shows, what it copies, and whom it shows that to."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucid.sessions.desktop_image import DesktopImage
from lucid.sessions.recording_errors import DisplayError
from lucid.sessions.x11_connection import DisplayLostError, DisplayRequestError, X11Connection
from lucid.sessions.x11_wire import ScreenSize
from tests.sessions.painter import BLACK, BLUE, GREEN, RED, WHITE, Colour, Painter
from tests.sessions.screens import Screen, StartScreen

SIZE = ScreenSize(640, 480)


@pytest.fixture
def image(screen: Screen, painter: Painter) -> Iterator[DesktopImage]:
    """A picture that is up to date."""
    with X11Connection(screen.number, screen.cookie) as connection:
        image = DesktopImage(connection, SIZE)
        assert image.changed()
        image.update(whole=True)
        assert not image.changed()
        yield image


def at(image: DesktopImage, x: int, y: int) -> Colour:
    offset = 4 * (y * SIZE.width + x)
    blue, green, red = image.pixels[offset : offset + 3]
    return red, green, blue


class TestPicture:
    def test_shows_what_is_drawn_after_it_was_told_of_it(self, image: DesktopImage, painter: Painter) -> None:
        painter.paint(RED, (10, 20, 30, 40))
        assert image.changed()
        image.update(whole=False)
        assert [at(image, 10, 20), at(image, 39, 59), at(image, 9, 20), at(image, 39, 60)] == [
            RED, RED, BLACK, BLACK,
        ]  # fmt: skip
        assert not image.changed()

    def test_follows_many_small_changes_exactly(self, image: DesktopImage, painter: Painter) -> None:
        for step in range(50):
            painter.paint((GREEN, BLUE)[step % 2], (8 * step, 9 * step, 8, 9))
            assert image.changed()
            image.update(whole=False)
        followed = bytes(image.pixels)
        image.update(whole=True)
        assert bytes(image.pixels) == followed
        assert [at(image, 8 * step, 9 * step) for step in range(50)] == [GREEN, BLUE] * 25

    def test_copies_only_rows_that_have_changed(self, image: DesktopImage, painter: Painter) -> None:
        row = slice(4 * SIZE.width * 100, 4 * SIZE.width * 101)
        image.pixels[row] = b"\x55" * (4 * SIZE.width)
        painter.paint(RED, (0, 101, 640, 10))
        assert image.changed()
        image.update(whole=False)
        assert (at(image, 0, 101), image.pixels[row][:4]) == (RED, b"\x55" * 4)
        image.update(whole=True)
        assert at(image, 0, 100) == BLACK


class TestPointer:
    def test_is_drawn_where_it_is_and_taken_away_where_it_was(
        self, image: DesktopImage, painter: Painter
    ) -> None:
        painter.paint(BLUE)
        for x, y in ((50, 60), (300, 200), (639, 479), (0, 0)):
            painter.point(x, y)
            assert image.changed()
            image.update(whole=False)
            drawn = [
                (place % SIZE.width, place // SIZE.width)
                for place in range(SIZE.width * SIZE.height)
                if image.pixels[4 * place : 4 * place + 3] != bytes(BLUE[::-1])
            ]
            assert drawn
            assert all(abs(dx - x) < 20 and abs(dy - y) < 20 for dx, dy in drawn)
            assert not image.changed()

    def test_takes_the_shape_of_the_window_that_it_is_over(
        self, screen: Screen, image: DesktopImage, painter: Painter
    ) -> None:
        window = screen.start("xterm", "-geometry", "60x20+0+0", "-bg", "blue", "-xrm", "*pointerMode: 0")
        try:
            deadline = time.monotonic() + 10
            while at(image, 200, 200) != BLUE and time.monotonic() < deadline:
                time.sleep(0.05)
                image.changed()
                image.update(whole=False)
            pictures = []
            for place in ((550, 400), (200, 200)):
                painter.point(*place)
                time.sleep(0.2)
                assert image.changed()
                image.update(whole=False)
                pictures.append(
                    [at(image, place[0] + dx, place[1] + dy) for dx in range(-9, 9) for dy in range(-9, 9)]
                )
            assert len(set(pictures[1])) > 1
            shapes = [[colour in {BLACK, BLUE} for colour in picture] for picture in pictures]
            assert shapes[0] != shapes[1]
        finally:
            os.killpg(window.pid, signal.SIGKILL)
            window.wait(timeout=10)

    @pytest.mark.parametrize("name", ["left_ptr", "watch"])
    def test_whose_picture_is_not_handed_out_is_an_arrow(
        self, screen: Screen, image: DesktopImage, painter: Painter, name: str
    ) -> None:
        """That of a program which has ended, and an animated one."""
        painter.paint(BLUE)
        screen.run("xsetroot", "-cursor_name", name)
        assert image.changed()
        image.update(whole=False)
        assert [at(image, 600, 400 + row) for row in (0, 16, 17)] == [BLACK, BLACK, BLUE]
        assert [at(image, 601 + column, 410) for column in (0, 8, 9, 10)] == [WHITE, WHITE, BLACK, BLUE]
        until = time.monotonic() + 0.5  # an animated one has other pictures in this time
        while time.monotonic() < until:
            assert not image.changed()
            time.sleep(0.01)


class TestMemory:
    @pytest.mark.usefixtures("image")
    def test_is_anonymous_sealed_and_no_system_v_segment(self, screen: Screen) -> None:
        maps = Path("/proc/self/maps").read_text(encoding="ascii")
        assert "memfd:desktop-image" in maps
        assert "memfd:desktop-image" in Path(f"/proc/{screen.server.pid}/maps").read_text(encoding="ascii")
        pids = {str(os.getpid()), str(screen.server.pid)}
        segments = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
        assert not [line for line in segments if pids & set(line.split()[4:6])]
        mapped = next(line.split()[0] for line in maps.splitlines() if "memfd:desktop-image" in line)
        file = os.open(f"/proc/self/map_files/{mapped}", os.O_RDWR)
        try:
            with pytest.raises(PermissionError):
                os.ftruncate(file, 0)
        finally:
            os.close(file)


class TestRefusals:
    def test_of_a_screen_smaller_than_the_picture_are_the_servers_words(self, screen: Screen) -> None:
        with X11Connection(screen.number, screen.cookie) as connection:
            image = DesktopImage(connection, ScreenSize(641, 480))
            with pytest.raises(DisplayRequestError, match="X error 8"):
                image.update(whole=True)

    def test_of_a_server_without_an_extension_name_it(self, start_screen: StartScreen) -> None:
        screen = start_screen("640x480", 24, "-extension", "MIT-SHM")
        with (
            X11Connection(screen.number, screen.cookie) as connection,
            pytest.raises(DisplayError, match="lacks the extension MIT-SHM"),
        ):
            DesktopImage(connection, SIZE)

    def test_of_a_wrong_cookie_and_of_no_display(self, screen: Screen) -> None:
        with pytest.raises(DisplayError, match="refuses the recorder"):
            X11Connection(screen.number, bytes(16))
        with pytest.raises(DisplayError, match="display :9999 cannot be reached"):
            X11Connection(9999, None)

    def test_come_as_a_lost_display_once_the_server_is_gone(
        self, screen: Screen, image: DesktopImage
    ) -> None:
        screen.server.kill()
        screen.server.wait(timeout=10)
        for _ in range(2):
            with pytest.raises(DisplayLostError, match="has ended"):
                image.changed()
