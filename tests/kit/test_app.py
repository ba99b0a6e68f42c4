"""What the kit does with every request, on real TLS sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from lucid.kit import app, metrics
from lucid.kit.app import OBSERVED
from lucid.kit.tls import client_context, internal_name
from tests.kit import parrot
from tests.kit.live import HOST, Asker, House


@pytest.fixture
async def served(house: House) -> AsyncIterator[House]:
    async with house.serve(parrot.build(), parrot.SERVICE):
        yield house


@pytest.fixture
async def caller(served: House) -> AsyncIterator[Asker]:
    async with served.asking(parrot.CALLER, parrot.SERVICE) as asker:
        yield asker


async def say(house: House, request: bytes) -> bytes:
    """Everything that comes back for these bytes until the service closes."""
    reader, writer = await asyncio.open_connection(
        HOST,
        house.ports[parrot.SERVICE],
        ssl=house.tls(parrot.CALLER),
        server_hostname=internal_name(parrot.SERVICE),
    )
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


class TestAdmission:
    async def test_a_caller_of_the_catalogue_is_known_by_name(self, caller: Asker) -> None:
        async with caller.ask("GET", "/seen") as answer:
            assert (await answer.json())["peer"] == parrot.CALLER

    @pytest.mark.parametrize("path", ["/seen", "/health", "/metrics", "/openapi.json", "/nowhere"])
    async def test_a_service_that_the_catalogue_does_not_name_is_refused(
        self, served: House, path: str
    ) -> None:
        async with served.asking(parrot.STRANGER, parrot.SERVICE) as stranger:
            assert await stranger.outcome("GET", path) == (403, "2004")

    async def test_a_route_can_be_for_some_of_them_only(self, served: House, caller: Asker) -> None:
        async with caller.ask("GET", "/chosen") as answer:
            assert answer.status == 200
        async with served.asking(parrot.OTHER_CALLER, parrot.SERVICE) as other:
            assert await other.outcome("GET", "/chosen") == (403, "2004")

    @pytest.mark.parametrize("path", sorted(OBSERVED))
    async def test_an_observer_reads_health_and_metrics(self, served: House, path: str) -> None:
        async with (
            served.asking("prometheus", parrot.SERVICE) as observer,
            observer.ask("GET", path) as answer,
        ):
            assert answer.status == 200

    @pytest.mark.parametrize(
        "path", ["/seen", "/openapi.json", "/metricsx", "/healthy", "/health/../seen", "/health/%2e%2e/seen"]
    )
    async def test_an_observer_reads_nothing_else(self, served: House, path: str) -> None:
        async with served.asking("prometheus", parrot.SERVICE) as observer:
            assert await observer.outcome("GET", path) == (403, "2004")

    async def test_without_a_certificate_there_is_no_connection(self, served: House) -> None:
        anonymous = ssl.create_default_context(cafile=served.directory / "ca.crt")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=anonymous)) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(
                    served.url(parrot.SERVICE) + "/health", server_hostname=internal_name(parrot.SERVICE)
                )

    async def test_with_a_certificate_of_another_authority_there_is_no_connection(
        self, served: House, tmp_path: Path
    ) -> None:
        other = House(tmp_path / "other", parrot.CALLER)
        cert, key, _ = other.files(parrot.CALLER)
        foreign = client_context(cert, key, served.directory / "ca.crt")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=foreign)) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(
                    served.url(parrot.SERVICE) + "/health", server_hostname=internal_name(parrot.SERVICE)
                )

    async def test_without_one_nobody_reaches_what_is_for_services_only(self, house: House) -> None:
        """The gateway's sockets take anybody: a route that says nothing of people must still be closed."""
        async with (
            house.serve(app.build("api-gateway", parrot.handlers), parrot.SERVICE),
            house.asking(parrot.CALLER, parrot.SERVICE) as person,
        ):
            assert await person.outcome("GET", "/seen") == (403, "2004")


