"""One session in the spool: chunks, claims, leaves and state. See ``spool`` for the layout."""

import contextlib
import errno
import secrets
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from lucid.kit.durable import TEMPORARY_SUFFIX, Journal, sync_directory, write_durably
from lucid.sessions.recorder_claims import NONCE_SIZE, Claim, Progress, commitment
from lucid.sessions.recorder_quota import Quota
from lucid.sessions.recording_errors import SpoolDamagedError, SpoolError, SpoolFullError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLAIM_FILES = "[0-9]*.json"
_CHUNK_FILES = "[0-9]*.chunk"


class SessionSpool:
    """One session's chunks, leaves and state. Made by ``Spool.create`` and ``Spool.open``.

    ``damaged`` holds the numbers (seq) of chunks found missing or altered when the session was opened.
    """

    damaged: list[int]

    def __init__(self, quota: Quota, directory: Path) -> None:
        self.session = directory.name
        self._quota = quota
        self._directory = directory
        self._lock = threading.RLock()
        before = self._size_on_disk()
        self._forgotten = self._load_progress()
        self._claims = self._recover()
        self._progress = self._forgotten.after(self._claims.values())
        self.damaged = self._find_damage()
        self._journal = Journal(directory / "leaves.jsonl")
        quota.account(self._size_on_disk() - before)

    def close(self) -> None:
        self._journal.close()

    @property
    def next_seq(self) -> int:
        """The number that the next chunk will get: how many there have ever been."""
        return self._progress.next_seq

    @property
    def last_end_ms(self) -> int:
        """The end of the newest chunk ever appended, of whichever track; 0 before the first."""
        return max(map(self.end_of, self._progress.next_index), default=0)

    def end_of(self, track: str) -> int:
        """The end of the newest chunk ever appended to a track; 0 before its first."""
        return self._progress.end_of(track)

    def append_chunk(self, track: str, parts: Sequence[bytes], start_ms: int, end_ms: int) -> Claim:
        """Make a chunk durable, give it the next numbers and commit to it. Times as in ``Claim``.

        Raises:
            SpoolFullError: quota or disk full. Nothing remains written, and the numbers are not used up.
            OSError: another failure of the disk; as above.
        """
        with self._lock:
            nonce = secrets.token_bytes(NONCE_SIZE)
            claim = Claim(
                session=self.session,
                track=track,
                index=self._progress.next_index.get(track, 0),
                seq=self._progress.next_seq,
                start_ms=start_ms,
                end_ms=end_ms,
                plain_size=sum(map(len, parts)),
                raw_nonce=nonce.hex(),
                raw_commitment=commitment(nonce, parts),
            )
            encoded = claim.encode()
            self._quota.reserve(claim.plain_size + len(encoded))
            try:
                with _full_disk_named():
                    write_durably(self._path(claim.seq, "chunk"), parts)
                    write_durably(self._path(claim.seq, "json"), [encoded])
            except BaseException:
                self._delete(claim.seq)
                self._quota.account(-claim.plain_size - len(encoded))
                raise
            self._claims[claim.seq] = claim
            self._progress = self._progress.after([claim])
            return claim

    def pending(self) -> list[Claim]:
        """The claims of all chunks held, oldest first; damaged ones left out."""
        with self._lock:
            return [self._claims[seq] for seq in sorted(self._claims) if seq not in self.damaged]

    def read(self, seq: int) -> bytes:
        """A chunk's bytes, checked against its claim.

        Raises:
            SpoolError: no such chunk is held.
            SpoolDamagedError: the file is missing or not what was claimed.
        """
        with self._lock:
            claim = self._claims.get(seq)
        if claim is None:
            raise SpoolError(f"session {self.session} holds no chunk {seq} in the spool")
        try:
            content = self._path(seq, "chunk").read_bytes()
        except FileNotFoundError:
            raise SpoolDamagedError(
                f"chunk {seq} of session {self.session} is missing from the spool"
            ) from None
        if commitment(bytes.fromhex(claim.raw_nonce), [content]) != claim.raw_commitment:
            raise SpoolDamagedError(f"chunk {seq} of session {self.session} is not what its claim says")
        return content

    def forget(self, end: int) -> None:
        """Delete the chunks with numbers below ``end``: only what has been anchored.

        The numbers are noted first, durably, so that none is ever given again.
        """
        with self._lock:
            end = min(end, self._progress.next_seq)
            if end <= self._forgotten.next_seq:
                return
            gone = [claim for seq, claim in self._claims.items() if seq < end]
            forgotten = self._forgotten.after(gone, next_seq=end)
            self._replace("progress.json", msgspec.json.encode(forgotten, order="sorted"))
            self._forgotten = forgotten
            self._claims = {seq: claim for seq, claim in self._claims.items() if seq >= end}
            self.damaged = [seq for seq in self.damaged if seq >= end]
            before = self._size_on_disk()
            self._delete_forgotten()
            self._quota.account(self._size_on_disk() - before)

    def append_leaves(self, position: int, leaves: Sequence[bytes]) -> None:
        """Make the leaves from a position of the tree on durable. Saying the same again changes nothing.

        Raises:
            SpoolError: another leaf is there already, or one before it is missing.
            SpoolFullError: the disk is full; nothing was appended.
        """
        with self._lock:
            held = self._journal.lines
            if held[position : position + len(leaves)] == list(leaves):
                return
            if position != len(held):
                raise SpoolError(
                    f"session {self.session} holds {len(held)} leaves: number {position} cannot be set"
                )
            with _full_disk_named():
                self._journal.append(leaves)
            self._quota.account(sum(len(leaf) + 1 for leaf in leaves))

    def leaves(self) -> list[bytes]:
        """All leaves in tree order."""
        with self._lock:
            return list(self._journal.lines)

    def save_state(self, state: bytes) -> None:
        """Replace the recorder's own document. Raises SpoolFullError with the old one left in place."""
        with self._lock:
            self._replace("session.json", state)

    def load_state(self) -> bytes | None:
        """The document as last saved; None if there is none."""
        try:
            return (self._directory / "session.json").read_bytes()
        except FileNotFoundError:
            return None

    def _recover(self) -> dict[int, Claim]:
        """Remove what a crash left incomplete, and read the claims that are left."""
        for path in self._directory.glob(f"*{TEMPORARY_SUFFIX}"):
            path.unlink()
        self._delete_forgotten()
        claims = {int(path.stem): self._load_claim(path) for path in self._directory.glob(_CLAIM_FILES)}
        # A chunk that never got its claim is the newest one. Any other without a claim has lost it: damage.
        newest = max(claims, default=-1)
        for path in self._directory.glob(_CHUNK_FILES):
            if int(path.stem) > newest:
                path.unlink()
        sync_directory(self._directory)
        return claims

    def _find_damage(self) -> list[int]:
        damaged = []
        for seq in range(self._forgotten.next_seq, self._progress.next_seq):
            try:
                self.read(seq)
            except SpoolError:
                damaged.append(seq)
        return damaged

    def _load_progress(self) -> Progress:
        path = self._directory / "progress.json"
        if not path.exists():
            return Progress()
        try:
            return msgspec.json.decode(path.read_bytes(), type=Progress)
        except msgspec.MsgspecError as error:
            raise SpoolDamagedError(
                f"{path} is damaged ({error}): nothing more can be recorded here"
            ) from error

    def _load_claim(self, path: Path) -> Claim:
        try:
            claim = msgspec.json.decode(path.read_bytes(), type=Claim)
        except msgspec.MsgspecError as error:
            raise SpoolDamagedError(
                f"{path} is damaged ({error}): nothing more can be recorded here"
            ) from error
        if (claim.session, claim.seq) != (self.session, int(path.stem)):
            raise SpoolDamagedError(
                f"{path} claims chunk {claim.seq} of session {claim.session}: it was moved"
            )
        return claim

    def _replace(self, name: str, content: bytes) -> None:
        before = self._size_on_disk()
        try:
            with _full_disk_named():
                write_durably(self._directory / name, [content])
        finally:
            self._quota.account(self._size_on_disk() - before)

    def _delete(self, seq: int) -> None:
        """Undo a failed append: the claim first, as a claim promises a chunk."""
        self._path(seq, "json").unlink(missing_ok=True)
        self._path(seq, "chunk").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the disk has failed already; the next append syncs again
            sync_directory(self._directory)

    def _delete_forgotten(self) -> None:
        for pattern in (_CLAIM_FILES, _CHUNK_FILES):
            for path in self._directory.glob(pattern):
                if int(path.stem) < self._forgotten.next_seq:
                    path.unlink()

    def _path(self, seq: int, kind: str) -> Path:
        return self._directory / f"{seq:08d}.{kind}"

    def _size_on_disk(self) -> int:
        return sum(path.stat().st_size for path in self._directory.iterdir())


@contextlib.contextmanager
def _full_disk_named() -> Iterator[None]:
    """Raises a full disk as SpoolFullError, anything else as it is."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise SpoolFullError(f"the spool's disk takes no more: {error}; free space on it") from error
        raise
