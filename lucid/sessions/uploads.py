"""Chunks on their way from the spool to storage: a few at once, as many as there are credits for."""

import asyncio
from typing import Self

import msgspec

from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.evidence import leaf as leaves
from lucid.evidence.errors import FormatError
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError
from lucid.sessions import metrics
from lucid.sessions.budget import Budget
from lucid.sessions.recorder_claims import Claim
from lucid.sessions.recording import Recording
from lucid.sessions.states import CHUNK

MOST_AT_ONCE = 8
"""What is asked for; session-pipeline grants less."""
UPLOAD_SECONDS = 60.0

Receipt = tuple[int, bytes]
"""A chunk's number and its leaf, canonical JSON."""


class DeliveryError(Exception):
    """The recording cannot be brought to its end: what came back contradicts what was sent."""


class Uploads:
    """The uploads of one turn: `fill` and `next` in a loop, within the context.

    Leaving it waits for what is on its way; leaving it by cancellation cancels that.
    """

    def __init__(self, recording: Recording, client: ServiceClient, memory: Budget) -> None:
        """`memory` bounds the bytes of chunks on their way, those of other recordings among them."""
        self._recording = recording
        self._client = client
        self._memory = memory
        self._running: dict[asyncio.Task[Receipt], Claim] = {}
        self._states: dict[int, str] = {}
        self._back: list[pipeline.ChunkName] = []
        self.failed = 0
        """Sendings that failed. Their chunks are still spooled."""
        self.used = False
        """Whether anything was sent."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for task in self._running:
            if kind is asyncio.CancelledError:
                task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._back += map(_name, self._running.values())
        self._running.clear()

    async def fill(self, waiting: list[Claim]) -> bool:
        """Starts what there is room and credit for; False when nothing waits and nothing is on its way."""
        busy = {claim.seq for claim in self._running.values()}
        wanted = [claim for claim in waiting if claim.seq not in busy][: MOST_AT_ONCE - len(busy)]
        while wanted:
            names = tuple(_name(claim) for claim in wanted)
            asked = pipeline.AskCredits(chunks=names, done=tuple(self.take_back()))
            answer = await self._client.call(pipeline.CREDITS, SessionPath(self._recording.session), asked)
            granted = set(answer.granted)
            for claim, name in zip(wanted, names, strict=True):
                if name in granted:
                    self._running[asyncio.create_task(self._upload(claim))] = claim
                    self.used = True
            if self._running:
                break
            await asyncio.sleep(answer.retry_ms / 1000)
        return bool(self._running)

    async def next(self) -> list[Receipt]:
        """Waits for one upload or more to end. Raises the first failure."""
        ended, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            self._back.append(_name(self._running.pop(task)))
        return [task.result() for task in sorted(ended, key=lambda task: task.exception() is None)]

    def take_back(self) -> list[pipeline.ChunkName]:
        """The chunks whose credits are to be given back; each is told once."""
        back, self._back = self._back, []
        return back

    async def _upload(self, claim: Claim) -> Receipt:
        async with self._memory.take(claim.plain_size):
            self._move(claim.seq, "processing")
            encoded = await self._send(claim)
        _check(claim, encoded)
        for state in ("sealed", "stored"):
            self._move(claim.seq, state)
        return claim.seq, encoded

    async def _send(self, claim: Claim) -> bytes:
        raw = await asyncio.to_thread(self._recording.spool.read, claim.seq)
        header = processor.Claim(
            sequence=claim.seq,
            start_ms=claim.start_ms,
            end_ms=claim.end_ms,
            raw_nonce=claim.raw_nonce,
            raw_commitment=claim.raw_commitment,
        )
        try:
            receipt = await self._client.call(
                processor.PROCESS,
                ChunkPath(self._recording.session, int(claim.track), claim.index),
                data=raw,
                headers={processor.CLAIM_HEADER: msgspec.json.encode(header).decode()},
                seconds=UPLOAD_SECONDS,
            )
        except LucidError as error:
            self.failed += 1
            self._move(claim.seq, "recorded")
            metrics.pipeline_errors_total.labels("send", error.code.name.lower()).inc()
            raise
        return receipt.leaf.encode()

    def _move(self, seq: int, target: str) -> None:
        CHUNK.check(self._states.get(seq, CHUNK.first), target)
        self._states[seq] = target


def _name(claim: Claim) -> pipeline.ChunkName:
    return pipeline.ChunkName(int(claim.track), claim.index)


def _check(claim: Claim, encoded: bytes) -> None:
    """The leaf must say what the recorder saw, or the recorder must not sign it. Raises DeliveryError."""
    try:
        leaf = leaves.decode(encoded)
    except FormatError as error:
        raise DeliveryError(f"the receipt of chunk {claim.seq} holds no leaf: {error}") from None
    said = (leaf.session, leaf.track, leaf.index, leaf.start_ms, leaf.end_ms, leaf.plain_size)
    seen = (claim.session, int(claim.track), claim.index, claim.start_ms, claim.end_ms, claim.plain_size)
    if said != seen or leaf.raw_commitment != claim.raw_commitment:
        raise DeliveryError(f"the leaf of chunk {claim.seq} is not what the recorder sent")
