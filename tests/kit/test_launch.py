"""Services started as their units start them: `lucid serve NAME`, with sockets handed over as by systemd."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from lucid import catalog, variants
from lucid.kit import launch, settings
from lucid.kit.client import variable
from lucid.kit.tls import TlsConfig, internal_name
from tests.kit.live import HOST, House

pytestmark = pytest.mark.quiet

GATEWAY = catalog.load().services["api-gateway"]
HAND_OVER = """
import os, sys
for number, source in enumerate(sys.argv[1].split(",")):
    os.dup2(int(source), 3 + number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-W", "error", "-m", "lucid", "serve", "api-gateway"])
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    House(tmp_path / "tls", GATEWAY.name)
    return {
        "PATH": os.environ["PATH"],
        "STATE_DIRECTORY": str(tmp_path / "state"),
        "TLS_DIRECTORY": str(tmp_path / "tls"),
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        **{variable(callee): f"https://{HOST}:1" for callee in GATEWAY.calls},
    }


def serve(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a service that is not expected to start."""
    argv = [sys.executable, "-m", "lucid", "serve", "api-gateway"]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=20)


class TestRefusing:
    def test_to_start_without_its_settings_names_them_all(self) -> None:
        done = serve({"PATH": os.environ["PATH"], "DRAIN_SECONDS": "some"})
        assert done.returncode == 2
        assert done.stderr.startswith("lucid serve api-gateway: cannot start, settings at fault:\n")
        for name in ("STATE_DIRECTORY: is missing", "TLS_DIRECTORY: is missing", "DRAIN_SECONDS: "):
            assert name in done.stderr
        assert "Traceback" not in done.stderr

    def test_to_start_at_ports_that_there_are_not_names_the_variable(self) -> None:
        done = serve({"PATH": os.environ["PATH"], "LUCID_PORTS": "some"})
        assert done.returncode == 2
        assert "LUCID_PORTS: `some` is neither hosts nor local" in done.stderr
        assert "Traceback" not in done.stderr

    def test_to_start_where_it_may_not_write_names_the_setting(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "state").write_text("a file")
        done = serve(environment)
        assert done.returncode == 2
        assert "STATE_DIRECTORY: " in done.stderr
        assert "Traceback" not in done.stderr

    def test_to_call_services_whose_addresses_are_missing_names_them_all(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for callee in GATEWAY.calls:
            monkeypatch.delenv(variable(callee), raising=False)
        found = settings.Common(state_directory="/s", tls_directory="/t")
        with pytest.raises(settings.SettingsError) as caught:
            launch.service_client(found, GATEWAY.name)
        assert all(
            f"{variable(c)}: is missing (base URL, for example" in str(caught.value) for c in GATEWAY.calls
        )

    def test_to_make_a_client_for_a_service_that_calls_nobody(self) -> None:
        found = settings.Common(state_directory="/s", tls_directory="/t")
        with pytest.raises(settings.SettingsError, match="lets session-storage call nobody"):
            launch.service_client(found, "session-storage")


class TestListeners:
    def test_are_the_catalogue_s_and_plain_ones_on_loopback_only(self) -> None:
        found = settings.load(
            launch.LaunchSettings, {"STATE_DIRECTORY": "/s", "TLS_DIRECTORY": "/t", "BIND_ADDRESS": "::"}
        )
        listeners = launch.listeners(GATEWAY, found)
        assert [each.port for each in listeners] == [listen.port for listen in GATEWAY.listen]
        assert [each.host for each in listeners] == ["::", "127.0.0.1", "127.0.0.1"]
        assert [each.tls is None for each in listeners] == [False, True, True]
        assert [each.carried for each in listeners] == [False, False, True]

    def test_show_people_the_certificate_for_them_if_there_is_one(self) -> None:
        directories = {"STATE_DIRECTORY": "/s", "TLS_DIRECTORY": "/t"}
        public = {"TLS_PUBLIC_FILE": "/p/public.pem"}
        for environ, cert, key in (
            (directories, "/t/api-gateway.crt", "/t/api-gateway.key"),
            (directories | public, "/p/public.pem", "/p/public.pem"),
        ):
            config = launch.listeners(GATEWAY, settings.load(launch.LaunchSettings, environ))[0].tls
            assert config == TlsConfig(Path(cert), Path(key), None, "server")

    def test_show_other_services_their_own_all_the_same(self) -> None:
        storage = catalog.load().services["session-storage"]
        environ = {"STATE_DIRECTORY": "/s", "TLS_DIRECTORY": "/t", "TLS_PUBLIC_FILE": "/p/public.pem"}
        (only,) = launch.listeners(storage, settings.load(launch.LaunchSettings, environ))
        cert, key, ca = (
            Path(f"/t/{name}") for name in ("session-storage.crt", "session-storage.key", "ca.crt")
        )
        assert only.tls == TlsConfig(cert, key, ca, "mutual")

    def test_follow_the_column(self) -> None:
        found = settings.load(launch.LaunchSettings, {"STATE_DIRECTORY": "/s", "TLS_DIRECTORY": "/t"})
        shipped = catalog.load()
        entry = shipped.services["session-storage"].entry
        for column, port in (("hosts", entry.port), ("local", entry.local_port)):
            storage = variants.deployed(shipped, {"LUCID_PORTS": column}).services["session-storage"]
            (only,) = launch.listeners(storage, found)
            assert only.port == port
            assert only.tls is not None
            assert only.tls.mode == "mutual"


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_server((HOST, 0))) for _ in GATEWAY.listen]


@pytest.fixture
def running(
    environment: dict[str, str], sockets: list[socket.socket], tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    numbers = [each.fileno() for each in sockets]
    environment |= {
        "REDIS_URL": f"redis://{HOST}:1/0",
        "LISTEN_FDS": str(len(numbers)),
        "LISTEN_FDNAMES": ":".join(s.name for s in GATEWAY.listen),
    }
    stale = tmp_path / "state" / "metrics" / "counter_1.db"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier run")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", HAND_OVER, ",".join(map(str, numbers))],
            env=environment, pass_fds=numbers, stdout=log, stderr=log,
        )  # fmt: skip
    yield process
    process.kill()
    process.wait()


async def test_a_service_of_two_workers_counts_all_its_requests_and_stops_when_told(
    running: subprocess.Popen[bytes], sockets: list[socket.socket], tmp_path: Path
) -> None:
    secure, plain, _ = (each.getsockname()[1] for each in sockets)
    requests = 40
    # Each on a connection of its own, so that both workers get some.
    connector = aiohttp.TCPConnector(force_close=True, ssl=False)
    async with aiohttp.ClientSession(connector=connector) as session:
        for _ in range(requests):
            url = f"https://{HOST}:{secure}/api/v1/meta/info"
            async with session.get(url, server_hostname=internal_name(GATEWAY.name)) as answer:
                assert answer.status == 200
        for _ in range(5):
            async with session.get(f"http://{HOST}:{plain}/metrics") as answer:
                text = await answer.text()
            line = 'lucid_api_requests_total{endpoint="/api/v1/meta/info",method="GET",status="200"}'
            assert f"{line} {requests}.0" in text, (tmp_path / "log").read_text()
    begin = time.monotonic()
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=20) == 0, (tmp_path / "log").read_text()
    assert time.monotonic() - begin < 15
    lines = (tmp_path / "log").read_text().splitlines()
    assert all(line.startswith("{") and '"service":"api-gateway"' in line for line in lines), lines
