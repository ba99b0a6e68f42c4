"""Commands run on a display of their own that only the holder of its cookie can open."""

import secrets
from pathlib import Path

import pytest

from lucid.cli import desktop
from lucid.cli.output import Failure
from lucid.sessions.recorder_display import DisplayWatch, display_answers
from lucid.sessions.x11_wire import ScreenSize
from lucid.sessions.xauthority import write_cookie
from tests.dev.waiting import runs, until


class TestADesktopOfItsOwn:
    async def test_has_the_size_asked_for_and_opens_to_its_cookie_only(self) -> None:
        with desktop.started(["sleep", "99"], "640x480") as found:
            watch = await DisplayWatch.open(found.number, found.cookie)
            assert watch.size == ScreenSize(640, 480)
            await watch.close()
            assert not await display_answers(found.number, None)
            assert not await display_answers(found.number, secrets.token_bytes(16))

    async def test_has_the_number_that_it_is_given_and_nobody_elses(self) -> None:
        number = 30_000 + secrets.randbelow(10_000)
        with desktop.started(["sleep", "99"], "320x240", number) as found:
            assert found.number == number
            assert await display_answers(number, found.cookie)
            with pytest.raises(Failure), desktop.started(["sleep", "99"], "320x240", number):
                pass
            assert await display_answers(number, found.cookie)

    async def test_lets_the_command_draw_and_ends_both_with_the_context(self) -> None:
        with desktop.started(["xclock"], "320x240") as found:
            assert found.command is not None
            pid = found.command.pid
            assert await display_answers(found.number, found.cookie)
            assert not found.over
        assert not runs(pid)
        assert not await display_answers(found.number, found.cookie)

    def test_is_over_when_the_command_has_ended(self) -> None:
        with desktop.started(["sh", "-c", "exit 3"], "320x240") as found:
            until(lambda: found.over)
            assert found.command is not None
            assert found.command.ending == "ended with status 3"

    def test_of_a_command_that_is_not_there_says_so(self) -> None:
        with (
            pytest.raises(Failure, match="no-such-program is not on PATH"),
            desktop.started(["no-such-program"], "320x240"),
        ):
            pytest.fail("it was started")

    def test_of_a_size_that_the_server_refuses_shows_what_it_said(self) -> None:
        with pytest.raises(Failure, match="Invalid screen configuration"), desktop.started(["true"], "axb"):
            pytest.fail("it was started")


class TestADesktopThatIsThere:
    def test_gets_its_cookie_from_the_file_in_xauthority(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_cookie(tmp_path / "xauthority", 7, b"c" * 16)
        monkeypatch.setenv("XAUTHORITY", str(tmp_path / "xauthority"))
        found = desktop.existing(":7.0")
        assert (found.name, found.cookie, found.over) == (":7", b"c" * 16, False)
        assert "c" * 16 not in repr(found)

    def test_without_a_cookie_is_refused_with_the_fix(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XAUTHORITY", str(tmp_path / "missing"))
        with pytest.raises(Failure, match="set XAUTHORITY"):
            desktop.existing(":7")
