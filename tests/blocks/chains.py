"""What is handed in to a chain on a real MongoDB, and what came of it."""

from lucid.blocks.chain import Chain, Published
from lucid.blocks.entries import LogEntry
from lucid.blocks.store import Store
from lucid.evidence import checkpoint, merkle
from tests.blocks.world import START_MS, Signer, recording, session_id

RECORDER = Signer("recorder")
SESSION = session_id(1)
ENTRIES = [RECORDER.registration(), *recording(RECORDER, SESSION)]


async def hand_in(store: Store, *entries: LogEntry) -> None:
    """As somebody who anchors does."""
    await store.entries.add("0" * 64, entries, START_MS)


async def states(store: Store, *entries: LogEntry) -> list[str]:
    """How far each of them is."""
    found = await store.entries.of([entry.hash for entry in entries])
    return [found[entry.hash].state for entry in entries]


def expected_root(chain: Chain, *entries: LogEntry) -> str:
    """The root of a log of the genesis and these."""
    hashes = [chain.genesis.log_root, *(entry.hash for entry in entries)]
    return merkle.root(bytes.fromhex(each) for each in hashes).hex()


def published(chain: Chain) -> Published:
    """The published checkpoint, after checking it as an outsider would."""
    found = chain.published
    assert found is not None
    note = checkpoint.parse_note(found.note)
    assert note.body == checkpoint.body(found.header)
    assert len(checkpoint.verify_cosignatures(note, chain.plan.validators).times) >= 1
    return found
