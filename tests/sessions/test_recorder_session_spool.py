"""A session in the spool: what is on disk when, what a crash leaves, what a full disk does."""

import json
import os
import resource
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from lucid.sessions.recorder_claims import Claim
from lucid.sessions.recorder_session_spool import SessionSpool
from lucid.sessions.recording_errors import (
    SpoolDamagedError,
    SpoolError,
    SpoolFullError,
)
from lucid.sessions.spool import Spool

QUOTA = 1_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(root: Path) -> Iterator[Spool]:
    with Spool(root, QUOTA) as spool:
        yield spool


@pytest.fixture
def session(spool: Spool) -> Iterator[SessionSpool]:
    session = spool.create("s1")
    yield session
    session.close()


def append(session: SessionSpool, content: bytes = b"abc", track: str = "screen") -> Claim:
    start = 1000 * (session.last_end_ms // 1000 + 1)
    return session.append_chunk(track, [content[:1], content[1:]], start, start + 500)


def reopen(spool: Spool, session: SessionSpool) -> SessionSpool:
    session.close()
    return spool.open(session.session)


def files(root: Path) -> set[str]:
    return {path.name for path in (root / "s1").iterdir()}


def used(root: Path) -> int:
    return sum(path.stat().st_size for path in root.glob("*/*"))


class TestAppendedChunk:
    def test_can_be_read_back_with_its_claim(self, session: SessionSpool) -> None:
        claim = append(session, b"abc")
        assert session.read(0) == b"abc"
        assert session.pending() == [claim]
        assert (claim.session, claim.track, claim.index, claim.seq) == ("s1", "screen", 0, 0)
        assert (claim.start_ms, claim.end_ms, claim.plain_size) == (1000, 1500, 3)

    def test_is_committed_to_under_a_nonce_of_its_own(self, session: SessionSpool) -> None:
        first, second = append(session), append(session)
        assert first.raw_nonce != second.raw_nonce
        assert first.raw_commitment == sha256(bytes.fromhex(first.raw_nonce) + b"abc").hexdigest()

    def test_is_numbered_in_the_session_and_in_its_track(self, session: SessionSpool) -> None:
        claims = [append(session, track=track) for track in ("screen", "sound", "screen")]
        assert [(claim.seq, claim.track, claim.index) for claim in claims] == [
            (0, "screen", 0),
            (1, "sound", 0),
            (2, "screen", 1),
        ]

    def test_has_a_canonical_claim_on_disk(self, root: Path, session: SessionSpool) -> None:
        append(session)
        content = (root / "s1" / "00000000.json").read_bytes()
        assert content == json.dumps(json.loads(content), sort_keys=True, separators=(",", ":")).encode()

    def test_is_for_the_owner_only(self, root: Path, session: SessionSpool) -> None:
        append(session)
        session.save_state(b"{}")
        session.append_leaves(0, [b"leaf"])
        assert {stat.S_IMODE(path.stat().st_mode) for path in (root / "s1").iterdir()} == {0o600}
        assert stat.S_IMODE((root / "s1").stat().st_mode) == 0o700
        assert stat.S_IMODE(root.stat().st_mode) == 0o700

    def test_keeps_its_nonce_out_of_logs(self, session: SessionSpool) -> None:
        claim = append(session)
        assert claim.raw_nonce not in repr(claim)

    def test_is_durable_before_its_claim_and_the_claim_before_the_return(
        self, session: SessionSpool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        fsync, rename = os.fsync, os.rename

        def note_fsync(descriptor: int) -> None:
            steps.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
            fsync(descriptor)

        def note_rename(source: Path, target: Path) -> None:
            steps.append(f"rename {Path(target).name}")
            rename(source, target)

        monkeypatch.setattr(os, "fsync", note_fsync)
        monkeypatch.setattr(os, "rename", note_rename)
        append(session)
        assert steps == [
            *("fsync 00000000.chunk.tmp", "rename 00000000.chunk", "fsync s1"),
            *("fsync 00000000.json.tmp", "rename 00000000.json", "fsync s1"),
        ]


class TestRestart:
    def test_finds_everything_again(self, spool: Spool, session: SessionSpool) -> None:
        claims = [append(session), append(session)]
        session.append_leaves(0, [b"first"])
        session.save_state(b'{"any": "thing"}')
        again = reopen(spool, session)
        assert spool.sessions() == ["s1"]
        assert again.pending() == claims
        assert again.leaves() == [b"first"]
        assert again.load_state() == b'{"any": "thing"}'
        assert again.last_end_ms == claims[-1].end_ms
        assert again.damaged == []
        again.close()

    def test_removes_a_chunk_that_never_got_its_claim(
        self, root: Path, spool: Spool, session: SessionSpool
    ) -> None:
        claim = append(session)
        (root / "s1" / "00000001.chunk").write_bytes(b"whole, but nobody was told")
        (root / "s1" / "00000001.json.tmp").write_bytes(b'{"half":')
        again = reopen(spool, session)
        assert again.pending() == [claim]
        assert files(root) == {"00000000.chunk", "00000000.json", "leaves.jsonl"}
        assert append(again).seq == 1
        again.close()

    def test_cuts_off_a_torn_leaf(self, root: Path, spool: Spool, session: SessionSpool) -> None:
        session.append_leaves(0, [b"first"])
        with (root / "s1" / "leaves.jsonl").open("ab") as file:
            file.write(b"sec")
        again = reopen(spool, session)
        again.append_leaves(1, [b"second"])
        assert (root / "s1" / "leaves.jsonl").read_bytes() == b"first\nsecond\n"
        again.close()

    def test_never_gives_a_forgotten_number_again(self, spool: Spool, session: SessionSpool) -> None:
        last = [append(session), append(session)][-1]
        session.forget(2)
        again = reopen(spool, session)
        assert (again.next_seq, again.last_end_ms) == (2, last.end_ms)
        claim = append(again)
        assert (claim.seq, claim.index) == (2, 2)
        again.close()

    def test_knows_the_end_of_each_track(self, spool: Spool, session: SessionSpool) -> None:
        picture, events = append(session, track="0"), append(session, track="1")
        session.forget(1)
        again = reopen(spool, session)
        assert again.end_of("0") == picture.end_ms < again.end_of("1") == events.end_ms == again.last_end_ms
        assert again.end_of("2") == 0
        again.close()

    def test_reads_what_was_written_before_there_were_several_tracks(
        self, root: Path, spool: Spool, session: SessionSpool
    ) -> None:
        before = {"next_seq": 7, "next_index": {"0": 7}, "last_end_ms": 123_000}
        (root / "s1" / "progress.json").write_text(json.dumps(before))
        again = reopen(spool, session)
        assert (again.next_seq, again.end_of("0"), again.end_of("1")) == (7, 123_000, 0)
        events = append(again, track="1")
        picture = append(again, track="0")
        assert (events.seq, events.index, picture.seq, picture.index) == (7, 0, 8, 7)
        again.forget(9)
        assert (again.end_of("0"), again.end_of("1")) == (picture.end_ms, events.end_ms)
        again.close()

    def test_completes_a_forgetting_that_was_interrupted(
        self, root: Path, spool: Spool, session: SessionSpool
    ) -> None:
        append(session)
        leftovers = {path: path.read_bytes() for path in (root / "s1").glob("0*")}
        session.forget(1)
        for path, content in leftovers.items():
            path.write_bytes(content)
        again = reopen(spool, session)
        assert again.pending() == []
        assert files(root) == {"leaves.jsonl", "progress.json"}
        again.close()

    def test_counts_the_bytes_that_are_there(self, root: Path, spool: Spool, session: SessionSpool) -> None:
        for _ in range(3):
            append(session, b"x" * 1000)
        session.append_leaves(0, [b"leaf"])
        session.save_state(b"state")
        session.forget(1)
        assert spool.usage_bytes() == used(root)
        (root / "s1" / "00000009.chunk").write_bytes(b"y" * 77)
        session.close()
        spool.close()
        with Spool(root, QUOTA) as again:
            again.open("s1").close()
            assert again.usage_bytes() == used(root) > 2000


class TestDamage:
    def alter(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-1] + b"!")

    def test_is_found_on_opening_and_kept_out_of_what_is_pending(
        self, root: Path, spool: Spool, session: SessionSpool
    ) -> None:
        kept = [append(session) for _ in range(4)][3]
        self.alter(root / "s1" / "00000000.chunk")
        (root / "s1" / "00000001.chunk").unlink()
        (root / "s1" / "00000002.json").unlink()
        again = reopen(spool, session)
        assert again.damaged == [0, 1, 2]
        assert again.pending() == [kept]
        assert append(again).seq == 4
        again.close()

    def test_is_found_on_reading(self, root: Path, session: SessionSpool) -> None:
        append(session)
        self.alter(root / "s1" / "00000000.chunk")
        with pytest.raises(SpoolDamagedError, match="chunk 0 of session s1 is not what its claim says"):
            session.read(0)

    @pytest.mark.parametrize("name", ["00000000.json", "progress.json"])
    def test_of_a_number_already_given_stops_the_session(
        self, root: Path, spool: Spool, session: SessionSpool, name: str
    ) -> None:
        append(session)
        append(session)
        session.forget(1)
        (root / "s1" / name).write_bytes(b"{}x")
        if name == "00000000.json":
            (root / "s1" / "progress.json").unlink()
        with pytest.raises(SpoolDamagedError, match=f"{name} is damaged"):
            reopen(spool, session)

    def test_includes_a_claim_that_was_moved(self, root: Path, spool: Spool, session: SessionSpool) -> None:
        append(session)
        (root / "s1" / "00000000.json").rename(root / "s1" / "00000005.json")
        with pytest.raises(SpoolDamagedError, match="it was moved"):
            reopen(spool, session)


class TestForget:
    def test_deletes_only_what_is_below(self, root: Path, session: SessionSpool) -> None:
        claims = [append(session) for _ in range(3)]
        session.forget(2)
        assert session.pending() == claims[2:]
        assert files(root) == {"00000002.chunk", "00000002.json", "leaves.jsonl", "progress.json"}
        with pytest.raises(SpoolError, match="holds no chunk 1"):
            session.read(1)

    def test_notes_the_numbers_before_it_deletes(
        self, root: Path, session: SessionSpool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append(session)
        noted: list[bool] = []
        unlink = Path.unlink

        def note(path: Path, missing_ok: bool = False) -> None:
            noted.append((root / "s1" / "progress.json").exists())
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", note)
        session.forget(1)
        assert noted == [True, True]

    def test_again_or_beyond_the_end_changes_nothing(self, session: SessionSpool) -> None:
        append(session)
        session.forget(99)
        session.forget(1)
        assert append(session).seq == 1


class TestLeaves:
    def test_may_be_said_twice_but_not_differently(self, session: SessionSpool) -> None:
        session.append_leaves(0, [b"a"])
        session.append_leaves(0, [b"a"])
        assert session.leaves() == [b"a"]
        with pytest.raises(SpoolError, match="holds 1 leaves: number 0 cannot be set"):
            session.append_leaves(0, [b"b"])

    def test_come_in_order(self, session: SessionSpool) -> None:
        with pytest.raises(SpoolError, match="number 1 cannot be set"):
            session.append_leaves(1, [b"b"])

    @pytest.mark.parametrize("leaf", [b"", b"a\nb", b"a\n"])
    def test_are_one_line_each(self, session: SessionSpool, leaf: bytes) -> None:
        with pytest.raises(ValueError, match="no line break"):
            session.append_leaves(0, [leaf])


class TestFullness:
    def test_of_the_quota_is_refused_before_anything_is_written(
        self, root: Path, spool: Spool, session: SessionSpool
    ) -> None:
        append(session, b"x" * 900_000)
        before = files(root)
        with pytest.raises(SpoolFullError, match="of 1000000 bytes"):
            append(session, b"x" * 100_000)
        assert files(root) == before
        assert spool.usage_bytes() == used(root)

    def test_of_the_quota_ends_when_chunks_are_forgotten(self, session: SessionSpool) -> None:
        append(session, b"x" * 900_000)
        session.forget(1)
        assert append(session, b"x" * 900_000).seq == 1

    def test_of_the_disk_leaves_nothing_half_written(
        self, root: Path, spool: Spool, session: SessionSpool
    ) -> None:
        """The kernel itself cuts the write off, by a limit on the size of files."""
        append(session)
        session.append_leaves(0, [b"leaf"])
        session.save_state(b"old")
        before = files(root)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
        try:
            with pytest.raises(SpoolFullError, match="disk takes no more"):
                append(session, b"x" * 50_000)
            with pytest.raises(SpoolFullError, match="disk takes no more"):
                session.append_leaves(1, [b"another leaf"])
            with pytest.raises(SpoolFullError, match="disk takes no more"):
                session.save_state(b"x" * 50)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert files(root) == before
        assert (root / "s1" / "leaves.jsonl").read_bytes() == b"leaf\n"
        assert session.load_state() == b"old"
        assert spool.usage_bytes() == used(root)
        assert append(session).seq == 1

    def test_between_chunk_and_claim_takes_the_chunk_back(self, root: Path, session: SessionSpool) -> None:
        """Room for the chunk, not for its claim."""
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            with pytest.raises(SpoolFullError):
                append(session)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert files(root) == {"leaves.jsonl"}
