"""Chunks without a recorder: sealed ones for session-storage, raw ones for chunk-processor."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_storage as storage
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence import leaf as leaves
from lucid.evidence import sealing
from lucid.evidence.leaf import ChunkId, Leaf
from lucid.kit.client import ServiceClient

KEY = bytes(range(32))


@dataclass(frozen=True)
class SealedChunk:
    """A chunk as chunk-processor hands it to session-storage."""

    leaf: Leaf
    data: bytes

    @property
    def params(self) -> storage.StoreChunk:
        leaf = self.leaf
        return storage.StoreChunk(
            session=leaf.session, track=leaf.track, index=leaf.index, sequence=leaf.index
        )

    @property
    def headers(self) -> dict[str, str]:
        return {storage.LEAF_HEADER: leaves.encode(self.leaf).decode()}

    @property
    def file_name(self) -> str:
        """Within the track's directory."""
        return f"{self.leaf.index:08d}-{self.leaf.sealed_sha256[:16]}"


def sealed_chunk(session: str, index: int, size: int) -> SealedChunk:
    """Random bytes, sealed; the same bytes cannot be sealed twice to the same result."""
    sealed = sealing.seal(KEY, ChunkId(session, 0, index), os.urandom(size), os.urandom(32))
    return SealedChunk(sealed.leaf(start_ms=index * 1000, end_ms=index * 1000 + 1000), bytes(sealed.data))


async def store(client: ServiceClient, chunk: SealedChunk, seconds: float = 30.0) -> storage.Stored:
    """Has session-storage keep a chunk; `client` is chunk-processor's."""
    return await client.call(
        storage.STORE, chunk.params, data=chunk.data, headers=chunk.headers, seconds=seconds
    )


async def process(
    client: ServiceClient, session: str, index: int, raw: bytes, nonce: bytes, seconds: float = 30.0
) -> processor.Receipt:
    """Has chunk-processor seal and keep a chunk; `client` is session-recorder's."""
    claim = processor.Claim(
        sequence=index,
        start_ms=index * 1000,
        end_ms=index * 1000 + 1000,
        raw_nonce=nonce.hex(),
        raw_commitment=hashlib.sha256(nonce + raw).hexdigest(),
    )
    headers = {processor.CLAIM_HEADER: msgspec.json.encode(claim).decode()}
    path = ChunkPath(session, 0, index)
    return await client.call(processor.PROCESS, path, data=raw, headers=headers, seconds=seconds)


async def stored_leaves(api: ServiceClient, session: str) -> list[bytes]:
    """What session-storage has on record, in tree order; `api` is session-api's client."""
    text = b"".join([piece async for piece in api.stream(storage.LEAVES, SessionPath(session))])
    return text.splitlines()


def files_in(root: Path) -> set[Path]:
    """Every file under the directory of chunks, whatever its name."""
    return {path for path in root.rglob("*") if path.is_file() and path.name != "ballast"}


def check_files(root: Path, records: list[bytes]) -> None:
    """Exactly the files of these records are there, each with the bytes that its leaf names."""
    wanted = {}
    for encoded in records:
        leaf = leaves.decode(encoded)
        name = f"{leaf.index:08d}-{leaf.sealed_sha256[:16]}"
        wanted[root / leaf.session / str(leaf.track) / name] = leaf.sealed_sha256
    assert files_in(root) == set(wanted)
    for path, digest in wanted.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, path
