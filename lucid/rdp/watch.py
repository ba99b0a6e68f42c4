"""Looks after the sessions of this host: what ends by itself is noticed, what broke off goes on."""

import asyncio
from collections import Counter
from typing import get_args

from lucid.contracts.session_controller import State
from lucid.contracts.xrdp import Slot
from lucid.kit.errors import LucidError
from lucid.kit.logs import log
from lucid.rdp import controller_metrics as metrics
from lucid.rdp import judging, life
from lucid.rdp.judging import Sight, Terms, Unrecorded
from lucid.rdp.keeper import Keeper, now
from lucid.rdp.life import Record

LOOK_SECONDS = 1.0
ORPHAN_SECONDS = 5.0
"""How long a slot may belong to nobody: its session may be about to be known."""
TELL_SECONDS = 10.0
"""How often session-api is told again of what has ended, while it does not take it."""


class Watch:
    """Asks agent and recorder, and has the keeper do what the rules make of their answers."""

    def __init__(self, keeper: Keeper, terms: Terms) -> None:
        self._keeper = keeper
        self._terms = terms
        self._unrecorded: dict[str, Unrecorded] = {}
        self._orphans: dict[tuple[int, str], float] = {}
        """Since when each slot belongs to nobody."""
        self._told: dict[str, float] = {}
        """When session-api was told last of each session that has ended."""

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """One look at everything."""
        # What changes while others are asked is judged at the next look: their answers may be older.
        known = dict(self._keeper.book.known)
        live = [record for record in known.values() if record.state in life.LIVE]
        asked = [self._keeper.peers.recording(record.session) for record in live]
        slots, words = await asyncio.gather(self._slots(), asyncio.gather(*asked))
        for record, said in zip(live, words, strict=True):
            slot = next((s for s in slots or () if s.session == record.session), None)
            await self._judge(record, Sight(slots is not None, slot, *said))
        for record in known.values():
            if life.forgotten(record, self._keeper.boot, now()):
                if not record.settled:
                    log.error("session-api never heard of a session's end", session_id=record.session)
                await self._keeper.book.forget(record.session)
            elif record.state == "ending":
                self._keeper.go_on(record.session)
            elif record.state == "ended" and not record.settled:
                self._tell(record.session)
        self._told = {session: at for session, at in self._told.items() if session in known}
        await self._end_orphans(slots or ())
        await self._keeper.book.save_again()
        self._count()

    async def _slots(self) -> tuple[Slot, ...] | None:
        try:
            return await self._keeper.peers.slots()
        except LucidError as error:
            log.warning("the agent cannot be asked", error=error.message)
            return None

    async def _judge(self, seen: Record, sight: Sight) -> None:
        session, keeper = seen.session, self._keeper
        verdict = judging.judge(
            seen, self._unrecorded.get(session), sight, keeper.book.policy(session), self._terms, now()
        )
        record = await keeper.book.change(session, lambda found: verdict.record if found is seen else found)
        if verdict.unrecorded is None or verdict.end is not None:
            self._unrecorded.pop(session, None)
        else:
            self._unrecorded[session] = verdict.unrecorded
        if verdict.end is not None and record is verdict.record:
            await keeper.mark(session, verdict.end)
            keeper.go_on(session)
        elif sight.slot is not None and life.in_vain(record, sight.slot):
            try:
                await keeper.stop_listening(session)
            except LucidError as error:
                log.warning("the listener cannot be stopped", session_id=session, error=error.message)

    def _tell(self, session: str) -> None:
        if now() - self._told.get(session, 0.0) >= TELL_SECONDS:
            self._told[session] = now()
            self._keeper.go_on(session)

    async def _end_orphans(self, slots: tuple[Slot, ...]) -> None:
        found = life.orphans(slots, self._keeper.book.known)
        self._orphans = {each: self._orphans.get(each, now()) for each in found}
        for (port, session), since in self._orphans.items():
            if now() - since >= ORPHAN_SECONDS:
                log.warning("desktop of no session", port=port, session_id=session)
                try:
                    await self._keeper.end_orphan(port)
                except LucidError as error:
                    log.warning("it cannot be ended", port=port, error=error.message)

    def _count(self) -> None:
        states = Counter(record.state for record in self._keeper.book.known.values())
        for state in get_args(State):
            metrics.sessions.labels(state).set(states[state])