class TestErrors:
    async def test_that_nobody_foresaw_are_answered_with_the_request_id_alone(self, caller: Asker) -> None:
        async with caller.ask("GET", "/crash", headers={"X-Request-ID": "request-0001"}) as answer:
            text, envelope = await answer.text(), await answer.json()
        assert answer.status == 500
        assert envelope["error"]["code"] == "LUCID_ERR_5001"
        assert envelope["error"]["request_id"] == "request-0001"
        assert envelope["error"]["service"] == parrot.SERVICE
        assert not any(word in text for word in ("1-2-3", "Traceback", "RuntimeError", ".py"))

    async def test_of_the_tree_keep_their_code_and_details(self, caller: Asker) -> None:
        async with caller.ask("POST", "/refuse") as answer:
            error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (409, "LUCID_ERR_4007")
        assert error["details"] == {"state": "stopped", "code": 1, "message": "a detail", "event": "another"}

    async def test_of_a_dependency_are_its_own_whatever_their_details_are_called(self, caller: Asker) -> None:
        assert await caller.outcome("GET", "/down") == (503, "5008")

    @pytest.mark.parametrize(
        ("method", "path", "outcome"),
        [
            ("GET", "/nowhere", (404, "4001")),
            ("PUT", "/notes", (405, "4003")),
            ("PROPFIND", "/notes", (405, "4003")),
        ],
    )
    async def test_of_routing_are_envelopes_too(
        self, caller: Asker, method: str, path: str, outcome: tuple[int, str]
    ) -> None:
        assert await caller.outcome(method, path) == outcome

    async def test_of_a_wrong_method_name_the_right_ones(self, caller: Asker) -> None:
        async with caller.ask("PUT", "/notes") as answer:
            assert "POST" in answer.headers["Allow"]

    @pytest.mark.parametrize(
        "line", [b"GET / HTTP/9.9", b"\x16\x03\x01", b"GET", b"GET / HTTP/1.1\r\nA B: c"]
    )
    async def test_of_the_protocol_show_no_trace_and_the_service_goes_on(
        self, served: House, caller: Asker, line: bytes
    ) -> None:
        answer = await say(served, line + b"\r\n\r\n")
        assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        assert b"Traceback" not in answer
        async with caller.ask("GET", "/health") as healthy:
            assert healthy.status == 200


class TestRequestIds:
    async def test_are_taken_over_and_echoed(self, caller: Asker) -> None:
        async with caller.ask("GET", "/seen", headers={"X-Request-ID": "request-0001"}) as answer:
            assert answer.headers["X-Request-ID"] == "request-0001"
            assert (await answer.json())["request_id"] == "request-0001"

    @pytest.mark.parametrize("offered", ["short", "x" * 65, "has a space", "line%0Abreak"])
    async def test_that_are_unfit_for_a_log_line_are_replaced(self, caller: Asker, offered: str) -> None:
        async with caller.ask("GET", "/seen", headers={"X-Request-ID": offered}) as answer:
            assert len(answer.headers["X-Request-ID"]) == 32

    @pytest.mark.parametrize("path", ["/download", "/crash", "/nowhere", "/metrics"])
    async def test_are_on_every_answer(self, caller: Asker, path: str) -> None:
        async with caller.ask("GET", path, headers={"X-Request-ID": "request-0001"}) as answer:
            assert answer.headers["X-Request-ID"] == "request-0001"


class TestStreams:
    async def test_come_whole_with_their_headers(self, caller: Asker) -> None:
        async with caller.ask("GET", "/download") as answer:
            assert answer.headers["Content-Type"] == "video/mp4"
            assert answer.headers["Content-Disposition"] == 'attachment; filename="all.mp4"'
            assert answer.content_length == 16 * parrot.MIB
            assert await answer.read() == b"".join(bytes([n]) * parrot.MIB for n in range(16))

    async def test_that_fail_in_the_middle_break_the_connection(self, caller: Asker) -> None:
        async with caller.ask("GET", "/broken") as answer:
            assert answer.status == 200
            with pytest.raises(aiohttp.ClientError):
                await answer.read()

    async def test_that_fail_before_the_first_piece_have_a_status(self, caller: Asker) -> None:
        assert await caller.outcome("GET", "/early") == (409, "4011")

    async def test_shorter_than_announced_break_the_connection(self, caller: Asker) -> None:
        async with asyncio.timeout(10), caller.ask("GET", "/short") as answer:
            assert answer.content_length == 10
            with pytest.raises(aiohttp.ClientError):
                await answer.read()


class TestMetrics:
    async def test_name_endpoints_by_their_template_and_never_what_a_caller_made_up(
        self, caller: Asker
    ) -> None:
        for method, path in (
            ("GET", "/repeat/parrot"),
            ("GET", "/made/up/path"),
            ("PROPFIND", "/repeat/parrot"),
            ("GET", "/repeat/parrot?times=9"),
        ):
            async with caller.ask(method, path):
                pass
        rendered = metrics.render().decode()
        assert 'endpoint="/repeat/{word}",method="GET",status="200"' in rendered
        assert 'endpoint="/repeat/{word}",method="GET",status="400"' in rendered
        assert 'endpoint="unmatched",method="-",status="404"' in rendered
        assert 'endpoint="unmatched",method="-",status="405"' in rendered
        assert "made/up" not in rendered
        assert "PROPFIND" not in rendered
        assert "parrot" not in rendered

    async def test_are_served_as_text(self, caller: Asker) -> None:
        async with caller.ask("GET", "/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "lucid_api_active_connections 1.0" in await answer.text()
