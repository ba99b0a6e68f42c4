"""What node exporter cannot say of a host, written for its textfile collector, again and again.

- memory and CPU time of systemd units beside their limits: `lucid_unit_*`;
- when the certificates on the host end: `lucid_certificate_expiry_timestamp_seconds`;
- the metrics of services that only this host may ask, with labels that say whose they are, and `up`.

Each is one file, replaced by renaming, so that no reader sees half of one. Only the standard library is used:
the program runs on hosts as their distribution ships them.
"""

import argparse
import math
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
TIMEOUT = 5.0
"""Longest wait for an answer of systemd, openssl or a service, seconds."""
PROPERTIES = ("Id", "ControlGroup", "MemoryCurrent", "MemoryMax", "CPUUsageNSec", "CPUQuotaPerSecUSec")
UNKNOWN = 2**64 - 1
"""What systemd answers for a counter that it does not keep."""
SPANS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
_OF_A_CONNECTION = re.compile(r"@[0-9]+-[0-9_]+-[0-9]+\.service")
"""Names of units that a socket has made for one connection: each name once, so they would fill a database."""
_SPAN = re.compile(r"([0-9.]+)(us|ms|s|min)")
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?( .*)")


@dataclass(frozen=True)
class Unit:
    """What systemd says of a running unit. None: not limited, or not known."""

    name: str
    control_group: str
    memory: int | None
    """Bytes in use, the page cache among them."""
    memory_limit: int | None
    cpu_seconds: float | None
    cpu_limit: float | None
    """Cores' worth of CPU time that it may use."""


@dataclass(frozen=True)
class Service:
    """A service whose metrics are fetched here, because only this host may ask it."""

    name: str
    cluster: str
    url: str


def parse_units(text: str) -> Iterator[Unit]:
    """The running units in the answer of `systemctl show`: blocks of NAME=VALUE between empty lines.

    Those of single connections are left out; their slice has their sum.
    """
    for block in text.strip().split("\n\n"):
        found = dict(line.partition("=")[::2] for line in block.splitlines())
        if found.get("ControlGroup") and not _OF_A_CONNECTION.search(found["Id"]):
            nanoseconds = _count(found.get("CPUUsageNSec", ""))
            yield Unit(
                name=found["Id"],
                control_group=found["ControlGroup"],
                memory=_count(found.get("MemoryCurrent", "")),
                memory_limit=_count(found.get("MemoryMax", "")),
                cpu_seconds=None if nanoseconds is None else nanoseconds / 1e9,
                cpu_limit=_span(found.get("CPUQuotaPerSecUSec", "")),
            )


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) != UNKNOWN else None


def _span(text: str) -> float | None:
    """Seconds in a time as systemd writes it, "1s 500ms"; None for "infinity" and for nothing."""
    parts = _SPAN.findall(text)
    return sum(float(number) * SPANS[unit] for number, unit in parts) if parts else None


def droppable(control_group: str, root: Path = CGROUPS) -> int:
    """Bytes of page cache of a control group that the kernel would drop before it runs out of memory.

    A unit that writes files fills its limit with them however little it needs, so they don't count as in use.
    Both hierarchies are understood: `inactive_file` of version 2, `total_inactive_file` of version 1.
    """
    relative = control_group.lstrip("/")
    for directory, name in (
        (root / relative, "inactive_file"),
        (root / "memory" / relative, "total_inactive_file"),
    ):
        try:
            lines = (directory / "memory.stat").read_text().splitlines()
        except OSError:
            continue
        return next(
            (int(value) for key, _, value in (line.partition(" ") for line in lines) if key == name), 0
        )
    return 0


def unit_metrics(units: Sequence[Unit], root: Path = CGROUPS) -> str:
    """Memory and CPU time of units, and their limits, in Prometheus' text format."""
    memory = {
        u.name: max(u.memory - droppable(u.control_group, root), 0) for u in units if u.memory is not None
    }
    families: Iterable[tuple[str, str, str, Mapping[str, float]]] = (
        ("lucid_unit_memory_bytes", "gauge", "Memory in use without droppable page cache, bytes.", memory),
        ("lucid_unit_memory_limit_bytes", "gauge", "MemoryMax, bytes.", _known(units, "memory_limit")),
        ("lucid_unit_cpu_seconds_total", "counter", "CPU time used, seconds.", _known(units, "cpu_seconds")),
        ("lucid_unit_cpu_limit_cores", "gauge", "CPUQuota, cores.", _known(units, "cpu_limit")),
    )
    return "".join(
        family(name, kind, what, [({"unit": unit}, value) for unit, value in values.items()])
        for name, kind, what, values in families
    )


