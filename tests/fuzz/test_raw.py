"""Bytes that an HTTP client would not send: what is no text, and what is no HTTP."""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lucid.contracts import chunk_processor, session_storage
from lucid.kit.tls import internal_name
from tests.deployment import Deployment, deployment
from tests.fuzz.values import SESSIONS

NO_TEXT = b"\xff\xfe\x80 \xc3"
CHUNK = f"/sessions/{SESSIONS[0]}/tracks/0/chunks/0".encode()
HEADERS = (
    session_storage.LEAF_HEADER, chunk_processor.CLAIM_HEADER, "Authorization", "X-Request-ID", "Range",
    "If-Range", "Lucid-Deadline-Ms", "Content-Type", "Expect", "Cookie",
)  # fmt: skip
REQUESTS = (
    (session_storage.SERVICE, b"PUT %b?sequence=0" % CHUNK),
    (session_storage.SERVICE, b"GET %b" % CHUNK),
    (chunk_processor.SERVICE, b"PUT %b" % CHUNK),
    (chunk_processor.SERVICE, b"GET %b/raw" % CHUNK),
    ("api-gateway", b"GET /api/v1/sessions"),
    ("api-gateway", b"POST /api/v1/auth/login"),
)
PATH_ENDS = (b"/%ff%fe", b"?%ff=%ff", b"?sequence=%ff", b"%00", b"/%2e%2e/%2e%2e")
ENVELOPE = b'{"error":{"code":"LUCID_ERR_'
NO_HTTP = (
    b"\x00" * 100,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    b"GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
)


@pytest.fixture
async def house(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Deployment]:
    async with deployment(tmp_path, mongodb_url, redis_url) as made:
        await made.start("auth-service", session_storage.SERVICE, chunk_processor.SERVICE, "api-gateway")
        yield made


async def send(house: Deployment, service: str, request: bytes) -> bytes:
    """The answer to these very bytes, up to the connection's end."""
    callers = {session_storage.SERVICE: chunk_processor.SERVICE, chunk_processor.SERVICE: "session-api"}
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        house.ports[service],
        ssl=house.client_context(callers.get(service, "stranger")),
        server_hostname=internal_name(service),
    )
    try:
        async with asyncio.timeout(10):
            writer.write(request)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_a_header_that_is_no_text_is_refused_with_an_envelope(house: Deployment) -> None:
    for (service, line), header in itertools.product(REQUESTS, HEADERS):
        request = b"%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n%b: %b\r\n\r\n{}"
        answer = await send(house, service, request % (line, header.encode(), NO_TEXT))
        assert 400 <= status(answer) < 500, (line, header, answer)
        assert ENVELOPE in answer, (line, header, answer)


async def test_a_path_that_is_no_text_is_refused_with_an_envelope(house: Deployment) -> None:
    for (service, line), end in itertools.product(REQUESTS, PATH_ENDS):
        request = b"%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
        answer = await send(house, service, request % (line + end))
        assert 400 <= status(answer) < 500, (line, end, answer)
        assert ENVELOPE in answer, (line, end, answer)


async def test_what_is_no_http_is_refused_and_the_service_goes_on(house: Deployment) -> None:
    for service, request in itertools.product((session_storage.SERVICE, "api-gateway"), NO_HTTP):
        head, _, rest = request.partition(b"\r\n")
        answer = await send(house, service, head + b"\r\nConnection: close\r\n" + rest)
        assert not answer or 400 <= status(answer) < 500, (service, request[:80], answer)
    assert await house.ready(session_storage.SERVICE)
    alive = b"GET /api/v1/meta/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert status(await send(house, "api-gateway", alive)) == 200
