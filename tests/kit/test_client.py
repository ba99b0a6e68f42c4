"""Calls between services, on real TLS sockets."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest

from lucid.dev.servers import free_port
from lucid.kit import context
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, Conflict, Invalid, LucidError, Unavailable
from lucid.kit.routes import NOTHING
from lucid.kit.tls import TlsConfig, server_context
from tests.kit import parrot
from tests.kit.live import HOST, House
from tests.kit.parrot import COUNTS, Note, Words

pytestmark = pytest.mark.quiet


@pytest.fixture
async def served(house: House) -> AsyncIterator[House]:
    async with house.serve(parrot.build(), parrot.SERVICE):
        yield house


@pytest.fixture
async def client(house: House) -> AsyncIterator[ServiceClient]:
    async with house.calling(parrot.CALLER, session_storage=house.url(parrot.SERVICE)) as made:
        yield made


class TestCalls:
    @pytest.mark.usefixtures("served")
    async def test_carry_parameters_and_bodies(self, client: ServiceClient) -> None:
        assert (await client.call(parrot.REPEAT, Words("grüße ?&#%", 2))).text == "grüße ?&#%" * 2
        assert (await client.call(parrot.NOTE, NOTHING, Note("hello"))).text == "hello"
        assert await client.call(parrot.SILENT, NOTHING) == NOTHING

    @pytest.mark.usefixtures("served")
    async def test_carry_large_uploads_in_pieces(self, client: ServiceClient) -> None:
        size = await client.call(parrot.UPLOAD, NOTHING, data=bytearray(4 * parrot.MIB))
        assert size.size == 4 * parrot.MIB

    @pytest.mark.usefixtures("served")
    async def test_bring_streams(self, client: ServiceClient) -> None:
        sizes = [len(piece) async for piece in client.stream(parrot.DOWNLOAD, NOTHING)]
        assert sum(sizes) == 16 * parrot.MIB
        assert max(sizes) <= parrot.MIB

    @pytest.mark.parametrize("word", ["..", ".", "", "../seen", "a/b"])
    async def test_never_leave_their_path(self, client: ServiceClient, word: str) -> None:
        with pytest.raises(Invalid, match="`word` would lead to another path"):
            await client.call(parrot.REPEAT, Words(word))


class TestPropagation:
    @pytest.mark.usefixtures("served")
    async def test_of_request_id_token_and_time_left(self, client: ServiceClient) -> None:
        context.request_id.set("request-0001")
        context.authorization.set("Bearer token")
        context.deadline.set(time.monotonic() + 3)
        seen = await client.call(parrot.SEEN, NOTHING, seconds=60)
        assert (seen.request_id, seen.authorization, seen.peer) == (
            "request-0001",
            "Bearer token",
            parrot.CALLER,
        )
        assert 2.5 < seen.left <= 3

    @pytest.mark.usefixtures("served")
    async def test_of_the_call_s_own_limit(self, client: ServiceClient) -> None:
        assert 3.5 < (await client.call(parrot.SEEN, NOTHING, seconds=4)).left <= 4


class TestDeadlines:
    @pytest.mark.usefixtures("served")
    async def test_end_a_slow_call_in_time(self, client: ServiceClient) -> None:
        context.deadline.set(time.monotonic() + 0.4)
        begin = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await client.call(parrot.SLOW, NOTHING)
        assert time.monotonic() - begin < 4
        assert (caught.value.code, caught.value.code.status) == (Code.TIMEOUT, 504)

    async def test_that_are_over_send_nothing(self, client: ServiceClient) -> None:
        context.deadline.set(time.monotonic() - 1)
        with pytest.raises(Unavailable, match="no time left"):
            await client.call(parrot.SEEN, NOTHING)

    async def test_end_the_retries(self, client: ServiceClient) -> None:
        context.deadline.set(time.monotonic() + 0.3)
        begin = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await client.call(parrot.SEEN, NOTHING)
        assert time.monotonic() - begin < 1.2
        # Refused, or, on a busy machine, out of time while connecting.
        assert caught.value.code in {Code.UNAVAILABLE, Code.TIMEOUT}


class TestRetries:
    async def test_outlast_a_callee_that_is_down_for_a_second(
        self, house: House, client: ServiceClient
    ) -> None:
        call = asyncio.create_task(client.call(parrot.SEEN, NOTHING))
        await asyncio.sleep(1)
        assert not call.done()
        async with house.serve(parrot.build(), parrot.SERVICE):
            assert (await call).peer == parrot.CALLER

    async def test_are_for_idempotent_calls_only(
        self, house: House, client: ServiceClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lucid.kit.client.FIRST_PAUSE", 0.001)
        service = parrot.build()
        async with house.serve(service, parrot.SERVICE):
            for route in (parrot.DOWN, parrot.DOWN_ONCE):
                with pytest.raises(Unavailable, match="the disk is away"):
                    await client.call(route, NOTHING)
            assert service[COUNTS] == {"GET": 6, "POST": 1}

    async def test_send_the_whole_body_again_when_a_kept_connection_was_closed(
        self, house: House, client: ServiceClient
    ) -> None:
        """The first answer keeps the connection; the second request finds it dead and goes out anew."""
        bodies: list[int] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            kept = not bodies
            for _ in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                if kept and bodies:
                    break
                bodies.append(len(await reader.readexactly(length)))
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"size":1,"largest":1}')
                if not kept:
                    break
            writer.transport.abort() if kept else writer.close()

        context_ = server_context(TlsConfig(*house.files(parrot.SERVICE), "mutual"))
        async with await asyncio.start_server(talk, HOST, house.ports[parrot.SERVICE], ssl=context_):
            for _ in range(2):
                await client.call(parrot.UPLOAD, NOTHING, data=bytes(parrot.MIB), seconds=4)
        assert bodies == [parrot.MIB, parrot.MIB]


class TestErrors:
    @pytest.mark.usefixtures("served")
    async def test_of_the_callee_come_back_as_they_are(self, client: ServiceClient) -> None:
        with pytest.raises(Conflict, match="not while it is stopped") as caught:
            await client.call(parrot.REFUSE, NOTHING)
        assert caught.value.code is Code.SESSION_STATE
        assert caught.value.details["state"] == "stopped"

    @pytest.mark.usefixtures("served")
    async def test_of_a_stream_that_breaks_off_are_raised(self, client: ServiceClient) -> None:
        with pytest.raises(Unavailable, match="session-storage cannot be reached"):
            async for _ in client.stream(parrot.BROKEN, NOTHING):
                pass

    @pytest.mark.parametrize(
        "garbage",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope",
            b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"text": "\xff\xff"}',
            b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nnope",
            b"HTTP/1.1 302 There\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        ],
    )
    async def test_of_an_answer_without_sense_are_5003(
        self, house: House, client: ServiceClient, garbage: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lucid.kit.client.FIRST_PAUSE", 0.001)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(garbage)
            writer.close()

        tls = server_context(TlsConfig(*house.files(parrot.SERVICE), "mutual"))
        async with await asyncio.start_server(talk, HOST, house.ports[parrot.SERVICE], ssl=tls):
            with pytest.raises(Unavailable) as caught:
                await client.call(parrot.CRASH, NOTHING)
        assert caught.value.code is Code.EXTERNAL

    async def test_of_a_callee_that_the_catalogue_does_not_allow_cost_no_packet(self, house: House) -> None:
        with socket.create_server((HOST, house.ports[parrot.SERVICE])) as listening:
            listening.setblocking(False)
            async with house.calling(parrot.CALLER) as client:
                with pytest.raises(
                    LucidError, match="does not let this service call session-storage"
                ) as caught:
                    await client.call(parrot.SEEN, NOTHING)
            assert caught.value.code is Code.CONFIGURATION
            with pytest.raises(BlockingIOError):
                listening.accept()


class TestServerNames:
    async def test_of_a_sibling_at_the_callee_s_address_are_refused(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two services with their addresses swapped, both with good certificates of the same authority."""
        monkeypatch.setattr("lucid.kit.client.FIRST_PAUSE", 0.001)
        swapped, storage = house.ports[parrot.STRANGER], parrot.build()
        async with (
            house.serve(storage, parrot.STRANGER, port=swapped),
            house.calling(parrot.CALLER, session_storage=f"https://{HOST}:{swapped}") as client,
        ):
            with pytest.raises(Unavailable, match="ClientConnectorCertificateError"):
                await client.call(parrot.DOWN, NOTHING)
        assert storage[COUNTS] == {}

    async def test_of_the_callee_at_any_address_are_accepted(self, house: House) -> None:
        port = free_port()
        async with (
            house.serve(parrot.build(), parrot.SERVICE, port=port),
            house.calling(parrot.CALLER, session_storage=f"https://{HOST}:{port}") as client,
        ):
            assert (await client.call(parrot.SEEN, NOTHING)).peer == parrot.CALLER
