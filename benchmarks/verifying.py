"""What checking costs: `python -m benchmarks.verifying [--json]`.

1. Verification of a bundle with its chunks, beside bare SHA-256 over the same file, in turns. Target: 0.8.
2. Making and checking a proof in trees of 10^2 to 10^6 leaves: both grow with log n.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lucid.evidence import merkle
from lucid.evidence.steps import Outcome
from lucid.evidence.verify import verify
from tests.evidence.world import World

TARGET = 0.8
MIB = 1024 * 1024
CHUNK_SIZE = 8 * MIB
PIECE = MIB
PROOFS = 300


@dataclass(frozen=True)
class Verification:
    """Speed of verifying a bundle of `mib` MiB."""

    mib: int
    lucid_mb_s: float
    sha256_mb_s: float
    ratio: float


@dataclass(frozen=True)
class Proof:
    """One proof in a tree of `leaves`; microseconds, medians."""

    leaves: int
    hashes: int
    make_us: float
    check_us: float


def verification(directory: Path, chunks: int, rounds: int) -> Verification:
    """Times both over the same file, which is in the page cache."""
    world = World(chunks=chunks, chunk_size=CHUNK_SIZE, sound_chunks=0, anchored=(0,))
    path = directory / "bundle"
    path.write_bytes(world.bundle())

    def checked() -> None:
        with path.open("rb") as file:
            assert verify(file, world.trust).outcome is Outcome.VERIFIED

    def hashed() -> None:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)

    seconds = [(_seconds(checked), _seconds(hashed)) for _ in range(rounds)]
    size = path.stat().st_size
    ours, bare = (statistics.median(times) for times in zip(*seconds, strict=True))
    return Verification(
        mib=size // MIB,
        lucid_mb_s=round(size / ours / 1e6, 1),
        sha256_mb_s=round(size / bare / 1e6, 1),
        ratio=round(statistics.median(b / a for a, b in seconds), 3),
    )


def proof(leaves: int) -> Proof:
    """Inclusion proofs of leaves drawn at random."""
    rng = random.Random(leaves)  # noqa: S311 - which leaves, the same in every run
    hashes = [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(leaves)]
    tree = merkle.Tree(hashes)
    root = tree.root()
    made, checked, length = [], [], 0
    for _ in range(PROOFS):
        index = rng.randrange(leaves)
        begin = time.thread_time_ns()
        path = tree.inclusion_proof(index)
        middle = time.thread_time_ns()
        merkle.verify_inclusion(hashes[index], index, leaves, path, root)
        made.append(middle - begin)
        checked.append(time.thread_time_ns() - middle)
        length = max(length, len(path))
    return Proof(
        leaves, length, round(statistics.median(made) / 1e3, 1), round(statistics.median(checked) / 1e3, 1)
    )


def _seconds(work: Callable[[], None]) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def main(arguments: list[str]) -> int:
    """Prints the figures; exit 1 if verification misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--rounds", type=int, default=7, help="pairs to time")
    parser.add_argument("--chunks", type=int, default=32, help="chunks of 8 MiB in the bundle")
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="lucid-bench-") as name:
        found = verification(Path(name), options.chunks, options.rounds)
    proofs = [proof(10**power) for power in range(2, 7)]
    if options.json:
        figures = {"verification": asdict(found), "proofs": [asdict(p) for p in proofs]}
        print(json.dumps({"benchmark": "verifying", "target": TARGET, **figures}))
    else:
        _show(found, proofs)
    return 0 if found.ratio >= TARGET else 1


def _show(found: Verification, proofs: list[Proof]) -> None:
    table = Table(title=f"Verifying a bundle of {found.mib} MiB", caption=f"target: {TARGET} of SHA-256")
    for column in ("Lucid MB/s", "SHA-256 MB/s", "ratio"):
        table.add_column(column, justify="right")
    table.add_row(f"{found.lucid_mb_s:g}", f"{found.sha256_mb_s:g}", f"{found.ratio:.3f}")
    growth = Table(title="One inclusion proof")
    for column in ("leaves", "hashes", "make µs", "check µs"):
        growth.add_column(column, justify="right")
    for p in proofs:
        growth.add_row(f"{p.leaves:,}", str(p.hashes), f"{p.make_us:g}", f"{p.check_us:g}")
    console = Console()
    console.print(table)
    console.print(growth)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
