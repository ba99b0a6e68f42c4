"""Sees every chunk of a recording through: sent, stored, anchored, read back, and only then forgotten."""

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass, field
from functools import partial

import msgspec

from lucid.contracts import session_anchoring as anchoring
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, merkle
from lucid.evidence import leaf as leaves
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import InterimAnchor, Manifest, RecordedTrack
from lucid.kit import metrics as kit_metrics
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Conflict, LucidError, Unavailable
from lucid.kit.logs import log
from lucid.sessions import recording_state as rules
from lucid.sessions.budget import Budget
from lucid.sessions.recorder_claims import Claim
from lucid.sessions.recording import Recording, now_ms
from lucid.sessions.recording_errors import SpoolDamagedError
from lucid.sessions.recording_state import Signed, State
from lucid.sessions.signer import Signer, entry_name, submit
from lucid.sessions.uploads import DeliveryError, Uploads

POLL_SECONDS = 1.0
SEND_TURN = 2.0
"""How long chunks are sent before it is looked whether an anchor is due."""
LONGEST_PAUSE = 5.0
UPLOADS_BYTES = 24 * 1024 * 1024
"""Of all sessions together: three large chunks, or as many small ones as session-pipeline grants."""
WINDOW = 64
"""Chunks that may be ahead of the oldest one that is not stored: bounds the receipts that wait for it."""


@dataclass(frozen=True)
class Peers:
    """What a delivery works with."""

    client: ServiceClient
    signer: Signer
    anchor_seconds: float
    """Time between interim anchors while the session runs."""
    previous: Signer | None = None
    """The key before: a recording that it has opened in the log is signed by it to the end."""
    memory: Budget = field(default_factory=lambda: Budget(UPLOADS_BYTES))
    """Bounds the chunks that are held in memory, all sessions together."""

    def signer_of(self, state: State) -> Signer:
        """Whose key signs for a recording: the log takes no other than the one that opened it."""
        if self.previous and state.anchors:
            opened = dsse.parse(state.anchors[0].envelope.encode()).signer
            if opened == self.previous.key_id:
                return self.previous
        return self.signer


