"""Carries anchors to the chain and reads them back. All it knows is in MongoDB: a restart loses nothing."""

import asyncio
from contextlib import suppress

from pymongo.errors import PyMongoError

from lucid.blocks import readback
from lucid.blocks.anchor_store import AnchorRecord, AnchorStore
from lucid.blocks.chain import now_ms
from lucid.contracts import blockchain_engine as chain
from lucid.evidence import trust
from lucid.evidence.trust import TRUST_LIMIT, Trust
from lucid.kit import metrics
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, NotFound, Unavailable
from lucid.kit.logs import log
from lucid.kit.routes import NOTHING

QUESTIONS_AT_ONCE = 16


class AnchorWorker:
    """The background work of session-anchoring."""

    def __init__(self, store: AnchorStore, client: ServiceClient, poll_seconds: float) -> None:
        self._store = store
        self._client = client
        self._poll_seconds = poll_seconds
        self._work = asyncio.Event()
        self._trust: Trust | None = None
        self._ready = False

    def require_ready(self) -> None:
        """Raise Unavailable until the store's unique indexes, on which its rules rest, are known to exist."""
        if not self._ready:
            raise Unavailable("the anchors' store is being prepared; try again", code=Code.DATABASE)

    def wake(self) -> None:
        """Tell that an anchor has come."""
        self._work.set()

    async def run(self) -> None:
        """Hand over and read back until cancelled. While the chain or MongoDB is away, wait and try again."""
        while True:
            self._work.clear()
            try:
                if not self._ready:
                    await self._store.prepare()
                    self._ready = True
                await self.hand_over()
                await self.read_back()
                oldest = await self._store.oldest_pending_ms()
                metrics.unanchored_seconds.set(max(0, now_ms() - oldest) / 1000 if oldest else 0)
            except (Unavailable, PyMongoError) as error:
                log.warning("anchors wait", error=f"{type(error).__name__}: {error}")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._work.wait()

    async def hand_over(self) -> None:
        """Give waiting anchors to the chain, in order of arrival. Giving one twice does no harm."""
        while waiting := await self._store.pending(
            handed=False, limit=chain.MAX_ENTRIES, max_bytes=chain.MAX_TRANSACTION
        ):
            batch = chain.Transaction("session_anchor", tuple(each.envelope for each in waiting))
            accepted = await self._client.call(chain.SUBMIT, NOTHING, batch)
            await self._refuse({refusal.entry: refusal.reason for refusal in accepted.refused})
            await self._store.set_handed(accepted.entries, handed=True)

    async def read_back(self) -> None:
        """Ask after anchors that the chain has, and make final those that it proves."""
        handed = await self._store.pending(
            handed=True, limit=chain.MAX_ENTRIES, max_bytes=chain.MAX_TRANSACTION
        )
        turns = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        answers = await asyncio.gather(*(self._ask(each, turns) for each in handed))
        if unknown := [each.hash for each, entry in zip(handed, answers, strict=True) if entry is None]:
            log.warning("the chain knows nothing of anchors that it was handed", anchors=len(unknown))
            await self._store.set_handed(unknown, handed=False)
        known = [entry for entry in answers if entry]
        await self._refuse({entry.entry: entry.reason or "" for entry in known if entry.state == "refused"})
        heights = {entry.entry: entry.height for entry in known if entry.height is not None}
        envelopes = {each.hash: each.envelope.encode() for each in handed if each.hash in heights}
        if envelopes:
            await self._finalise(envelopes, heights)

    async def _finalise(self, envelopes: dict[str, bytes], heights: dict[str, int]) -> None:
        try:
            evidence = await self._client.call(chain.EVIDENCE, NOTHING, chain.EvidenceQuery(tuple(envelopes)))
        except NotFound:
            return  # final, but its checkpoint is not published yet: the next round finds it
        places = readback.prove(evidence, await self._trusted(), envelopes)
        await self._store.finalise({name: (index, heights[name]) for name, index in places.items()})

    async def _ask(self, anchor: AnchorRecord, turns: asyncio.Semaphore) -> chain.Entry | None:
        async with turns:
            try:
                return await self._client.call(chain.ENTRY, chain.EntryPath(anchor.hash))
            except NotFound:
                return None

    async def _refuse(self, reasons: dict[str, str]) -> None:
        for name, reason in reasons.items():
            log.warning("anchor refused", anchor=name, reason=reason)
        await self._store.refuse(reasons)

    async def _trusted(self) -> Trust:
        """The chain that was met first. A chain that is exchanged afterwards is not believed."""
        if self._trust is None:
            file = await self._store.trust()
            if file is None:
                await self._store.keep_trust(await self._fetch_trust())
                file = await self._store.trust()
            if file is None:
                raise LookupError("the chain's trust file has vanished from MongoDB")
            self._trust = trust.parse(file)
        return self._trust

    async def _fetch_trust(self) -> bytes:
        file = b""
        async for piece in self._client.stream(chain.TRUST, NOTHING):
            file += piece
            if len(file) > TRUST_LIMIT:
                break
        trust.parse(file)
        return file
