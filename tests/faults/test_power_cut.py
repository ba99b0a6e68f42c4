"""What a power cut can take: nothing that was acknowledged. Real processes as strace(1) sees them.

A file survives a power cut once it was fsynced, its name once its directory was (fsync(2), rename(2)). So the
order of these calls, of the writes to the database and of the answers is the proof: no test pulls the plug.
"""

import re
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from tests.deployment import Deployment
from tests.faults.chunks import sealed_chunk, store
from tests.faults.hosts import Hosts
from tests.faults.recordings import BEHIND, STORES, begin, proved, stop, view
from tests.faults.traces import RECEIVE, SEND, Event, check_order, connection, events, first, strace
from tests.sessions.screens import Screen
from tests.sessions.waiting import until


async def test_storage_answers_only_for_what_a_power_cut_would_leave(
    house: Deployment, hosts: Hosts, tmp_path: Path, mongodb_url: str
) -> None:
    trace = tmp_path / "trace"
    session = str(uuid.uuid4())
    # As somebody leaves them who dies before they are synced: being there, they are not yet durable.
    (house.directory / "state/session-storage/chunks" / session / "0").mkdir(parents=True)
    await hosts.start("session-storage", under=strace(trace))
    client = await house.client("chunk-processor")
    chunks = [sealed_chunk(session, index, 300_000) for index in range(3)]
    for chunk in chunks:
        await store(client, chunk)
    await hosts.kill("session-storage")
    seen = events(trace)
    database = connection(urlsplit(mongodb_url).port or 0, ours=False)
    answer = connection(house.ports["session-storage"], ours=True)
    directories = f"chunks/{session}/0>"
    for chunk in chunks:
        name = re.escape(chunk.file_name)
        written = first(seen, "write", rf"/{name}\.[0-9a-f]+\.tmp>")
        synced = first(seen, "fsync", rf"/{name}\.[0-9a-f]+\.tmp>")
        named = first(seen, "rename", rf"/{name}\.[0-9a-f]+\.tmp\", \".*/{name}\"")
        durable = first(seen, "fsync", directories, after=named.began)
        recorded = first(seen, SEND, rf"{database}.*insert.*majority", after=synced.began)
        confirmed = first(seen, RECEIVE, database, after=recorded.ended)
        answered = first(seen, SEND, answer, after=written.began)
        check_order(written, synced, named, durable, recorded, confirmed, answered)
    made = [first(seen, "fsync", rf"{end}>") for end in (f"chunks/{session}", "storage/chunks")]
    for each in made:
        check_order(each, first(seen, SEND, rf"{database}.*insert.*majority"))


async def test_the_recorder_sends_what_is_durable_and_forgets_what_is_anchored(
    house: Deployment, hosts: Hosts, screen: Screen, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    await house.start(*BEHIND, *STORES)
    await hosts.start("session-recorder", under=strace(trace))
    api = await house.client("session-api")
    session = await begin(api, screen)
    await until(lambda: anchored(house, session), 30)
    await stop(api, session)
    manifest = await proved(house, api, session)
    await hosts.kill("session-recorder")
    seen = events(trace)
    directory = rf"spool/{session}"
    for number in range(manifest.count):
        chunk, claim = (rf"{directory}/{number:08d}\.{kind}" for kind in ("chunk", "json"))
        held = durable(seen, chunk, directory) + durable(seen, claim, directory)
        sent = first(seen, "read", rf"{chunk}>")
        forgotten = first(seen, "unlink|unlinkat", rf"{chunk}\"")
        receipt = first(seen, "fsync", rf"{directory}/leaves\.jsonl>", after=sent.ended)
        check_order(*held, sent, receipt, forgotten)
        noted = [event for event in seen if is_rename(event, rf"{directory}/progress\.json")]
        noted = [event for event in noted if event.ended < forgotten.began]
        check_order(noted[-1], first(seen, "fsync", rf"{directory}>", after=noted[-1].began), forgotten)
    processor = connection(house.ports["chunk-processor"], ours=False)
    opened = rf"{directory}/00000000\.json"
    check_order(*durable(seen, opened, directory), first(seen, SEND, processor))


def durable(seen: list[Event], path: str, directory: str) -> list[Event]:
    """The three steps by which a file came to stay."""
    named = next(event for event in seen if is_rename(event, path))
    synced = first(seen, "fsync", rf"{path}\.tmp>")
    return [synced, named, first(seen, "fsync", rf"{directory}>", after=named.began)]


def is_rename(event: Event, path: str) -> bool:
    return event.name == "rename" and re.search(rf"{path}\.tmp\"", event.text) is not None


async def anchored(house: Deployment, session: str) -> bool:
    api = await house.client("session-api")
    return (await view(api, session)).anchored >= 1