class Delivery:
    """The way of one recording's chunks. Everything it needs to go on after a crash is in the spool."""

    def __init__(self, recording: Recording, peers: Peers) -> None:
        self._recording = recording
        self._peers = peers
        self._signer = peers.signer_of(recording.state)
        self._tree = merkle.Tree()
        self._leaves: list[Leaf] = []
        self._receipts: dict[int, bytes] = {}
        """Leaves that came back before the one in front of them."""
        self._failed = 0
        self._sealed_bytes = 0
        self._anchored_at = -math.inf
        """When the newest anchor was signed, by the clock that nobody sets."""
        for encoded in recording.spool.leaves():
            self._take(encoded)
        recording.raw_bytes += sum(leaf.plain_size for leaf in self._leaves[: self._first_held()])

    @property
    def stored(self) -> int:
        """Chunks whose receipts are in, in tree order without a hole."""
        return len(self._leaves)

    async def run(self) -> None:
        """Delivers until the manifest is final. Raises only what a repetition may mend."""
        pause = POLL_SECONDS
        # An earlier life may have ended between reading an anchor back and forgetting what it covers.
        await asyncio.to_thread(self._recording.spool.forget, rules.anchored_count(self._recording.state))
        while self._recording.state.phase not in {"finished", "failed"}:
            self._recording.changed.clear()
            try:
                await self.send()
                await self._sign_due()
                await self._read_back()
                pause = POLL_SECONDS
            except Unavailable as error:
                log.info("delivery waits", session_id=self._recording.session, error=error.message)
                pause = min(pause * 2, LONGEST_PAUSE)
            except (DeliveryError, Conflict, SpoolDamagedError) as error:
                await self._fail(str(error))
            self._measure()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._recording.changed.wait()
        with contextlib.suppress(LucidError):
            await self._report([])

    async def send(self) -> None:
        """Sends what is on disk, as far as there are credits for it, for at most SEND_TURN seconds."""
        uploads = Uploads(self._recording, self._peers.client, self._peers.memory)
        turn = time.monotonic() + SEND_TURN
        try:
            async with uploads:
                while await uploads.fill(self._waiting() if time.monotonic() < turn else []):
                    for seq, encoded in await uploads.next():
                        self._receipts[seq] = encoded
                    await self._keep_leaves()
        except Exception:
            await self._settle(uploads)
            raise
        await self._settle(uploads)

    async def _settle(self, uploads: Uploads) -> None:
        self._failed += uploads.failed
        if uploads.used:
            await self._report(uploads.take_back())

    def _waiting(self) -> list[Claim]:
        return [
            claim
            for claim in self._recording.spool.pending()
            if 0 <= claim.seq - len(self._leaves) < WINDOW and claim.seq not in self._receipts
        ]

    async def _keep_leaves(self) -> None:
        """Writes down the receipts that follow on without a hole: from then on the chunk counts as stored."""
        position, ready = len(self._leaves), list[bytes]()
        while (encoded := self._receipts.pop(position + len(ready), None)) is not None:
            ready.append(encoded)
        if ready:
            await asyncio.to_thread(self._recording.spool.append_leaves, position, ready)
        for encoded in ready:
            self._take(encoded)

    def _take(self, encoded: bytes) -> None:
        self._tree.append(merkle.leaf_hash(encoded))
        leaf = leaves.decode(encoded)
        self._leaves.append(leaf)
        self._sealed_bytes += leaf.sealed_size

    async def _sign_due(self) -> None:
        """Signs what is due, keeps it, and sends what session-anchoring may not have yet."""
        state, spool = self._recording.state, self._recording.spool
        if lost := [seq for seq in spool.damaged if seq >= self.stored]:
            raise DeliveryError(f"chunk {lost[0]} was damaged in the spool before it was stored")
        if not state.anchors:
            await self._sign_anchor(0)
        elif state.phase == "finishing" and self.stored == spool.next_seq and state.manifest is None:
            await self._sign_manifest()
        elif state.phase in rules.UNDER_WAY and self._anchor_due(state):
            await self._sign_anchor(self.stored)
        for signed in self._unread():
            await submit(self._peers.client, signed.envelope.encode())

    def _anchor_due(self, state: State) -> bool:
        last = state.anchors[-1]
        waited = time.monotonic() - self._anchored_at >= self._peers.anchor_seconds
        return waited and self.stored > last.count

    async def _sign_anchor(self, count: int) -> None:
        anchor = InterimAnchor(
            session=self._recording.session,
            recorder=self._signer.key_id,
            count=count,
            root=self._tree.root(count).hex(),
            time_ms=now_ms(),
        )
        signed = _signed(count, self._signer.sign(anchor))
        await self._recording.change(
            lambda state: msgspec.structs.replace(state, anchors=(*state.anchors, signed))
        )
        self._anchored_at = time.monotonic()

    async def _sign_manifest(self) -> None:
        state, request = self._recording.state, self._recording.state.request
        if state.end_reason is None:
            raise DeliveryError("the recording has no end reason")
        manifest = Manifest(
            session=request.session,
            owner=request.owner,
            host=self._signer.host,
            policy_sha256=request.policy_sha256,
            tracks=tuple(map(self._track, rules.tracks(state))),
            start_ms=min(leaf.start_ms for leaf in self._leaves),
            end_ms=max(leaf.end_ms for leaf in self._leaves),
            count=self.stored,
            root=self._tree.root().hex(),
            end_reason=state.end_reason,
            gaps=tuple(sorted(state.gaps, key=lambda gap: gap.start_ms)),
            attested_count=self.stored,
            recorder=self._signer.key_id,
        )
        signed = _signed(self.stored, self._signer.sign(manifest))
        await self._recording.change(lambda state: msgspec.structs.replace(state, manifest=signed))

    def _track(self, track: int) -> RecordedTrack:
        count = sum(leaf.track == track for leaf in self._leaves)
        return RecordedTrack(track=track, codec=rules.CODECS[track], count=count)

    async def _read_back(self) -> None:
        """Asks where the oldest unread anchor stands; what a final one covers is forgotten here."""
        for signed in self._unread():
            anchor = await self._peers.client.call(anchoring.STATUS, anchoring.AnchorPath(signed.entry))
            if anchor.state == "pending":
                return
            if anchor.state == "refused":
                raise DeliveryError(f"the chain refused an anchor of {signed.count} chunks: {anchor.reason}")
            if anchor.envelope != signed.envelope:
                raise DeliveryError("session-anchoring gave back another anchor than was sent")
            await self._recording.change(partial(rules.with_final, entry=signed.entry))
            await asyncio.to_thread(self._recording.spool.forget, signed.count)
            await self._report([])
        if self._recording.state.manifest and self._recording.state.manifest.final:
            await self._recording.change(lambda state: msgspec.structs.replace(state, phase="finished"))

    def _unread(self) -> list[Signed]:
        state = self._recording.state
        signed = [*state.anchors, *([state.manifest] if state.manifest else [])]
        return [s for s in signed if not s.final]

    async def _report(self, done: list[pipeline.ChunkName]) -> None:
        claims = self._recording.spool.pending()
        report = pipeline.Report(
            done=tuple(done),
            recorded=self._recording.spool.next_seq,
            stored=self.stored,
            anchored=rules.anchored_count(self._recording.state),
            failed=self._failed,
            raw_bytes=self._recording.raw_bytes,
            sealed_bytes=self._sealed_bytes,
            spooled_bytes=sum(claim.plain_size for claim in claims),
        )
        await self._peers.client.call(pipeline.REPORT, SessionPath(self._recording.session), report)

    async def _fail(self, why: str) -> None:
        """Ends a recording that cannot be finished. Its chunks stay spooled until the session is erased."""
        log.error("delivery failed", session_id=self._recording.session, error=why)
        await self._recording.stop()
        await self._recording.change(lambda state: msgspec.structs.replace(state, phase="failed", error=why))

    def _first_held(self) -> int:
        held = [claim.seq for claim in self._recording.spool.pending()]
        return min(held, default=len(self._leaves))

    def _measure(self) -> None:
        held = self._recording.spool.pending()
        age = time.time() - held[0].end_ms / 1000 if held else 0.0
        kit_metrics.unanchored_seconds.set(max(0.0, age))


def _signed(count: int, envelope: bytes) -> Signed:
    return Signed(count, entry_name(envelope), envelope.decode(), now_ms())
