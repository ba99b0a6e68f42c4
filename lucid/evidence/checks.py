"""What each verification step checks about the session itself: steps 1 to 10, which need no trust file.

Each function returns what it established, with a line of detail, or raises an EvidenceError.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Generic, NamedTuple, TypeVar

from lucid.evidence import (
    block,
    checkpoint,
    dsse,
    leaf,
    log,
    merkle,
    policy,
    registration,
    sealing,
    statements,
)
from lucid.evidence.bundle import BundleReader, ChunkKey, ChunkMember, Entry, Parts
from lucid.evidence.disclosed import Opener, openers
from lucid.evidence.errors import SealError, VerificationError
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Gap, InterimAnchor, Manifest
from lucid.evidence.policy import SessionPolicy
from lucid.evidence.registration import Registration

HOLE_LIMIT_MS = 2000
"""A track may pause between two chunks for this long without a declared gap: frames and clocks jitter."""

T = TypeVar("T")


class Finding(NamedTuple, Generic[T]):
    """What a step established."""

    value: T
    detail: str
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class ChunkDigest:
    """A chunk member of the bundle, as its bytes went by."""

    track: int
    index: int
    size: int
    sha256: str
    sealed_shut: str | None = None
    """Why its disclosed key does not open it; None if it does, or if no key is disclosed."""


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signed for the session, and what; the signatures are still to be checked."""

    recorder: Registration
    closer: Registration | None
    anchors: tuple[dsse.Envelope, ...]
    manifest: dsse.Envelope


def read_archive(
    stream: BinaryIO, on_progress: Callable[[int], None] | None
) -> Finding[tuple[Parts, list[ChunkDigest]]]:
    """Step 1. Chunks are hashed, and opened if their keys are there, as they pass: the file is read once.

    No more than one chunk is held.
    """
    reader = BundleReader(stream, on_progress)
    parts = reader.parts
    opener_of = openers(parts)
    digests = [_digest(chunk, opener_of.get((chunk.track, chunk.index))) for chunk in reader.chunks()]
    detail = f"{len(parts.entries)} log entries, {len(parts.leaves)} leaves, {len(digests)} chunks"
    return Finding((parts, digests), detail)


def _digest(chunk: ChunkMember, opener: Opener | None) -> ChunkDigest:
    digest = hashlib.sha256()
    sealed = bytearray()
    for piece in chunk.pieces:
        digest.update(piece)
        if opener:
            sealed += piece
    sealed_shut = None
    if opener:
        try:
            sealing.open_with_chunk_key(opener[1], opener[0], sealed)
        except SealError as error:
            sealed_shut = str(error)
    return ChunkDigest(chunk.track, chunk.index, chunk.size, digest.hexdigest(), sealed_shut)


def check_leaves(parts: Parts) -> Finding[list[Leaf]]:
    """Step 2."""
    leaves = []
    last_of_track: dict[int, Leaf] = {}
    for number, data in enumerate(parts.leaves):
        item = leaf.decode(data)
        last = last_of_track.get(item.track)
        expected = last.index + 1 if last else 0
        if item.session != parts.session:
            raise VerificationError(f"leaf {number} is of session {item.session}")
        if item.index != expected:
            raise VerificationError(
                f"leaf {number} has index {item.index} on track {item.track}, where {expected} comes next"
            )
        if last and item.start_ms < last.start_ms:
            raise VerificationError(f"leaf {number} starts before the one before it on track {item.track}")
        last_of_track[item.track] = item
        leaves.append(item)
    return Finding(leaves, f"{len(leaves)} leaves on {len(last_of_track)} tracks")


