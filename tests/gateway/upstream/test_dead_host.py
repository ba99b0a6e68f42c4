"""A host that loses its power is told from a service that takes its time."""

import asyncio
import ctypes
import socket
import struct
import time

import pytest

from lucid.gateway.upstream.connection import UNANSWERED_MS
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Upstream
from tests.gateway.upstream.scripted import (
    GET,
    OK,
    POST,
    Script,
    Scripted,
    answering,
    asked,
    refusal,
    scripted,
    upstream,
)

pytestmark = pytest.mark.quiet

LONG = Patience(connect=1.0, read=60.0, total=60.0)
KNOWN_SECONDS = UNANSWERED_MS / 1000 + 4.0
SO_ATTACH_FILTER = 26


def die(writer: asyncio.StreamWriter) -> None:
    """From now on the kernel of this end answers nothing that comes, as if its host had no power."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def between(running: Scripted) -> Script:
    """Answers a request, and is dead before the next one comes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await running.head(reader)
        writer.write(OK)
        await asyncio.sleep(0.05)  # until that is acknowledged
        die(writer)
        await asyncio.sleep(60)

    return script


def at_work(running: Scripted) -> Script:
    """Dies with a request in hand."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await running.head(reader)
        await asyncio.sleep(0.05)
        die(writer)
        await asyncio.sleep(60)

    return script


def slow(running: Scripted) -> Script:
    """Takes longer than a dead host is waited for."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await running.head(reader)
        await asyncio.sleep(KNOWN_SECONDS)
        writer.write(OK)

    return script


async def refused_after(service: Upstream, request: UpstreamRequest) -> float:
    """Seconds until a request is refused."""
    begun = time.monotonic()
    assert await refusal(service, request, LONG) == "5003"
    return time.monotonic() - begun


async def test_a_dead_host_is_known_long_before_a_slow_answer_is_due() -> None:
    async with (
        scripted(between) as kept,
        scripted(at_work) as busy,
        scripted(slow) as late,
        scripted(answering(OK)) as other,
        upstream(kept.url) as dead_between,
        upstream(busy.url) as dead_at_work,
        upstream(late.url) as alive,
        upstream(busy.url, other.url) as replicas,
    ):
        assert await asked(dead_between, GET, LONG) == b"ok"
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        refused, answers = await asyncio.gather(
            asyncio.gather(refused_after(dead_between, POST), refused_after(dead_at_work, POST)),
            asyncio.gather(asked(alive, POST, LONG), *(asked(replicas, GET, LONG) for _ in range(4))),
        )
        assert max(refused) < KNOWN_SECONDS
        # One that was slow while its host was alive, and idempotent ones, which another host is asked.
        assert answers == [b"ok"] * 5
        assert time.monotonic() - begun < 2 * KNOWN_SECONDS
