"""Sessions in a real MongoDB."""

from lucid.kit import mongo
from lucid.sessions.api_store import SessionStore


async def test_an_answer_that_comes_late_takes_nothing_back(mongodb_url: str, database_name: str) -> None:
    client = mongo.connect(mongodb_url)
    store = SessionStore(client[database_name])
    await store.insert({"_id": "one", "state": "recording", "chunks": 0, "raw_bytes": 0})
    await store.grow("one", chunks=3, raw_bytes=4000)
    await store.grow("one", chunks=0, raw_bytes=5000)
    found = await store.get("one")
    assert (found["chunks"], found["raw_bytes"]) == (3, 5000)
    await client.close()
