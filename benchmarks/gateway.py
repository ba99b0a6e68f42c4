"""What the gateway adds to a request: `python -m benchmarks.gateway [--json]`.

wrk, 64 kept connections on loopback, asks for 1 kB and for 100 kB: an nginx with the files itself, the same
through another nginx that passes on and limits but checks nobody, and through api-gateway with all it does
for a person: token, revocation, metrics, access log, a request written anew, a breaker. What is measured has
one processor core, wrk and the files' nginx share another. Needs the Debian packages wrk and nginx-light.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from rich.console import Console
from rich.table import Table

from lucid import catalog
from lucid.auth.tokens import Signer
from lucid.contracts.api_gateway import PREFIX, SERVICE
from lucid.dev import ca
from lucid.dev.servers import free_port
from lucid.kit.client import variable
from lucid.kit.revocations import RevocationPage

CORE, OTHER_CORE = "0", "1"
CONNECTIONS = 64
SIZES = {"1 kB": 1000, "100 kB": 100_000}
PATH = "/users/me"
OFFSET = 21_000
ENDLESS = "1000000000000"
"""A limit that is counted and never met."""
NGINX = """
daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/errors crit; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000000; open_file_cache max=100;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
  uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  {http}
}}
"""
FILES = "server {{ listen 127.0.0.1:{port}; root {root}; }}"
PASSING = """
  limit_req_zone $binary_remote_addr zone=all:1m rate=1000000r/s;
  upstream files {{ server 127.0.0.1:{files}; keepalive 128; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      limit_req zone=all burst=1000000 nodelay;
      proxy_pass http://files; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
"""


@dataclass(frozen=True)
class Result:
    """Figures of one way to the same answer."""

    answer: str
    way: str
    requests_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    """Answers other than 200."""


@contextmanager
def started(core: str, *command: str, **environment: str) -> Iterator[None]:
    """Runs a program on one core."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["taskset", "-c", core, *command], env=os.environ | environment, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


@contextmanager
def nginx(core: str, http: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        user = "user root;" if os.geteuid() == 0 else ""
        (directory / "nginx.conf").write_text(NGINX.format(directory=directory, user=user, http=http))
        with started(core, "nginx", "-p", made, "-c", str(directory / "nginx.conf")):
            yield


@contextmanager
def gateway(files: int) -> Iterator[int]:
    """api-gateway, every service of which is the nginx with the files; yields its plain port."""
    services = catalog.load().services
    port = next(listen.local_port for listen in services[SERVICE].listen if listen.name == "http") + OFFSET
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        ca.ensure(directory / "tls", [SERVICE])
        environment = {variable(name): f"http://127.0.0.1:{files}" for name in services}
        limits = ("AUTH_REQ_PER_MIN", "AUTH_BURST", "PUBLIC_REQ_PER_MIN", "PUBLIC_BURST")
        environment |= {f"RATE_LIMIT_{name}": ENDLESS for name in limits}
        environment |= {
            "DDOS_MAX_REQUESTS_PER_MIN": ENDLESS,
            "STATE_DIRECTORY": str(directory / "state"),
            "TLS_DIRECTORY": str(directory / "tls"),
            "LUCID_PORTS": "local",
            catalog.OFFSET_VARIABLE: str(OFFSET),
        }
        serve = f"from lucid.kit import launch; launch.run({SERVICE!r})"
        with started(CORE, sys.executable, "-c", serve, **environment):
            yield port


def write_files(root: Path, signer: Signer, size: int) -> None:
    """What the services would answer."""
    for name, content in {
        PATH: b"x" * size,
        "/auth/.well-known/jwks.json": msgspec.json.encode(signer.jwks),
        "/auth/revocations": msgspec.json.encode(RevocationPage(revocations=(), last=0)),
        "/health/ready": b"{}",
    }.items():
        file = root / name.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def wait_for(url: str) -> None:
    """Returns when something answers there."""
    until = time.monotonic() + 30
    while True:
        try:
            urlopen(url, timeout=1).close()  # noqa: S310 - our own address
        except (URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def measure(answer: str, way: str, url: str, token: str, seconds: float) -> Result:
    """One run of wrk."""
    command = ["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency"]
    command += ["-H", f"Authorization: Bearer {token}", url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    requests = re.search(r"Requests/sec:\s+([\d.]+)", said)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert requests, said
    return Result(
        answer,
        way,
        float(requests[1]),
        _percentile(said, 50),
        _percentile(said, 99),
        int(failed[1]) if failed else 0,
    )


def _percentile(said: str, percent: int) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", said)
    assert found, said
    return round(float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]], 2)


def main(arguments: list[str]) -> int:
    """Measures all ways, one after the other; exit 1 if an answer failed."""
    parser = argparse.ArgumentParser(description="What the gateway adds to a request.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    options = parser.parse_args(arguments)
    signer = Signer(os.urandom(32))
    token = signer.mint(str(uuid.uuid4()), "user", int(time.time()), str(uuid.uuid4()))
    files, passing = free_port(), free_port()
    results = []
    with (
        tempfile.TemporaryDirectory() as root,
        nginx(OTHER_CORE, FILES.format(port=files, root=root)),
        nginx(CORE, PASSING.format(port=passing, files=files)),
        gateway(files) as port,
    ):
        for answer, size in SIZES.items():
            write_files(Path(root), signer, size)
            for way, url in {
                "nginx itself": f"http://127.0.0.1:{files}{PATH}",
                "through nginx, limit_req": f"http://127.0.0.1:{passing}{PATH}",
                "through api-gateway": f"http://127.0.0.1:{port}{PREFIX}{PATH}",
            }.items():
                wait_for(url.replace(PATH, "/meta/info") if "gateway" in way else url)
                results.append(measure(answer, way, url, token, options.seconds))
    if options.json:
        print(json.dumps({"benchmark": "gateway", "results": [asdict(r) for r in results]}))
    else:
        table = Table(title=f"{CONNECTIONS} connections, one core for what is measured")
        for column in ("answer", "way", "requests/s", "p50 ms", "p99 ms", "failed"):
            table.add_column(column, justify="left" if column in {"answer", "way"} else "right")
        for r in results:
            table.add_row(
                r.answer, r.way, f"{r.requests_s:,.0f}", f"{r.p50_ms:g}", f"{r.p99_ms:g}", str(r.failed)
            )
        Console().print(table)
    return 1 if any(r.failed for r in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
