"""The listener for what Tor carries, served by the real worker: circuits told apart, all else closed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lucid.kit.carried import HEADER_SECONDS
from tests.kit.worker_process import Service, free_port, service

HEADER = "PROXY TCP6 fc00:dead:beef:4dad::{:x}:{:x} ::1 {} 80\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: x.onion\r\nConnection: close\r\n\r\n"


def header(circuit: int) -> bytes:
    low = circuit & 0xFFFF
    return HEADER.format(circuit >> 16, low, low).encode()


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[int, int, Service]]:
    """A service with a listener for carried connections and a plain one: their ports."""
    carried, plain = free_port(), free_port()
    listeners: tuple[dict[str, Any], ...] = (
        {"name": "onion", "port": carried, "carried": True},
        {"name": "http", "port": plain},
    )
    async with service(directory, *listeners, options={"drain_seconds": 0.2}) as running:
        await running.hears("READY=1")
        yield carried, plain, running


async def send(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def told(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


async def test_circuits_are_told_apart_and_none_is_loopback(tmp_path: Path) -> None:
    async with served(tmp_path) as (port, plain, _):
        one, other = [told(await send(port, header(number) + REQUEST)) for number in (7, 0x10007)]
        assert (one["circuit"], other["circuit"]) == ("circuit:7", "circuit:65543")
        assert (one["remote"], other["remote"]) == ("fc00:dead:beef:4dad::7", "fc00:dead:beef:4dad::1:7")
        direct = told(await send(plain, REQUEST))
        assert (direct["circuit"], direct["remote"]) == (None, "127.0.0.1")


async def test_the_header_may_come_in_pieces_and_keeps_its_connection_for_many_requests(
    tmp_path: Path,
) -> None:
    kept = REQUEST.replace(b"Connection: close\r\n", b"")
    async with served(tmp_path) as (port, _, _running):
        pieces = [bytes([byte]) for byte in header(9)]
        answer = await send(port, *pieces, kept, REQUEST, pause=0.002)
        assert answer.count(b'"circuit:9"') == answer.count(b"200 OK") == 2


async def test_large_bodies_pass_both_ways(tmp_path: Path) -> None:
    body = b"x" * 900_000  # the sample's own limit is 1 MiB
    head = (
        f"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    async with served(tmp_path) as (port, _, _running):
        answer = await send(port, header(1) + head, body)
        assert answer.partition(b"\r\n\r\n")[2] == body


async def test_nothing_is_answered_without_a_good_header(tmp_path: Path) -> None:
    bad = (
        REQUEST,
        b"PROXY UNKNOWN\r\n" + REQUEST,
        b"PROXY TCP6 ::1 ::1 1 80\r\n" + REQUEST,
        b"PROXY " + b"x" * 200,
    )
    async with served(tmp_path) as (port, _, running):
        assert [await send(port, each) for each in bad] == [b""] * len(bad)
        assert told(await send(port, header(3) + REQUEST))["circuit"] == "circuit:3"
        assert "Traceback" not in running.log


async def test_a_header_is_refused_everywhere_else(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, plain, _running):
        assert (await send(plain, header(7) + REQUEST)).startswith(b"HTTP/1.0 400 ")
        inside = REQUEST.replace(b"Host", header(7).strip() + b": x\r\nHost")
        assert b"circuit:7" not in await send(plain, inside)


@pytest.mark.timeout(30)
async def test_who_says_nothing_is_closed_in_time_and_holds_up_no_stop(tmp_path: Path) -> None:
    async with served(tmp_path) as (port, _, running):
        begin = asyncio.get_running_loop().time()
        assert await send(port, b"PROXY TCP6 fc00:") == b""
        assert HEADER_SECONDS - 0.5 < asyncio.get_running_loop().time() - begin < HEADER_SECONDS + 2
        silent = asyncio.create_task(send(port))
        await asyncio.sleep(0.1)
        running.process.terminate()
        assert await running.ends(within=10) == 0
        assert await silent == b""
