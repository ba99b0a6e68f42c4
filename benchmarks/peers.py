"""Sealing beside age, restic and borg on the same data: `python -m benchmarks.peers [--json]`.

Each reads the same file, protects it and writes the result to the same disk, as a whole process; the clock is
the wall's, the processor time is what the operating system charged. They do different things and no figure
alone says which is better: age encrypts; restic and borg cut into chunks, look for duplicates, compress and
encrypt; Lucid cuts, compresses, encrypts and commits to each chunk by hash and key. Needs the Debian packages
age, restic and borgbackup.
"""

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.sealing import CHUNK_SIZE, noise, text_like, video_like

CHUNKS = 16
SEAL = """
import sys
from pathlib import Path
from lucid.evidence import sealing
from lucid.evidence.leaf import ChunkId
source, target = map(Path, sys.argv[1:])
with source.open("rb") as file, target.open("wb") as out:
    index = 0
    while raw := file.read({size}):
        chunk = ChunkId("018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27", 0, index)
        out.write(sealing.seal(bytes(32), chunk, raw, bytes(32)).data)
        index += 1
"""


@dataclass(frozen=True)
class Result:
    """Figures of one program for one kind of data."""

    data: str
    program: str
    mb_s: float
    """Bytes read over wall time, median."""
    cpu_s: float
    """User and system time, median."""
    stored_share: float
    """Bytes written over bytes read."""


@dataclass(frozen=True)
class Peer:
    """A program: what to do before each run, and the command."""

    name: str
    prepare: Callable[[Path], None]
    command: Callable[[Path, Path], list[str]]


def _run(command: list[str], **extra: str) -> None:
    secret = {
        "RESTIC_PASSWORD": "bench",
        "BORG_PASSPHRASE": "bench",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **secret, **extra})


def _identity(scratch: Path) -> str:
    key = scratch / "age.key"
    if not key.exists():
        _run(["age-keygen", "-o", str(key)])
    made = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True)
    return made.stdout.strip()


PEERS = (
    Peer(
        "Lucid",
        lambda _: None,
        lambda source, out: [
            sys.executable,
            "-c",
            SEAL.format(size=CHUNK_SIZE),
            str(source),
            str(out / "sealed"),
        ],
    ),
    Peer(
        "age",
        lambda _: None,
        lambda source, out: ["age", "-r", _identity(out.parent), "-o", str(out / "data.age"), str(source)],
    ),
    Peer(
        "restic",
        lambda out: _run(["restic", "init", "-r", str(out / "repo")]),
        lambda source, out: ["restic", "backup", "-r", str(out / "repo"), "--no-cache", "-q", str(source)],
    ),
    Peer(
        "borg",
        lambda out: _run(["borg", "init", "-e", "repokey-blake2", str(out / "repo")]),
        lambda source, out: ["borg", "create", "-C", "zstd,3", f"{out / 'repo'}::one", str(source)],
    ),
)


def measure(peer: Peer, source: Path, scratch: Path) -> tuple[float, float, int]:
    """Wall seconds, processor seconds and bytes written of one run into an empty place."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)  # of the run before, if there was one
    out.mkdir()
    peer.prepare(out)
    before = _size(out)
    command = peer.command(source, out)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    _run(command)
    wall = time.perf_counter() - begin
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return wall, cpu, _size(out) - before


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def main(arguments: list[str]) -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each program, in turns")
    options = parser.parse_args(arguments)
    if missing := [name for name in ("age", "restic", "borg") if shutil.which(name) is None]:
        print(f"missing: {', '.join(missing)} (apt-get install age restic borgbackup)", file=sys.stderr)
        return 2
    rng = random.Random(1)  # noqa: S311 - test data, the same in every run
    results = []
    with tempfile.TemporaryDirectory(prefix="lucid-bench-") as name:
        scratch = Path(name)
        for data, make in (("text", text_like), ("video", video_like), ("random", noise)):
            source = scratch / data
            source.write_bytes(b"".join(make(rng) for _ in range(CHUNKS)))
            runs = [
                {peer.name: measure(peer, source, scratch) for peer in PEERS} for _ in range(options.rounds)
            ]
            results += [_result(data, peer.name, source.stat().st_size, runs) for peer in PEERS]
            source.unlink()
    if options.json:
        print(json.dumps({"benchmark": "peers", "results": [asdict(r) for r in results]}))
    else:
        table = Table(title=f"Protecting a file of {CHUNKS * CHUNK_SIZE // 1024**2} MiB, whole processes")
        for column in ("data", "program", "MB/s", "CPU s", "stored / read"):
            table.add_column(column, justify="left" if column in {"data", "program"} else "right")
        for r in results:
            table.add_row(r.data, r.program, f"{r.mb_s:g}", f"{r.cpu_s:g}", f"{r.stored_share:.3f}")
        Console().print(table)
    return 0


def _result(data: str, program: str, size: int, runs: list[dict[str, tuple[float, float, int]]]) -> Result:
    wall, cpu, stored = (
        statistics.median(column) for column in zip(*(run[program] for run in runs), strict=True)
    )
    return Result(data, program, round(size / wall / 1e6, 1), round(cpu, 2), round(stored / size, 3))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
