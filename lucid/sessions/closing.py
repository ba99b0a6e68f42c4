"""Closes sessions whose recorder was lost: the closing key signs over what is stored, and says so.

Chunks after the recorder's last anchor are named as unattested; nobody can claim later that they were seen.
"""

from collections.abc import Iterable
from typing import TypeVar

from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_storage as storage
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, merkle, statements
from lucid.evidence import leaf as leaves
from lucid.evidence.checks import HOLE_LIMIT_MS
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import MAX_GAPS, Gap, InterimAnchor, Manifest, RecordedTrack
from lucid.evidence.registration import Registration
from lucid.evidence.statements import Statement
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Conflict
from lucid.kit.logs import log
from lucid.kit.mongo import Document
from lucid.sessions.policy import recorded_events
from lucid.sessions.recording_state import CODECS, EVENTS, PICTURE
from lucid.sessions.signer import Signer, submit

S = TypeVar("S", bound=Statement)


class Closer:
    """Signs manifests in the place of lost recorders."""

    def __init__(self, client: ServiceClient, signer: Signer) -> None:
        self._client = client
        self._signer = signer

    async def close(self, session: Document) -> bool:
        """Hands over a closing manifest; False when the session was never opened in the log.

        Once handed over, the manifest is waited for like a recorder's. Doing it twice signs the same chunks
        again; the first manifest in the log is the one that counts.
        """
        await self._signer.check()
        identity = SessionPath(session["_id"])
        known = (await self._client.call(anchoring.OF_SESSION, identity)).anchors
        if any(a.kind == "manifest" and a.state != "refused" for a in known):
            return True
        anchors = [_statement(a.envelope, InterimAnchor) for a in known if a.kind == "anchor"]
        stored = without_hole(await session_leaves(self._client, session["_id"]))
        if not anchors or not stored:
            return False
        decoded = [leaves.decode(encoded) for encoded in stored]
        hosts = {
            r.key_id: r.host
            for r in (_statement(a.envelope, Registration) for a in known if a.kind == "registration")
        }
        last = max(anchors, key=lambda anchor: anchor.count)
        tracks = {PICTURE, EVENTS} if recorded_events(session) else {PICTURE}
        manifest = Manifest(
            session=session["_id"],
            owner=session["owner"],
            host=hosts[last.recorder],
            policy_sha256=session["policy_sha256"],
            tracks=tracks_of(decoded, tracks),
            start_ms=min(leaf.start_ms for leaf in decoded),
            end_ms=max(leaf.end_ms for leaf in decoded),
            count=len(decoded),
            root=merkle.root([merkle.leaf_hash(encoded) for encoded in stored]).hex(),
            end_reason="recorder_lost",
            gaps=holes(decoded, tracks),
            attested_count=last.count,
            recorder=last.recorder,
        )
        try:
            await submit(self._client, self._signer.sign(manifest))
        except Conflict as error:
            log.info("session was closed meanwhile", session_id=session["_id"], error=error.message)
        return True


async def session_leaves(client: ServiceClient, session: str) -> list[bytes]:
    """The leaves that are stored, in tree order."""
    text = b"".join([piece async for piece in client.stream(storage.LEAVES, SessionPath(session))])
    return text.splitlines()


def without_hole(stored: list[bytes]) -> list[bytes]:
    """The leaves up to the first chunk that never arrived: what came after it cannot be placed."""
    following: dict[int, int] = {}
    for position, encoded in enumerate(stored):
        leaf = leaves.decode(encoded)
        if leaf.index != following.get(leaf.track, 0):
            return stored[:position]
        following[leaf.track] = leaf.index + 1
    return stored


def _statement(envelope: str, kind: type[S]) -> S:
    return statements.read(dsse.parse(envelope.encode()), kind)


def holes(decoded: list[Leaf], tracks: Iterable[int] = ()) -> tuple[Gap, ...]:
    """The stretches in which nothing of a track was captured; the recorder knew why.

    Between its chunks; and, where there are several tracks, from the end of one to the end of all. Of one of
    `tracks` without a chunk everything is missing. Where there is no chunk nothing was begun.
    """
    if not decoded:
        return ()
    found = []
    begin, end_of_all = min(leaf.start_ms for leaf in decoded), max(leaf.end_ms for leaf in decoded)
    ends: dict[int, int] = dict.fromkeys(set(tracks) - {leaf.track for leaf in decoded}, begin)
    for leaf in decoded:
        end = ends.get(leaf.track, leaf.start_ms)
        if leaf.start_ms > end + HOLE_LIMIT_MS:
            found.append(_unexplained(leaf.track, end, leaf.start_ms))
        ends[leaf.track] = leaf.end_ms
    found += [
        _unexplained(track, end, end_of_all)
        for track, end in sorted(ends.items())
        if end_of_all > end + HOLE_LIMIT_MS
    ]
    return tuple(sorted(found, key=lambda gap: gap.start_ms))[:MAX_GAPS]


def _unexplained(track: int, start_ms: int, end_ms: int) -> Gap:
    return Gap(track=track, start_ms=start_ms, end_ms=end_ms, cause="unexplained")


def tracks_of(decoded: list[Leaf], tracks: Iterable[int]) -> tuple[RecordedTrack, ...]:
    """The tracks that were to be recorded, with how many chunks of each there are."""
    return tuple(
        RecordedTrack(
            track=track,
            codec=CODECS.get(track, "application/octet-stream"),
            count=sum(leaf.track == track for leaf in decoded),
        )
        for track in sorted({*tracks, *(leaf.track for leaf in decoded)})
    )