def _known(units: Iterable[Unit], field: str) -> dict[str, float]:
    values = ((unit.name, getattr(unit, field)) for unit in units)
    return {name: value for name, value in values if value is not None}


def family(name: str, kind: str, what: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> str:
    """One metric in Prometheus' text format; nothing where it has no samples."""
    lines = [f"{name}{{{_pairs(labels)}}} {value!r}\n" for labels, value in samples]
    return "".join((f"# HELP {name} {what}\n# TYPE {name} {kind}\n", *lines)) if lines else ""


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def labelled(text: str, labels: Mapping[str, str]) -> str:
    """Metrics in Prometheus' text format with these labels before each sample's own.

    Raises ValueError for a line that is neither a comment nor a sample.
    """
    return "".join(_labelled(line, labels) + "\n" for line in text.splitlines() if line)


def _labelled(line: str, labels: Mapping[str, str]) -> str:
    if line.startswith("#"):
        return line
    sample = _SAMPLE.fullmatch(line)
    if sample is None:
        raise ValueError(f"{line[:80]!r} is no sample of a metric")
    name, own, value = sample.groups()
    pairs = ",".join(filter(None, (_pairs(labels), own)))
    return f"{name}{{{pairs}}}{value}"


def expiry(pem: Path) -> float | None:
    """When the first certificate in a file ends, seconds since 1970; None where there is none."""
    command = ["/usr/bin/openssl", "x509", "-in", str(pem), "-noout", "-enddate"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return ssl.cert_time_to_seconds(asked.stdout.strip().partition("=")[2]) if asked.returncode == 0 else None


def certificate_metrics(paths: Iterable[Path], known: dict[tuple[Path, int], float | None]) -> str:
    """When certificates end. `known` remembers what was read of a file, until the file is another."""
    ends = []
    for path in sorted(paths):
        key = (path, path.stat().st_mtime_ns)
        if key not in known:
            known[key] = expiry(path)
        # A file that cannot be read as a certificate is as bad as one that has ended, and rings as such.
        ends.append(({"file": str(path)}, known[key] or 0.0))
    return family(
        "lucid_certificate_expiry_timestamp_seconds", "gauge", "When the certificate ends, Unix time.", ends
    )


def service_metrics(service: Service) -> str:
    """The metrics of a service, and `up`: whether it answered, as Prometheus says of what it asks itself."""
    labels = {"service": service.name, "cluster": service.cluster}
    try:
        with urllib.request.urlopen(service.url, timeout=TIMEOUT) as answer:  # noqa: S310 - given by the operator
            text = labelled(answer.read().decode(), labels)
    except (OSError, ValueError) as error:
        print(f"{service.name} does not answer at {service.url}: {error}", file=sys.stderr)  # noqa: T201 - journal
        text = ""
    return text + family("up", "gauge", "Whether the service answered.", [(labels, float(bool(text)))])


def show(patterns: Sequence[str]) -> str:
    """What systemd says of the units that match; empty where it says nothing within the time."""
    command = ["/usr/bin/systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", *patterns]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""


def write(directory: Path, name: str, text: str) -> None:
    """Replaces one file of the collector's directory."""
    fresh = directory / f".{name}.new"  # without the ending that the collector looks for
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(directory / f"{name}.prom")


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, help="directory of node exporter's textfile collector")
    parser.add_argument("--unit", action="append", default=[], help="units, as systemctl's patterns")
    parser.add_argument("--certificates", type=Path, help="directory with NAME/NAME.crt")
    parser.add_argument(
        "--service",
        action="append",
        nargs=3,
        default=[],
        metavar=("NAME", "CLUSTER", "URL"),
        help="a service to ask",
    )
    parser.add_argument(
        "--every", type=float, default=math.inf, help="seconds between two rounds; once without"
    )
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Writes all files, and again every so often."""
    asked = arguments(given)
    services = [Service(*words) for words in asked.service]
    known: dict[tuple[Path, int], float | None] = {}
    while True:
        begin = time.monotonic()
        if asked.unit:
            write(asked.directory, "lucid-units", unit_metrics(list(parse_units(show(asked.unit)))))
        if asked.certificates:
            found = asked.certificates.glob("*/*.crt")
            write(asked.directory, "lucid-certificates", certificate_metrics(found, known))
        for service in services:
            write(asked.directory, f"lucid-service-{service.name}", service_metrics(service))
        if math.isinf(asked.every):
            return
        time.sleep(max(asked.every - (time.monotonic() - begin), 0))


if __name__ == "__main__":
    main()
