"""The state directory is its owner's alone, and only the stack's own files in it are ever removed."""

from pathlib import Path

import pytest

from lucid.dev.errors import StackError
from lucid.dev.layout import State, write_private


class TestTheDirectory:
    def test_is_named_by_option_then_environment_then_default(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("LUCID_STATE", raising=False)
        assert State.at().directory == tmp_path / ".state"
        monkeypatch.setenv("LUCID_STATE", "/elsewhere")
        assert State.at().directory == Path("/elsewhere")
        assert State.at(Path("here")).directory == tmp_path / "here"

    def test_is_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        state = State(tmp_path / "state")
        state.directory.mkdir(mode=0o755)
        state.create()
        assert state.directory.stat().st_mode & 0o777 == 0o700

    def test_that_cannot_be_made_is_named_with_the_setting(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StackError, match="--state or LUCID_STATE"):
            State(tmp_path / "file" / "state").create()


class TestStartingAfresh:
    def test_forgets_the_stacks_files_and_no_others(self, tmp_path: Path) -> None:
        state = State(tmp_path)
        for path in (state.service("a") / "x", state.credentials("a") / "x", state.log("a"), state.tls / "x"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        state.operator.touch()
        (tmp_path / "thesis.txt").touch()
        state.clear()
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


class TestPrivateFiles:
    def test_are_readable_by_their_owner_only_even_where_a_public_one_was(self, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.write_text("old")
        path.chmod(0o644)
        write_private(path, b"new")
        assert path.read_bytes() == b"new"
        assert path.stat().st_mode & 0o777 == 0o600
