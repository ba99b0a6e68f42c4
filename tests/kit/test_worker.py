"""What clients of a service see: on several sockets, in a reload, in a stop, in a restart."""

import asyncio
import errno
import json
import random
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from lucid.dev.ca import Issued, ensure
from lucid.kit.tls import client_context, internal_name
from lucid.kit.worker import ServeOptions
from tests.kit.worker_process import free_port, listening, service, until

pytestmark = pytest.mark.quiet

QUICK = {"drain_seconds": 2, "graceful_timeout": 10}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def issued(tmp_path: Path) -> dict[str, Issued]:
    return ensure(tmp_path / "ca", ["storage", "recorder"])


def tls(files: Issued, mode: str) -> dict[str, str]:
    return {"cert": str(files.cert), "key": str(files.key), "ca": str(files.ca), "mode": mode}


class Connection:
    """One HTTP/1.1 keep-alive connection, spoken by hand so that nothing is retried or reconnected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        self.writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )

    async def answer(self) -> tuple[int, bool, bytes]:
        """Return status, whether the server said `Connection: close`, and the body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        return int(head.split()[1]), "connection: close" in head, await self.reader.readexactly(length)

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bool, bytes]:
        self.send(method, path, body)
        return await self.answer()


@asynccontextmanager
async def connection(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Connection]:
    name = internal_name("storage") if context else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def serial_at(port: int, context: ssl.SSLContext) -> int:
    async with connection(port, context) as opened:
        shown = opened.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown).serial_number


class TestSockets:
    async def test_plain_server_and_mutual_tls_are_served_by_one_process(
        self, tmp_path: Path, issued: dict[str, Issued]
    ) -> None:
        ports = {"plain": free_port(), "server": free_port(), "mutual": free_port()}
        listeners: list[dict[str, Any]] = [{"name": "plain", "port": ports["plain"]}]
        listeners += [
            {"name": mode, "port": ports[mode], "tls": tls(issued["storage"], mode)}
            for mode in ("server", "mutual")
        ]
        recorder = client_context(issued["recorder"].cert, issued["recorder"].key, issued["recorder"].ca)
        anonymous = ssl.create_default_context(cafile=issued["storage"].ca)
        stranger = ensure(tmp_path / "stranger", ["recorder"])["recorder"]
        foreign = client_context(stranger.cert, stranger.key, issued["storage"].ca)
        seen = {}
        async with service(tmp_path, *listeners) as running:
            await running.hears("READY=1")
            for name, context in {"plain": None, "server": anonymous, "mutual": recorder}.items():
                async with connection(ports[name], context) as opened:
                    status, _, body = await opened.ask("GET", "/")
                    assert status == 200
                    seen[name] = json.loads(body)
            for refused in (anonymous, foreign):
                with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                    async with connection(ports["mutual"], refused) as opened:
                        await opened.ask("GET", "/")
        assert len({each["pid"] for each in seen.values()}) == 1
        assert {name: each["peer"] for name, each in seen.items()} == {
            "plain": [],
            "server": [],
            "mutual": ["recorder.lucid.internal"],
        }

    async def test_a_reload_takes_renewed_certificates_and_survives_broken_ones(
        self, tmp_path: Path, issued: dict[str, Issued], port: int
    ) -> None:
        files = issued["storage"]
        context = client_context(issued["recorder"].cert, issued["recorder"].key, files.ca)
        mutual = {"name": "mutual", "port": port, "tls": tls(files, "mutual")}
        async with service(tmp_path, mutual, options=QUICK) as running:
            await running.hears("READY=1")
            first = await serial_at(port, context)
            files.cert.write_text("garbage")
            running.send(signal.SIGHUP)
            await running.logs("reload failed")
            await running.hears("READY=1", count=2)
            assert await serial_at(port, context) == first
            ensure(tmp_path / "ca", ["storage"])
            running.send(signal.SIGHUP)
            await running.hears("READY=1", count=3)
            await running.has_workers(1)
            assert await serial_at(port, context) != first

    async def test_unusable_certificates_stop_the_start(self, tmp_path: Path, port: int) -> None:
        gone = tmp_path / "gone.pem"
        mutual = {"name": "mutual", "port": port, "tls": tls(Issued(gone, gone, gone), "mutual")}
        async with service(tmp_path, mutual) as running:
            assert await running.ends() == 1
            assert f"cannot start: cert: cannot read {gone}" in running.log


