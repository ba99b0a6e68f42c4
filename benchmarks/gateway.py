"""What the gateway costs, beside others that do as much: `python -m benchmarks.gateway [--json]`.

wrk on loopback asks a service for 1 kB and for 100 kB over 64 kept connections, straight and through

    lucid    api-gateway: token, ended logins, limits, metrics, access log, request written anew, breaker
    nginx    auth_request to our auth-proxy, limit_req, access log
    envoy    jwt_authn with its token cache, local_ratelimit, access log
    fastapi  FastAPI, uvicorn, httpx, the token checked anew, limits counted in Redis, access log

each with all its processes on one core; wrk, the service and Redis share another. They take turns, and
figures are medians over the rounds. Then bodies of 10 MB, in MB/s, and what the gateway adds to an answer's
time at half of its peak. Before anything is measured each is shown to refuse a forged token and, where it
knows of them, one of a login that was ended. Needs two cores and the Debian packages wrk and nginx-light.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.gateway_ways import ANSWERS, OTHER_CORE, Way, ways
from lucid.dev.errors import StackError

CONNECTIONS, UPLOADING = 64, 8
UPLOAD_SIZE = 10_000_000
TARGETS = {"fastapi": 40.0, "nginx": 5.0, "envoy": 0.7}
"""How many times as many requests a second as these the gateway is to answer."""
ADDED_MS = 5.0
"""What it may add to the 99th percentile at half of its peak."""
UPLOAD_SCRIPT = f"""
wrk.method = "PUT"
wrk.body = string.rep("x", {UPLOAD_SIZE})
wrk.headers["Content-Type"] = "application/octet-stream"
"""
PACED_SCRIPT = "function delay() return math.random(0, {most}) end\n"


@dataclass(frozen=True)
class Run:
    """What wrk says."""

    requests_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Result:
    """Medians of one way to one answer. `mib`: PSS of all its processes after the load, the most."""

    answer: str
    way: str
    requests_s: float
    p50_ms: float
    p99_ms: float
    mib: float


@dataclass(frozen=True)
class Upload:
    """Bodies of `UPLOAD_SIZE`, through one way."""

    way: str
    mb_s: float


@dataclass(frozen=True)
class Paced:
    """Requests at half of the gateway's peak, not as fast as they can be."""

    way: str
    requests_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Ratio:
    """What a target says and what was found: requests a second over another's, or milliseconds added."""

    what: str
    found: float
    target: float
    met: bool


class Measurement:
    """Rounds in which all ways take turns."""

    def __init__(self, scratch: Path, found: Sequence[Way], seconds: float) -> None:
        self._scratch = scratch
        self._ways = {way.name: way for way in found}
        self._seconds = seconds
        self._plain: dict[tuple[str, str], list[Run]] = {}
        self._uploads: dict[str, list[Run]] = {}
        self._paced: dict[str, list[Run]] = {}
        self._memory: dict[str, int] = {}

    def round(self) -> None:
        """One run of each. Raises RuntimeError if an answer failed."""
        for answer, (path, _) in ANSWERS.items():
            for way in self._ways.values():
                run = self._run(way, way.base + path, CONNECTIONS)
                self._plain.setdefault((answer, way.name), []).append(run)
                self._memory[way.name] = max(self._memory.get(way.name, 0), way.memory)
        for way in self._ways.values():
            if way.upload:
                run = self._run(way, way.upload, UPLOADING, UPLOAD_SCRIPT)
                self._uploads.setdefault(way.name, []).append(run)
        peak = _median(self._plain["1 kB", "lucid"])
        for name in ("service", "lucid"):
            pause = CONNECTIONS / (peak.requests_s / 2) * 1000
            script = PACED_SCRIPT.format(most=round(2 * pause))
            way = self._ways[name]
            run = self._run(way, way.base + ANSWERS["1 kB"][0], CONNECTIONS, script)
            self._paced.setdefault(name, []).append(run)

    def results(self) -> list[Result]:
        return [
            Result(answer, way, *_figures(runs), round(self._memory[way] / 2**20, 1))
            for (answer, way), runs in self._plain.items()
        ]

    def uploads(self) -> list[Upload]:
        size = UPLOAD_SIZE / 1e6
        return [Upload(way, round(_median(runs).requests_s * size)) for way, runs in self._uploads.items()]

    def paced(self) -> list[Paced]:
        return [Paced(way, *_figures(runs)) for way, runs in self._paced.items()]

    def ratios(self) -> list[Ratio]:
        """Medians of the ratios of each round, beside their targets."""
        found = []
        for answer in ANSWERS:
            ours = self._plain[answer, "lucid"]
            for way, target in TARGETS.items():
                pairs = zip(ours, self._plain[answer, way], strict=True)
                ratio = statistics.median(our.requests_s / their.requests_s for our, their in pairs)
                found.append(Ratio(f"{answer}: lucid / {way}", round(ratio, 2), target, ratio >= target))
        pairs = zip(self._paced["lucid"], self._paced["service"], strict=True)
        added = statistics.median(our.p99_ms - their.p99_ms for our, their in pairs)
        found.append(Ratio("ms added to p99 at half of peak", round(added, 2), ADDED_MS, added < ADDED_MS))
        return found

    def _run(self, way: Way, url: str, connections: int, script: str = "") -> Run:
        command = ["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{connections}", f"-d{self._seconds:g}s"]
        command += ["--timeout", "30s", "--latency", "-H", f"Authorization: Bearer {way.token}"]
        if script:
            file = self._scratch / "script.lua"
            file.write_text(script)
            command += ["-s", str(file)]
        said = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
        if failed := re.search(r"Non-2xx or 3xx responses.*|Socket errors.*", said):
            raise RuntimeError(f"{way.name}, {url}: {failed[0]}")
        run = read(said)
        if not run.requests_s:
            raise RuntimeError(
                f"{way.name}, {url}: no answer within {self._seconds:g} s; give more --seconds"
            )
        return run


