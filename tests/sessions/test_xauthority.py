"""Xauthority files against the real xauth program, and against malformed ones."""

import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.sessions.recording_errors import XauthorityError
from lucid.sessions.xauthority import (
    COOKIE_NAME,
    FAMILY_LOCAL,
    FAMILY_WILD,
    XauthorityEntry,
    find_cookie,
    parse,
    serialise,
    write_cookie,
)

COOKIE = bytes(range(16))
FAMILY_INTERNET = 0

short = st.binary(max_size=40)
entries = st.lists(st.builds(XauthorityEntry, st.integers(0, 0xFFFF), short, short, short, short), max_size=5)


def entry(number: bytes = b"7", family: int = FAMILY_LOCAL, name: bytes = COOKIE_NAME) -> XauthorityEntry:
    return XauthorityEntry(family, b"host", number, name, COOKIE)


class TestFormat:
    @given(entries)
    def test_round_trips(self, some: list[XauthorityEntry]) -> None:
        assert parse(serialise(some)) == some

    def test_reads_what_xauth_writes(self, tmp_path: Path) -> None:
        file = tmp_path / "xauthority"
        file.touch(mode=0o600)
        subprocess.run(["xauth", "-f", file, "add", ":7", ".", COOKIE.hex()], check=True, timeout=10)
        assert find_cookie(parse(file.read_bytes()), 7) == COOKIE

    def test_writes_what_xauth_reads(self, tmp_path: Path) -> None:
        file = tmp_path / "xauthority"
        write_cookie(file, 7, COOKIE)
        command = ["xauth", "-f", str(file), "nlist"]
        listed = subprocess.run(command, check=True, timeout=10, stdout=subprocess.PIPE, text=True).stdout
        assert listed.split()[0] == "ffff"
        assert listed.split()[-1] == COOKIE.hex()

    def test_refuses_a_file_cut_short_anywhere(self) -> None:
        content = serialise([entry()])
        for end in range(1, len(content)):
            with pytest.raises(XauthorityError, match="ends inside"):
                parse(content[:end])

    def test_refuses_a_string_too_long_for_the_format(self) -> None:
        with pytest.raises(XauthorityError, match="at most 65535"):
            serialise([XauthorityEntry(FAMILY_WILD, bytes(65536), b"", b"", b"")])

    def test_keeps_the_cookie_out_of_its_repr(self) -> None:
        assert repr(COOKIE) not in repr(entry())


class TestFindCookie:
    @pytest.mark.parametrize("number", [b"7", b""])
    @pytest.mark.parametrize("family", [FAMILY_LOCAL, FAMILY_WILD])
    def test_takes_a_local_entry_for_the_display_or_for_all(self, family: int, number: bytes) -> None:
        assert find_cookie([entry(number, family)], 7) == COOKIE

    @pytest.mark.parametrize(
        "other",
        [entry(b"8"), entry(b"77"), entry(family=FAMILY_INTERNET), entry(name=b"XDM-AUTHORIZATION-1")],
    )
    def test_passes_over_others(self, other: XauthorityEntry) -> None:
        with pytest.raises(XauthorityError, match="no MIT-MAGIC-COOKIE-1 for display :7"):
            find_cookie([other], 7)


class TestWriteCookie:
    def test_makes_a_file_for_the_owner_only(self, tmp_path: Path) -> None:
        write_cookie(tmp_path / "x", 7, COOKIE)
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600

    def test_replaces_a_link_instead_of_following_it(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("mine")
        (tmp_path / "x").symlink_to(victim)
        write_cookie(tmp_path / "x", 7, COOKIE)
        assert victim.read_text() == "mine"
        assert not (tmp_path / "x").is_symlink()

    def test_refuses_a_cookie_of_another_size(self, tmp_path: Path) -> None:
        with pytest.raises(XauthorityError, match="15 bytes, not 16"):
            write_cookie(tmp_path / "x", 7, COOKIE[1:])
