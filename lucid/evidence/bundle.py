"""The evidence bundle: one file with all that is needed to check one session, offline.

A bundle is an archive (see `archive`) of these members in this order:

    lucid-bundle.json    what this file is, and for which session
    genesis.json         header of the chain's block 0
    header.json          header of the block whose log the proofs lead to
    checkpoint           that header rendered and cosigned
    consistency.json     proof that the log of header.json extends that of genesis.json
    policy.json          the session's policy document, whose hash the manifest names
    entries.jsonl        the session's log entries in log order, each with its inclusion proof
    leaves.jsonl         the session's leaves in order
    keys.json            only if a stretch is disclosed: the keys of its chunks
    chunks/TRACK/INDEX   the sealed chunks in the order of the leaves: all of them or none; with keys.json,
                         those that it names
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Literal

import msgspec

from lucid.evidence import archive, block, canonical, checkpoint, dsse, policy
from lucid.evidence.errors import FormatError
from lucid.evidence.fields import Count, Digest, Record, SessionId, Track
from lucid.evidence.leaf import LEAF_LIMIT, MAX_PLAIN_SIZE, SEAL_OVERHEAD, Leaf

MEDIA_TYPE = "application/vnd.lucid.bundle+tar"
MAX_SEALED_SIZE = MAX_PLAIN_SIZE + SEAL_OVERHEAD

_Proof = Annotated[tuple[Digest, ...], msgspec.Meta(max_length=64)]
_ENTRY_LIMIT = dsse.ENVELOPE_LIMIT + 8 * 1024
_LIMITS = {
    "lucid-bundle.json": 1024,
    "genesis.json": block.HEADER_LIMIT,
    "header.json": block.HEADER_LIMIT,
    "checkpoint": checkpoint.NOTE_LIMIT,
    "consistency.json": 8 * 1024,
    "policy.json": policy.DOCUMENT_LIMIT,
    "entries.jsonl": 64 * 1024 * 1024,
    "leaves.jsonl": 64 * 1024 * 1024,
}
KEYS_NAME = "keys.json"
KEYS_LIMIT = 16 * 1024 * 1024
_CHUNK_NAME = re.compile(r"chunks/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,15})")


class About(Record, frozen=True, kw_only=True):
    """The first member: what the file is."""

    format: Literal["lucid-bundle/v1"] = "lucid-bundle/v1"
    session: SessionId


class Consistency(Record, frozen=True, kw_only=True):
    """A consistency proof between the two headers' logs (RFC 9162, 2.1.4)."""

    proof: _Proof


class Entry(Record, frozen=True, kw_only=True):
    """One entry of the log.

    Canonical JSON nests: the envelope's bytes within this record are the very bytes of the log entry.
    """

    index: Count
    """Position in the log."""
    envelope: dsse.Envelope
    """The entry."""
    proof: _Proof
    """Inclusion proof to the log root of header.json (RFC 9162, 2.1.3)."""


class ChunkKey(Record, frozen=True, kw_only=True):
    """The disclosed key of one chunk (see `sealing.chunk_key`); it opens this chunk and no other."""

    track: Track
    index: Count
    key: Digest
    """32 bytes in hex."""

    def __repr__(self) -> str:
        return f"ChunkKey(track={self.track}, index={self.index}, key=***)"