def read(said: str) -> Run:
    """wrk's words as figures. Raises RuntimeError."""
    requests = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if requests is None:
        raise RuntimeError(f"wrk said: {said}")
    return Run(float(requests[1]), _percentile(said, 50), _percentile(said, 99))


def _percentile(said: str, percent: int) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)\b", said)
    if found is None:
        raise RuntimeError(f"wrk said: {said}")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[found[2]]


def _median(runs: Sequence[Run]) -> Run:
    columns = zip(*((run.requests_s, run.p50_ms, run.p99_ms) for run in runs), strict=True)
    return Run(*map(statistics.median, columns))


def _figures(runs: Sequence[Run]) -> tuple[float, float, float]:
    found = _median(runs)
    return round(found.requests_s), round(found.p50_ms, 2), round(found.p99_ms, 2)


def main(arguments: list[str]) -> int:
    """Prints the figures; exit 1 if one misses its target, 2 if they cannot be taken."""
    parser = argparse.ArgumentParser(description="What the gateway costs, beside others that do as much.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all take turns")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run of wrk")
    options = parser.parse_args(arguments)
    if missing := [name for name in ("wrk", "nginx") if shutil.which(name) is None]:
        print(f"missing: {', '.join(missing)} (apt-get install wrk nginx-light)", file=sys.stderr)
        return 2
    if len(os.sched_getaffinity(0)) < 2:
        print("two cores are needed: one for what is measured, one for those who ask", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="lucid-bench-") as scratch:
        try:
            with ways(Path(scratch)) as found:
                measured = Measurement(Path(scratch), found, options.seconds)
                for _ in range(options.rounds):
                    measured.round()
        except (StackError, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 2
    if options.json:
        figures: dict[str, list[Any]] = {
            "results": measured.results(),
            "uploads": measured.uploads(),
            "paced": measured.paced(),
            "ratios": measured.ratios(),
        }
        rows = {name: [asdict(row) for row in found] for name, found in figures.items()}
        print(json.dumps({"benchmark": "gateway", **rows}))
    else:
        _show(measured)
    return 0 if all(ratio.met for ratio in measured.ratios()) else 1


def _show(measured: Measurement) -> None:
    console = Console()
    table = Table("answer", "way", title=f"{CONNECTIONS} connections, one core for each way")
    for column in ("requests/s", "p50 ms", "p99 ms", "MiB"):
        table.add_column(column, justify="right")
    for r in measured.results():
        table.add_row(r.answer, r.way, f"{r.requests_s:,.0f}", f"{r.p50_ms:g}", f"{r.p99_ms:g}", f"{r.mib:g}")
    console.print(table)
    table = Table("way", "MB/s", title=f"Bodies of {UPLOAD_SIZE // 10**6} MB, {UPLOADING} connections")
    for u in measured.uploads():
        table.add_row(u.way, f"{u.mb_s:,.0f}")
    console.print(table)
    table = Table("way", "requests/s", "p50 ms", "p99 ms", title="1 kB at half of the gateway's peak")
    for p in measured.paced():
        table.add_row(p.way, f"{p.requests_s:,.0f}", f"{p.p50_ms:g}", f"{p.p99_ms:g}")
    console.print(table)
    table = Table("", "found", "target", "", title="Targets")
    for t in measured.ratios():
        limit = "under" if t.what.startswith("ms") else "at least"
        table.add_row(t.what, f"{t.found:g}", f"{limit} {t.target:g}", "met" if t.met else "missed")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
