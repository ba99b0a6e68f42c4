"""A recording moves every metric of the services' interface, on the stack as it runs."""

import asyncio
import hashlib
import os
import ssl
import uuid
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lucid import catalog
from lucid.contracts import chunk_processor as processor
from lucid.contracts.types import ChunkPath, SessionPath
from lucid.dev.environment import standing
from lucid.dev.probe import OBSERVER
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Conflict
from lucid.kit.tls import client_context, internal_name
from tests.cli.command import LUCID, RunningStack
from tests.sessions.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

Samples = Mapping[tuple[str, str, str], float]
"""Values by service, sample and labels, as `state=recording,type=sealed`."""

EVERYWHERE = {"lucid_api_requests_total", "lucid_api_request_duration_seconds_count"}
COUNTED = {
    "auth-service": {"lucid_auth_attempts_total", "lucid_db_query_duration_seconds_count"},
    "api-gateway": {"lucid_auth_token_validations_total"},  # its calls, for keys, come minutes apart
    "session-api": {
        "lucid_sessions_created_total:status=created",
        "lucid_session_duration_seconds_count",
        "lucid_db_query_duration_seconds_count",
    },
    "session-pipeline": {
        "lucid_redis_operation_duration_seconds_count",
        "lucid_db_query_duration_seconds_count",
    },
    "chunk-processor": {
        "lucid_chunks_processed_total:status=sealed",
        "lucid_chunks_processed_total:status=failed",
        "lucid_chunk_processing_duration_seconds_count",
        "lucid_chunk_size_bytes_count",
        "lucid_pipeline_stage_duration_seconds_count:stage=receive",
        "lucid_pipeline_stage_duration_seconds_count:stage=seal",
        "lucid_pipeline_stage_duration_seconds_count:stage=store",
        "lucid_pipeline_errors_total:error_type=conflict,stage=store",
    },
    "session-storage": {
        "lucid_storage_used_bytes:type=sealed",
        "lucid_storage_operations_total:operation=store,status=ok",
        "lucid_storage_operations_total:operation=read,status=ok",
    },
    "blockchain-engine": {"lucid_chain_height", "lucid_chain_blocks_total:state=final"},
}
"""What is larger after a recording than before."""
LIVE = {
    ("session-api", "lucid_sessions_active", "state=recording"),
    ("session-recorder", "lucid_recordings_held", ""),
    ("session-recorder", "lucid_unanchored_seconds", ""),
    ("session-pipeline", "lucid_redis_connections_active", ""),
    ("session-pipeline", "lucid_db_connections_active", ""),
    ("api-gateway", "lucid_api_active_connections", ""),
}
"""What is above nothing at some moment of a recording."""


async def scrape(stack: RunningStack) -> dict[tuple[str, str, str], float]:
    """All samples of all services, asked for as Prometheus asks."""
    tls = tls_of(stack, OBSERVER)
    found: dict[tuple[str, str, str], float] = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, force_close=True)) as session:
        for service in standing().services.values():
            text = await _ask(session, service)
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                    found[service.name, sample.name, labels] = sample.value
    return found


async def _ask(session: aiohttp.ClientSession, service: catalog.Service) -> str:
    plain = next((listen for listen in service.listen if listen.tls is catalog.Tls.NONE), None)
    listen = plain or service.entry
    url = f"{'http' if plain else 'https'}://127.0.0.1:{listen.local_port}/metrics"
    name = None if plain else internal_name(service.name)
    async with session.get(url, server_hostname=name) as answer:
        assert answer.status == 200
        return await answer.text()


async def conflicting_chunks(stack: RunningStack) -> None:
    """Two chunks that claim one place in the tree, sent as a recorder sends them: the second is an error."""
    url = f"https://127.0.0.1:{catalog.load().services[processor.SERVICE].entry.local_port}"
    api, recorder = (
        ServiceClient({processor.SERVICE: url}, tls_of(stack, caller))
        for caller in ("session-api", "session-recorder")
    )
    session, nonce = str(uuid.uuid4()), os.urandom(32)
    try:
        await api.call(processor.CREATE_KEY, SessionPath(session))
        for index in range(2):
            claim = processor.Claim(
                sequence=0,
                start_ms=1,
                end_ms=2,
                raw_nonce=nonce.hex(),
                raw_commitment=hashlib.sha256(nonce + b"raw").hexdigest(),
            )
            headers = {processor.CLAIM_HEADER: msgspec.json.encode(claim).decode()}
            await recorder.call(processor.PROCESS, ChunkPath(session, 0, index), data=b"raw", headers=headers)
    except Conflict:
        return
    finally:
        await api.close()
        await recorder.close()
    pytest.fail("the second chunk was taken")


def tls_of(stack: RunningStack, name: str) -> ssl.SSLContext:
    """TLS as `name` speaks it when it calls."""
    files = (stack.state.tls / file for file in (f"{name}.crt", f"{name}.key", "ca.crt"))
    return client_context(*files)


async def test_a_recording_moves_them_all(stack: RunningStack, tmp_path: Path) -> None:
    before = await scrape(stack)
    env = os.environ | {"LUCID_STATE": str(stack.state.directory)}
    options = ["--seconds", "5", "--fps", "10", "--size", "640x480", "--", "xclock", "-update", "1"]
    command = [*LUCID, "record", "--name", "measured", *options]
    recording = await asyncio.create_subprocess_exec(*command, env=env)
    unseen = set(LIVE)

    async def all_seen() -> bool:
        now = await scrape(stack)
        unseen.difference_update([key for key in unseen if now.get(key, 0) > 0])
        return not unseen or recording.returncode is not None

    await until(all_seen, 60)
    assert not unseen
    assert await asyncio.wait_for(recording.wait(), 90) == 0
    session = next(
        each["id"]
        for each in msgspec.json.decode(stack.lucid("sessions", "--json").stdout)["sessions"]
        if each["name"] == "measured"
    )
    assert stack.lucid("bundle", session, "-o", str(tmp_path / "bundle")).returncode == 0
    await conflicting_chunks(stack)
    after = await scrape(stack)

    wanted = {(service, name) for service, names in COUNTED.items() for name in names} | {
        (service, name) for service in standing().services for name in EVERYWHERE
    }
    still = {key for key in wanted if total(after, *key) <= total(before, *key)}
    assert not still


def total(samples: Samples, service: str, name: str) -> float:
    """The sum of a service's samples of this name and, where it names any, these labels."""
    sample, _, labels = name.partition(":")
    return sum(
        value
        for (of, called, labelled), value in samples.items()
        if (of, called) == (service, sample) and labels in {"", labelled}
    )


async def test_no_endpoint_is_a_raw_path(stack: RunningStack) -> None:
    samples = await scrape(stack)
    labels = {labels for _, name, labels in samples if name == "lucid_api_requests_total"}
    assert labels
    assert not [text for text in labels if any(part.count("-") == 4 for part in text.split("/"))]