class TestDraining:
    async def test_answers_what_came_before_and_asks_to_close(self, tmp_path: Path, port: int) -> None:
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(
                service(tmp_path, {"name": "plain", "port": port}, options=QUICK)
            )
            await running.hears("READY=1")
            slow, idle, health, watcher = [
                await stack.enter_async_context(connection(port)) for _ in range(4)
            ]
            assert await idle.ask("POST", "/echo", b"one") == (200, False, b"one")
            assert await health.ask("GET", "/ready") == (200, False, b"")
            slow.send("GET", "/slow?seconds=1")
            watcher.send("GET", "/until-draining")
            await asyncio.sleep(0.1)
            running.send(signal.SIGTERM)
            assert await watcher.answer() == (200, True, b"draining")
            assert await health.ask("GET", "/ready") == (503, True, b"")
            assert await idle.ask("POST", "/echo", b"two") == (200, True, b"two")
            # The one that is still busy keeps the door open.
            async with connection(port) as late:
                assert await late.ask("POST", "/echo", b"three") == (200, True, b"three")
            assert await slow.answer() == (200, True, b"done")
            await until(partial(_refused, port), within=1)
            # Every connection has ended, so nothing is waited for.
            assert await running.ends(within=1) == 0
            assert "resource closed" in running.log

    async def test_is_over_once_idle_connections_had_their_time(self, tmp_path: Path, port: int) -> None:
        options = {"drain_seconds": 1, "graceful_timeout": 10}
        async with service(tmp_path, {"name": "plain", "port": port}, options=options) as running:
            await running.hears("READY=1")
            async with connection(port) as idle:
                assert await idle.ask("POST", "/echo", b"one") == (200, False, b"one")
                running.send(signal.SIGTERM)
                assert await running.ends(within=1.9) == 0
                assert await idle.reader.read() == b""

    async def test_lets_an_upload_outlast_the_time_for_idle_connections(
        self, tmp_path: Path, port: int
    ) -> None:
        options = {"drain_seconds": 0.2, "graceful_timeout": 10}
        async with service(tmp_path, {"name": "plain", "port": port}, options=options) as running:
            await running.hears("READY=1")
            async with connection(port) as upload, connection(port) as idle:
                upload.writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n1")
                await asyncio.sleep(0.1)
                running.send(signal.SIGTERM)
                for part in (b"2", b"3", b"4", b"5"):
                    await asyncio.sleep(0.12)
                    upload.writer.write(part)
                assert await upload.answer() == (200, True, b"12345")
                assert await idle.reader.read() == b""
            assert await running.ends(within=2) == 0

    async def test_cancels_requests_that_never_end(self, tmp_path: Path, port: int) -> None:
        options = {"drain_seconds": 0.1, "graceful_timeout": 2}
        async with service(tmp_path, {"name": "plain", "port": port}, options=options) as running:
            await running.hears("READY=1")
            async with connection(port) as slow:
                slow.send("GET", "/slow?seconds=60")
                await asyncio.sleep(0.1)
                running.send(signal.SIGTERM)
                assert await running.ends(within=4) == 0
            assert "requests still run after 1.6 s and are cancelled" in running.log
            assert "resource closed" in running.log

    @pytest.mark.parametrize("before", [None, signal.SIGTERM])
    async def test_is_cut_short_by_an_interrupt(
        self, tmp_path: Path, port: int, before: signal.Signals | None
    ) -> None:
        async with service(tmp_path, {"name": "plain", "port": port}) as running:
            await running.hears("READY=1")
            async with connection(port) as slow:
                slow.send("GET", "/slow?seconds=60")
                await asyncio.sleep(0.1)
                if before is not None:
                    running.send(before)
                    await running.hears("STOPPING=1")
                running.send(signal.SIGINT)
                assert await running.ends(within=2) == 0
            assert "resource closed" in running.log


def _refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


async def post_until(done: asyncio.Event, port: int, answered: list[int]) -> None:
    """One client with one keep-alive connection; aiohttp never repeats a POST, so any loss raises."""
    chance = random.Random(0)  # noqa: S311  # lengths and pauses, no secrets
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=4)
    async with aiohttp.ClientSession(connector=connector) as client:
        while not done.is_set():
            body = chance.randbytes(chance.randrange(1, 20_000))
            async with client.post(f"http://127.0.0.1:{port}/echo", data=body) as answer:
                assert answer.status == 200
                assert await answer.read() == body
            answered.append(len(body))
            await asyncio.sleep(chance.random() * 0.03)


def _reached(answered: list[int], goal: int) -> bool:
    return len(answered) >= goal


class TestLoad:
    async def test_of_keep_alive_posts_loses_none_in_repeated_reloads(
        self, tmp_path: Path, port: int
    ) -> None:
        done, answered = asyncio.Event(), list[int]()
        plain = {"name": "plain", "port": port}
        async with service(tmp_path, plain, options={"workers": 2, "drain_seconds": 5}) as running:
            await running.hears("READY=1")
            async with asyncio.TaskGroup() as clients:
                for _ in range(8):
                    clients.create_task(post_until(done, port, answered))
                for reload in range(6):
                    running.send(signal.SIGHUP)
                    await running.hears("READY=1", count=reload + 2)
                    await asyncio.sleep(0.2)
                done.set()
            assert running.log.count("Booting worker") == 14
        assert len(answered) > 500

    async def test_of_keep_alive_posts_loses_none_in_a_restart_with_kept_sockets(
        self, tmp_path: Path
    ) -> None:
        done, answered = asyncio.Event(), list[int]()
        plain = {"name": "plain", "port": 1}
        with listening() as kept:
            async with asyncio.TaskGroup() as clients:
                for start in range(2):
                    async with service(tmp_path, plain, sockets={"plain": kept}) as running:
                        await running.hears("READY=1")
                        if start == 0:
                            for _ in range(8):
                                clients.create_task(post_until(done, kept.getsockname()[1], answered))
                        await until(partial(_reached, answered, len(answered) + 150), within=10)
                        if start == 1:
                            done.set()
                        running.send(signal.SIGTERM)
                        assert await running.ends() == 0
        assert len(answered) > 300


class TestMemory:
    async def test_is_freed_of_cycles_without_looking_through_what_stays(
        self, tmp_path: Path, port: int
    ) -> None:
        async with service(tmp_path, {"name": "plain", "port": port}) as running:
            await running.hears("READY=1")
            async with connection(port) as opened:
                _, _, body = await opened.ask("GET", "/waste?cycles=50000")
        told = json.loads(body)
        assert told["kept"] < 12_000
        assert told["spared"] > 10_000


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"workers": 0}, "workers must be at least 1, not 0"),
            ({"timeout": 1}, "timeout must be at least 2 s"),
            ({"drain_seconds": 8, "graceful_timeout": 10}, "drain_seconds .8. must be below 80 %"),
        ],
    )
    def test_that_cannot_work_are_refused(self, options: dict[str, Any], error: str) -> None:
        with pytest.raises(ValueError, match=error):
            ServeOptions(**options)
