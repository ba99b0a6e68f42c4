"""Parameters and bodies: what is wrong with them is named and numbered."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lucid.kit import requests
from lucid.kit.tls import internal_name
from tests.kit import parrot
from tests.kit.live import HOST, Asker, House

MAX_BODY = 4 * parrot.MIB


@pytest.fixture
async def served(house: House) -> AsyncIterator[House]:
    async with house.serve(parrot.build(), parrot.SERVICE):
        yield house


@pytest.fixture
async def caller(served: House) -> AsyncIterator[Asker]:
    async with served.asking(parrot.CALLER, parrot.SERVICE) as asker:
        yield asker


class TestParameters:
    async def test_come_from_path_and_query(self, caller: Asker) -> None:
        async with caller.ask("GET", "/repeat/gr%C3%BC%C3%9Fe?times=2") as answer:
            assert (await answer.json())["text"] == "grüßegrüße"

    @pytest.mark.parametrize(
        ("path", "code", "named"),
        [
            ("/repeat/ab?times=many", "1001", "times"),
            ("/repeat/ab?times=4", "1004", "times"),
            ("/repeat/ab?times=99999999999999999999", "1004", "times"),
            ("/repeat/a1", "1003", "word"),
            ("/repeat/ab?length=1", "1001", "length"),
            ("/repeat/ab?UUID=1", "1001", "UUID"),
            ("/repeat/ab?times=1&times=2", "1001", "times"),
            ("/repeat/ab?word=other", "1001", "word"),
            ("/seen?more=1", "1001", "more"),
        ],
    )
    async def test_that_are_wrong_are_named(self, caller: Asker, path: str, code: str, named: str) -> None:
        async with caller.ask("GET", path) as answer:
            error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (400, f"LUCID_ERR_{code}")
        assert f"`{named}`" in error["message"] or error["details"]["field"] == named


class TestBodies:
    async def test_are_read(self, caller: Asker) -> None:
        async with caller.ask("POST", "/notes", data=b'{"text": "hello"}') as answer:
            assert (answer.status, await answer.json()) == (200, {"text": "hello"})

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b'{"text": 1}', "1001"),
            (b'{"text": "a", "length >= ": 1}', "1001"),
            (b"{}", "1002"),
            (b"[]", "1001"),
            (b'{"text": "longer than ten"}', "1004"),
            (b'{"text": "a", "id": "no uuid"}', "1005"),
            (b"", "1009"),
            (b"{", "1009"),
            (b'{"text": "\xff"}', "1009"),
            (b'{"text": "\\ud800"}', "1009"),
            (b"[" * 100_000, "1001"),
            (b'{"text": "a", "b": ' + b"[" * 100_000, "1001"),
        ],
    )
    async def test_that_are_wrong_are_numbered(self, caller: Asker, body: bytes, code: str) -> None:
        assert await caller.outcome("POST", "/notes", data=body) == (400, code)

    async def test_name_the_field(self, caller: Asker) -> None:
        async with caller.ask("POST", "/notes", data=b'{"text": "longer than ten"}') as answer:
            assert (await answer.json())["error"]["details"] == {"field": "text"}

    async def test_that_announce_too_much_are_refused_unread(self, served: House) -> None:
        head = f"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n"
        answer = await first_of(served, head.encode())
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"LUCID_ERR_1010" in answer

    @pytest.mark.parametrize(("method", "path"), [("POST", "/notes"), ("PUT", "/upload")])
    async def test_that_turn_out_too_large_are_refused(self, caller: Asker, method: str, path: str) -> None:
        async def too_much() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield bytes(parrot.MIB)

        assert await caller.outcome(method, path, data=too_much()) == (413, "1010")

    @pytest.mark.parametrize(
        "head", [b"Transfer-Encoding: chunked", b"Content-Encoding: deflate\r\nContent-Length: 9"]
    )
    async def test_that_are_not_encoded_as_they_say_are_the_callers_fault(
        self, served: House, head: bytes
    ) -> None:
        answer = await first_of(
            served, b"POST /notes HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\nno chunk\n\r\n"
        )
        assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))


class TestStreams:
    async def test_arrive_in_pieces_and_are_never_held_whole(self, caller: Asker) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield bytes(parrot.MIB)

        async with caller.ask("PUT", "/upload", data=pieces()) as answer:
            found = await answer.json()
        assert found["size"] == MAX_BODY

    async def test_may_take_their_time_if_they_keep_coming(
        self, caller: Asker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(requests, "BODY_SECONDS", 0.3)
        monkeypatch.setattr(requests, "LEAST_RATE", MAX_BODY / 8)

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(8):
                yield bytes(MAX_BODY // 8)
                await asyncio.sleep(0.15)

        async with caller.ask("PUT", "/upload", data=pieces()) as answer:
            found = await answer.json()
        assert found["size"] == MAX_BODY
        assert found["largest"] <= parrot.MIB // 4


async def first_of(house: House, request: bytes) -> bytes:
    """The beginning of the answer to these bytes, its head and body together."""
    reader, writer = await asyncio.open_connection(
        HOST,
        house.ports[parrot.SERVICE],
        ssl=house.tls(parrot.CALLER),
        server_hostname=internal_name(parrot.SERVICE),
    )
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"\r\n\r\n")
        answer += await reader.read(4096)
    writer.transport.abort()
    return answer
