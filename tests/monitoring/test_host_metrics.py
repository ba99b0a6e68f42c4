"""What lucid-host-metrics writes for node exporter: from systemctl's words, real files, a real server."""

import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lucid.dev import ca
from roles.node_exporter.files.usr.local.libexec.lucid import host_metrics

SHOWN = """\
Id=lucid-session-storage.service
ControlGroup=/lucid.slice/lucid-session-storage.service
MemoryCurrent=900000
MemoryMax=1000000
CPUUsageNSec=1500000000
CPUQuotaPerSecUSec=1s 500ms

Id=ssh.service
ControlGroup=/system.slice/ssh.service
MemoryCurrent=[not set]
MemoryMax=infinity
CPUUsageNSec=18446744073709551615
CPUQuotaPerSecUSec=infinity

Id=lucid-capture@17-4194304-998.service
ControlGroup=/lucid.slice/lucid-capture.slice/lucid-capture@17-4194304-998.service
MemoryCurrent=900000
MemoryMax=1000000
CPUUsageNSec=1500000000
CPUQuotaPerSecUSec=2s

Id=stopped.service
ControlGroup=
MemoryCurrent=[not set]
MemoryMax=1000000
CPUUsageNSec=[not set]
CPUQuotaPerSecUSec=250ms
"""
METRICS = """\
# HELP lucid_api_requests_total Requests answered.
# TYPE lucid_api_requests_total counter
lucid_api_requests_total{endpoint="/sessions/{session} x",status="200"} 7.0
lucid_chain_height 3.0
"""

Samples = dict[tuple[str, str], float]


def samples(text: str) -> Samples:
    """Values by sample and labels, as Prometheus' own parser reads them."""
    return {
        (
            sample.name,
            ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_units_are_set_beside_their_limits(tmp_path: Path) -> None:
    measured = samples(host_metrics.unit_metrics(list(host_metrics.parse_units(SHOWN)), tmp_path))
    unit = "unit=lucid-session-storage.service"
    assert measured == {
        ("lucid_unit_memory_bytes", unit): 900000,
        ("lucid_unit_memory_limit_bytes", unit): 1000000,
        ("lucid_unit_cpu_seconds_total", unit): 1.5,
        ("lucid_unit_cpu_limit_cores", unit): 1.5,
    }


@pytest.mark.parametrize(
    ("directory", "name"), [("lucid.slice", "inactive_file"), ("memory/lucid.slice", "total_inactive_file")]
)
def test_page_cache_that_can_be_dropped_is_not_memory_in_use(
    tmp_path: Path, directory: str, name: str
) -> None:
    group = tmp_path / directory / "lucid-session-storage.service"
    group.mkdir(parents=True)
    (group / "memory.stat").write_text(f"anon 1\n{name} 800000\nactive_file 5\n")
    measured = samples(host_metrics.unit_metrics(list(host_metrics.parse_units(SHOWN)), tmp_path))
    assert measured["lucid_unit_memory_bytes", "unit=lucid-session-storage.service"] == 100000


def test_systemctl_is_understood_as_it_answers_here() -> None:
    shown = host_metrics.show(["*.service"])
    if not shown:
        pytest.skip("no systemd runs on this machine")
    assert all(unit.name.endswith(".service") for unit in host_metrics.parse_units(shown))


def test_the_end_of_certificates_is_read_once_per_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    issued = ca.ensure(tmp_path / "ca", ["a-service"])["a-service"]
    path = issued.cert.rename(tmp_path / "a" / "a.crt")
    known: dict[tuple[Path, int], float | None] = {}
    measured = samples(host_metrics.certificate_metrics([path], known))
    end = measured["lucid_certificate_expiry_timestamp_seconds", f"file={path}"]
    assert abs(datetime.fromtimestamp(end, UTC) - datetime.now(UTC) - timedelta(days=30)) < timedelta(
        minutes=5
    )
    monkeypatch.setattr(host_metrics, "expiry", lambda _: pytest.fail("read again"))
    assert samples(host_metrics.certificate_metrics([path], known)) == measured


def test_a_file_that_is_no_certificate_rings_as_one_that_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.crt"
    path.write_text("not a certificate\n")
    measured = samples(host_metrics.certificate_metrics([path], {}))
    assert measured["lucid_certificate_expiry_timestamp_seconds", f"file={path}"] == 0


@pytest.fixture
def url() -> Iterator[str]:
    """A service that answers with METRICS at /metrics, with 404 elsewhere."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = METRICS.encode() if self.path == "/metrics" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_service_that_answers_is_up_and_its_metrics_say_whose_they_are(url: str) -> None:
    service = host_metrics.Service("api-gateway", "gateway", f"{url}/metrics")
    own = "cluster=gateway,{}service=api-gateway{}"
    assert samples(host_metrics.service_metrics(service)) == {
        ("lucid_api_requests_total", own.format("endpoint=/sessions/{session} x,", ",status=200")): 7,
        ("lucid_chain_height", own.format("", "")): 3,
        ("up", own.format("", "")): 1,
    }


@pytest.mark.parametrize("path", ["/elsewhere", ":1/"])
def test_a_service_that_does_not_answer_is_down(url: str, path: str) -> None:
    address = url.rpartition(":")[0] + path if path.startswith(":") else url + path
    service = host_metrics.Service("api-gateway", "gateway", address)
    assert samples(host_metrics.service_metrics(service)) == {
        ("up", "cluster=gateway,service=api-gateway"): 0
    }


def test_an_answer_that_is_no_metrics_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample"):
        host_metrics.labelled("<html>", {"service": "a"})


def test_the_command_writes_one_whole_file_for_each(url: str, tmp_path: Path) -> None:
    script = Path(host_metrics.__file__)
    options = ["--unit", "ssh*", "--certificates", str(tmp_path), "--service", "a", "b", f"{url}/metrics"]
    subprocess.run(["/usr/bin/python3", "-I", script, tmp_path, *options], check=True, timeout=30)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"lucid-units.prom", "lucid-certificates.prom", "lucid-service-a.prom"}
    assert samples((tmp_path / "lucid-service-a.prom").read_text())["up", "cluster=b,service=a"] == 1