def check_signers(parts: Parts) -> Finding[Signers]:
    """Step 3. The entries' positions are those they claim; step 8 proves them."""
    by_type: dict[str, list[Entry]] = {
        kind.PAYLOAD_TYPE: [] for kind in (Registration, InterimAnchor, Manifest)
    }
    last_index = -1
    for entry in parts.entries:
        if entry.index <= last_index:
            raise VerificationError(f"log entry {entry.index} comes after {last_index}")
        if entry.envelope.payload_type not in by_type:
            raise VerificationError(f"log entry {entry.index} is a {entry.envelope.payload_type!r}")
        last_index = entry.index
        by_type[entry.envelope.payload_type].append(entry)
    registrations, anchors, manifests = by_type.values()
    if len(manifests) != 1 or manifests[0] is not parts.entries[-1]:
        raise VerificationError(f"{len(manifests)} manifests; there must be one, as the last log entry")
    if not anchors:
        raise VerificationError("no anchor opens the session on the log")
    first_anchor = anchors[0].index
    known: dict[str, Registration] = {}
    for entry in registrations:
        claimed = registration.verify_registration(entry.envelope)
        if entry.index > first_anchor:
            raise VerificationError(
                f"key {claimed.key_id} is registered at log entry {entry.index}, "
                f"after the session began at {first_anchor}"
            )
        known[claimed.key_id] = claimed
    signers = _assign_roles(known, tuple(entry.envelope for entry in anchors), manifests[0].envelope)
    if len(registrations) != (2 if signers.closer else 1):
        raise VerificationError(f"{len(registrations)} registrations, not those of the signers alone")
    return Finding(signers, f"recorder {signers.recorder.key_id[:16]}… on {signers.recorder.host}")


def _assign_roles(
    known: dict[str, Registration], anchors: tuple[dsse.Envelope, ...], manifest: dsse.Envelope
) -> Signers:
    claimed = statements.read(manifest, Manifest)
    recorder = known.get(claimed.recorder)
    if recorder is None or recorder.role != "recorder":
        raise VerificationError(f"key {claimed.recorder} is not registered as a recorder")
    if claimed.end_reason != "recorder_lost":
        return Signers(recorder, None, anchors, manifest)
    closer = known.get(manifest.signer)
    if closer is None or closer.role != "closer":
        raise VerificationError(
            f"the recorder was lost, but key {manifest.signer}, which signed, is not registered as a closer"
        )
    return Signers(recorder, closer, anchors, manifest)


def check_manifest(parts: Parts, signers: Signers) -> Finding[Manifest]:
    """Step 4."""
    signer = signers.closer or signers.recorder
    manifest = statements.verify(signers.manifest, Manifest, bytes.fromhex(signer.public_key))
    if manifest.session != parts.session:
        raise VerificationError(f"the manifest is of session {manifest.session}")
    if manifest.host != signers.recorder.host:
        raise VerificationError(
            f"the manifest says host {manifest.host!r}, the recorder's registration {signers.recorder.host!r}"
        )
    ended: str = manifest.end_reason
    if signers.closer:
        unattested = manifest.count - manifest.attested_count
        ended += f": closed by {signer.host}, the last {unattested} chunks not vouched for by the recorder"
    return Finding(manifest, f"{manifest.owner} on {manifest.host}, {ended}")


def check_completeness(parts: Parts, manifest: Manifest, leaves: Sequence[Leaf]) -> Finding[merkle.Tree]:
    """Step 5. The tree is over the leaves' bytes as received."""
    if len(leaves) != manifest.count:
        raise VerificationError(f"{len(leaves)} leaves, but {manifest.count} were signed")
    tree = merkle.Tree(merkle.leaf_hash(data) for data in parts.leaves)
    if tree.root().hex() != manifest.root:
        raise VerificationError(f"the leaves' root is {tree.root().hex()}, but {manifest.root} was signed")
    for track in manifest.tracks:
        found = [item for item in leaves if item.track == track.track]
        if len(found) != track.count:
            raise VerificationError(f"{len(found)} chunks on track {track.track}, not {track.count}")
        _check_holes(found, [gap for gap in manifest.gaps if gap.track == track.track])
    if any(item.start_ms < manifest.start_ms or item.end_ms > manifest.end_ms for item in leaves):
        raise VerificationError("a chunk lies outside the session's start_ms and end_ms")
    gaps = ", ".join(f"{gap.cause} {(gap.end_ms - gap.start_ms) / 1000:.1f} s" for gap in manifest.gaps)
    return Finding(tree, f"{len(leaves)} of {manifest.count} leaves, gaps: {gaps or 'none'}")


def _check_holes(leaves: Sequence[Leaf], gaps: Sequence[Gap]) -> None:
    """Every hole between two chunks of a track must lie, but for HOLE_LIMIT_MS, within declared gaps."""
    waiting = list(gaps[::-1])
    covered = leaves[0].end_ms if leaves else 0
    for item in leaves[1:]:
        while waiting and waiting[-1].start_ms <= item.start_ms:
            gap = waiting.pop()
            if gap.start_ms <= covered + HOLE_LIMIT_MS:
                covered = max(covered, gap.end_ms)
        if item.start_ms > covered + HOLE_LIMIT_MS:
            raise VerificationError(
                f"nothing from {covered} to {item.start_ms} ms on track {item.track}, and no gap declares it"
            )
        covered = max(covered, item.end_ms)


