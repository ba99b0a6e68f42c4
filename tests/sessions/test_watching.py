"""A recording is handed out chunk by chunk while it is being made, and each time that is on record."""

import pytest

from lucid.contracts import session_api as contract
from lucid.contracts.session_access import AccessQuery, WatchQuery
from lucid.contracts.types import SessionPath
from lucid.kit.errors import Conflict, NotFound
from tests.deployment import Deployment
from tests.sessions.kept import SERVICES, keep, video
from tests.sessions.people import Person, person


async def watched(who: Person, session: str, first: int = 0, limit: int = 1) -> bytes:
    query = WatchQuery(session, first, limit)
    with who.speaking() as client:
        return b"".join([piece async for piece in client.stream(contract.WATCH, query)])


async def accesses(who: Person, session: str) -> list[tuple[str, int | None, int | None]]:
    with who.speaking() as client:
        rows = (await client.call(contract.ACCESSES, AccessQuery(session))).accesses
    return [(row.what, row.start_ms, row.end_ms) for row in rows]


async def test_chunks_are_handed_out_before_the_recording_has_ended(house: Deployment) -> None:
    await house.start("auth-service", "blockchain-engine", "session-anchoring", *SERVICES)
    alice, bob = await person(house, "alice"), await person(house, "bob")
    session, chunks = await keep(house, alice, closed=False), video()
    with alice.speaking() as client, pytest.raises(Conflict):
        await anext(client.stream(contract.REPLAY, SessionPath(session)))
    assert await watched(alice, session, 1, 2) == b"".join(part for c in chunks[1:3] for part in c.parts)
    assert await accesses(alice, session) == [("replay", chunks[1].start_ms, chunks[2].end_ms)]
    with pytest.raises(NotFound, match=f"{len(chunks)} chunks so far"):
        await watched(alice, session, len(chunks))
    with pytest.raises(NotFound):
        await watched(bob, session)
    assert len(await accesses(alice, session)) == 1, "who is given nothing has had no access"


async def test_of_a_session_that_was_never_recorded_there_is_nothing(house: Deployment) -> None:
    await house.start("auth-service", "blockchain-engine", "session-anchoring", *SERVICES)
    alice = await person(house, "alice")
    with pytest.raises(NotFound, match="0 chunks"):
        await watched(alice, await alice.create(name="new"))