class ChunkKeys(Record, frozen=True, kw_only=True):
    """The keys of a disclosed stretch, in the order of the leaves."""

    keys: Annotated[tuple[ChunkKey, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything in a bundle but the chunks. Reading checks the form only; nothing is verified."""

    session: str
    genesis: bytes
    header: bytes
    checkpoint: bytes
    consistency: tuple[str, ...]
    policy: bytes
    entries: tuple[Entry, ...]
    leaves: tuple[bytes, ...]
    keys: tuple[ChunkKey, ...] = ()
    """Those of a disclosed stretch; none if the bundle discloses nothing."""


@dataclass(frozen=True, slots=True)
class ChunkMember:
    """A sealed chunk in a bundle. `pieces` must be used up before the next chunk is asked for."""

    track: int
    index: int
    size: int
    pieces: Iterator[bytes]


def file_name(session: str) -> str:
    """Return the name a bundle is given: `<session>.lucid`."""
    return f"{session}.lucid"


def chunk_name(leaf: Leaf) -> str:
    """Return the name of the member that holds this leaf's sealed chunk."""
    return f"chunks/{leaf.track}/{leaf.index}"


def metadata(parts: Parts) -> bytes:
    """Return the archive from its start to where the first chunk, or else `archive.END`, follows.

    A service that streams a bundle sends this; then for each chunk `archive.member_header` with the chunk's
    `chunk_name`, its bytes and `archive.padding`; then `archive.END`.
    """
    members = {
        "lucid-bundle.json": canonical.encode(About(session=parts.session)),
        "genesis.json": parts.genesis,
        "header.json": parts.header,
        "checkpoint": parts.checkpoint,
        "consistency.json": canonical.encode(Consistency(proof=parts.consistency)),
        "policy.json": parts.policy,
        "entries.jsonl": _join_lines(canonical.encode(entry) for entry in parts.entries),
        "leaves.jsonl": _join_lines(parts.leaves),
    }
    if parts.keys:
        members[KEYS_NAME] = canonical.encode(ChunkKeys(keys=parts.keys))
    limits = _LIMITS | {KEYS_NAME: KEYS_LIMIT}
    pieces = []
    for name, data in members.items():
        if len(data) > limits[name]:
            raise FormatError(name, f"{len(data)} bytes; at most {limits[name]} are allowed")
        pieces += [archive.member_header(name, len(data)), data, archive.padding(len(data))]
    return b"".join(pieces)


def write_bundle(
    out: BinaryIO, parts: Parts, chunks: Iterable[tuple[Leaf, Iterable[bytes]]] | None = None
) -> None:
    """Write a bundle; the chunks, if wanted, come in the order of the leaves and are never held in memory.

    Raise FormatError when a chunk's bytes are more or fewer than its leaf says; the file is then unusable.
    """
    out.write(metadata(parts))
    for leaf, pieces in chunks or ():
        out.write(archive.member_header(chunk_name(leaf), leaf.sealed_size))
        written = 0
        for piece in pieces:
            out.write(piece)
            written += len(piece)
        if written != leaf.sealed_size:
            raise FormatError(chunk_name(leaf), f"{written} bytes, but its leaf says {leaf.sealed_size}")
        out.write(archive.padding(written))
    out.write(archive.END)


class BundleReader:
    """Reads a bundle once, front to back; `stream` need not be seekable.

    Making one reads everything up to the first chunk into `parts`. Raise FormatError for a file that is not
    exactly a bundle. `on_progress` is called with the number of bytes read so far.
    """

    def __init__(self, stream: BinaryIO, on_progress: Callable[[int], None] | None = None) -> None:
        self._reader = archive.ArchiveReader(stream, on_progress)
        data = {name: self._read_metadata(name, limit) for name, limit in _LIMITS.items()}
        about = canonical.decode(data["lucid-bundle.json"], About, field="lucid-bundle.json")
        consistency = canonical.decode(data["consistency.json"], Consistency, field="consistency.json")
        self._following = self._reader.next_member()
        self.parts = Parts(
            session=about.session,
            genesis=data["genesis.json"],
            header=data["header.json"],
            checkpoint=data["checkpoint"],
            consistency=consistency.proof,
            policy=data["policy.json"],
            entries=tuple(
                canonical.decode(line, Entry, field=f"entries.jsonl line {number}", limit=_ENTRY_LIMIT)
                for number, line in enumerate(_split_lines("entries.jsonl", data["entries.jsonl"]), 1)
            ),
            leaves=tuple(_split_lines("leaves.jsonl", data["leaves.jsonl"], limit=LEAF_LIMIT)),
            keys=self._read_keys(),
        )

    def chunks(self) -> Iterator[ChunkMember]:
        """Yield the chunks as they come, once, then check that the file ends where it must."""
        most = len(self.parts.keys or self.parts.leaves)
        count = 0
        member = self._following
        while member is not None:
            match = _CHUNK_NAME.fullmatch(member.name)
            if not match:
                raise FormatError("archive", f"{member.name!r} where a chunk was expected")
            if member.size > MAX_SEALED_SIZE:
                raise FormatError(member.name, f"{member.size} bytes; a chunk has at most {MAX_SEALED_SIZE}")
            if count == most:
                raise FormatError(
                    "archive", f"more chunks than the {most} {'keys' if self.parts.keys else 'leaves'}"
                )
            count += 1
            yield ChunkMember(int(match[1]), int(match[2]), member.size, self._reader.pieces(member))
            member = self._reader.next_member()

    def _read_metadata(self, name: str, limit: int) -> bytes:
        member = self._reader.next_member()
        if member is None or member.name != name:
            found = repr(member.name) if member else "its end"
            raise FormatError("archive", f"{found} where {name!r} was expected")
        return self._read_whole(member, limit)

    def _read_keys(self) -> tuple[ChunkKey, ...]:
        if self._following is None or self._following.name != KEYS_NAME:
            return ()
        data = self._read_whole(self._following, KEYS_LIMIT)
        self._following = self._reader.next_member()
        return canonical.decode(data, ChunkKeys, field=KEYS_NAME, limit=KEYS_LIMIT).keys

    def _read_whole(self, member: archive.Member, limit: int) -> bytes:
        if member.size > limit:
            raise FormatError(member.name, f"{member.size} bytes; at most {limit} are allowed")
        return b"".join(self._reader.pieces(member))


def _join_lines(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _split_lines(name: str, data: bytes, limit: int = _ENTRY_LIMIT) -> list[bytes]:
    *lines, rest = data.split(b"\n")
    if rest:
        raise FormatError(name, "its last line does not end in a newline")
    longest = max(map(len, lines), default=0)
    if longest > limit:
        raise FormatError(name, f"a line of {longest} bytes; at most {limit} are allowed")
    return lines