def check_anchors(signers: Signers, manifest: Manifest, tree: merkle.Tree) -> Finding[None]:
    """Step 6."""
    recorder_key = bytes.fromhex(signers.recorder.public_key)
    last_count = 0
    for number, envelope in enumerate(signers.anchors):
        anchor = statements.verify(envelope, InterimAnchor, recorder_key)
        if anchor.session != manifest.session or anchor.recorder != manifest.recorder:
            raise VerificationError(f"anchor {number} is of another session or recorder")
        if number == 0 and anchor.count != 0:
            raise VerificationError(f"the first anchor already counts {anchor.count} leaves")
        if not last_count <= anchor.count <= manifest.count:
            raise VerificationError(f"anchor {number} counts {anchor.count} leaves after {last_count}")
        if anchor.root != tree.root(anchor.count).hex():
            raise VerificationError(
                f"anchor {number} has another root than the first {anchor.count} leaves in the bundle"
            )
        last_count = anchor.count
    if signers.closer and manifest.attested_count != last_count:
        raise VerificationError(
            f"{manifest.attested_count} leaves are called attested; the recorder's last anchor: {last_count}"
        )
    return Finding(None, f"{len(signers.anchors)} anchors, the last over {last_count} leaves")


def check_checkpoint(parts: Parts) -> Finding[tuple[block.Header, checkpoint.Note]]:
    """Step 7."""
    header = block.decode(parts.header)
    note = checkpoint.parse_note(parts.checkpoint)
    if note.body != checkpoint.body(header):
        raise VerificationError("the checkpoint's text is not the rendering of header.json")
    return Finding((header, note), f"{header.chain}, block {header.height}, log size {header.log_size}")


def check_inclusion(parts: Parts, header: block.Header) -> Finding[None]:
    """Step 8."""
    root = bytes.fromhex(header.log_root)
    for entry in parts.entries:
        proof = [bytes.fromhex(item) for item in entry.proof]
        entry_hash = log.entry_hash(log.entry_bytes(entry.envelope))
        merkle.verify_inclusion(entry_hash, entry.index, header.log_size, proof, root)
    return Finding(None, f"{len(parts.entries)} entries proven under log root {header.log_root[:16]}…")


def check_chunks(
    leaves: Sequence[Leaf], digests: Sequence[ChunkDigest], keys: Sequence[ChunkKey] = ()
) -> Finding[None]:
    """Step 9."""
    if keys:
        named = [(key.track, key.index) for key in keys]
        wanted = set(named)
        leaves = [item for item in leaves if (item.track, item.index) in wanted]
        if named != [(item.track, item.index) for item in leaves]:
            raise VerificationError("keys.json names chunks that no leaf has, twice, or in another order")
    elif leaves and not digests:
        return Finding(None, "the bundle was made without chunks", skipped=True)
    for item, found in zip(leaves, digests, strict=False):
        if (found.track, found.index) != (item.track, item.index):
            raise VerificationError(
                f"chunk {found.track}/{found.index} is where {item.track}/{item.index} belongs"
            )
        if (found.size, found.sha256) != (item.sealed_size, item.sealed_sha256):
            raise VerificationError(f"the bytes of chunk {item.track}/{item.index} are not those of its leaf")
        if found.sealed_shut:
            raise VerificationError(f"chunk {item.track}/{item.index}: {found.sealed_shut}")
    if len(digests) != len(leaves):
        raise VerificationError(f"{len(digests)} of {len(leaves)} chunks are in the bundle")
    opened = ", opened with the keys that are disclosed" if keys else ""
    return Finding(None, f"{len(digests)} chunks, {sum(found.size for found in digests)} bytes{opened}")


def check_policy(parts: Parts, manifest: Manifest) -> Finding[SessionPolicy]:
    """Step 10. The hash is over the document's bytes as received."""
    found = hashlib.sha256(parts.policy).hexdigest()
    if found != manifest.policy_sha256:
        raise VerificationError(f"policy.json has hash {found}, but {manifest.policy_sha256} was signed")
    agreed = policy.read(parts.policy)
    signed = f"; signed by key {agreed.trust_policy.key_id}" if agreed.trust_policy else ""
    return Finding(agreed, f"{agreed.words}{signed}")
