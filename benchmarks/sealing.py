"""How much of the bare C libraries' speed sealing keeps: `python -m benchmarks.sealing [--json]`.

On one core and the same 8 MiB, `sealing.seal` runs against nothing but the primitives it is made of: zstd,
HKDF, AES-256-GCM and SHA-256 of the recording and of the result. The two take turns, in an order that
alternates; the ratio is the median over the pairs. Time is the thread's own processor time, so that other
work on the machine disturbs little. Target: at least 0.90 for each kind of data.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from rich.console import Console
from rich.table import Table

from lucid.evidence import sealing
from lucid.evidence.leaf import ChunkId

TARGET = 0.90
CHUNK_SIZE = 8 * 1024 * 1024
CHUNK = ChunkId("018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27", 0, 0)
KEY = bytes(32)
NONCE = bytes(32)


@dataclass(frozen=True)
class Result:
    """Figures for one kind of data."""

    data: str
    codec: str
    sealed_share: float
    """Sealed bytes per byte of recording."""
    lucid_mb_s: float
    bare_mb_s: float
    ratio: float
    """Lucid's speed over the bare libraries'."""


def text_like(rng: random.Random) -> bytes:
    """Log lines: what a terminal full of output compresses like."""
    words = [f"{rng.randrange(1 << 30):x}" for _ in range(3000)]
    lines = []
    size = 0
    while size < CHUNK_SIZE:
        line = f"2026-01-01T00:00:{rng.randrange(60):02} INFO {' '.join(rng.choices(words, k=9))}\n".encode()
        lines.append(line)
        size += len(line)
    return b"".join(lines)[:CHUNK_SIZE]


def video_like(rng: random.Random) -> bytes:
    """Fragmented MP4: coded pictures, which no longer compress, between boxes of sample tables, which do."""
    pieces = []
    size = 0
    while size < CHUNK_SIZE:
        table = b"".join((1000 + n % 7).to_bytes(4, "big") for n in range(150))
        pieces += [b"moof" + table, b"mdat" + rng.randbytes(rng.randrange(20_000, 120_000))]
        size += len(pieces[-1]) + len(pieces[-2])
    return b"".join(pieces)[:CHUNK_SIZE]


def noise(rng: random.Random) -> bytes:
    """Bytes without any structure."""
    return rng.randbytes(CHUNK_SIZE)


def bare(raw: bytes, compressor: zstandard.ZstdCompressor) -> None:
    """The same primitive calls as sealing makes, and nothing around them."""
    compressed = compressor.compress(raw)
    payload = compressed if len(compressed) * 100 <= len(raw) * 97 else raw
    material = HKDF(SHA256(), 64, os.urandom(32), b"lucid/chunk/v1" + bytes(28)).derive(KEY)
    sealed = AESGCM(material[:32]).encrypt(bytes(12), payload, bytes(38))
    hashlib.sha256(sealed).hexdigest()
    hashlib.sha256(raw).hexdigest()


def measure(name: str, raw: bytes, rounds: int) -> Result:
    """Time both on the same bytes, in turns."""
    compressor = zstandard.ZstdCompressor(level=sealing.ZSTD_LEVEL)
    sealed = sealing.seal(KEY, CHUNK, raw, NONCE)
    runs: list[Callable[[], object]] = [
        lambda: sealing.seal(KEY, CHUNK, raw, NONCE),
        lambda: bare(raw, compressor),
    ]
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for which in (0, 1) if number % 2 else (1, 0):
            start = time.thread_time()
            runs[which]()
            elapsed = time.thread_time() - start
            if number:  # the first round warms caches and allocators
                seconds[which].append(elapsed)
    lucid_s, bare_s = (statistics.median(times) for times in seconds)
    return Result(
        data=name,
        codec=sealed.codec,
        sealed_share=round(len(sealed.data) / len(raw), 3),
        lucid_mb_s=round(len(raw) / lucid_s / 1e6, 1),
        bare_mb_s=round(len(raw) / bare_s / 1e6, 1),
        ratio=round(statistics.median(b / a for a, b in zip(*seconds, strict=True)), 3),
    )


def main(arguments: list[str]) -> int:
    """Print the figures; exit 1 if one misses the target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=21, help="pairs to time for each kind of data")
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng = random.Random(1)  # noqa: S311 - test data, the same in every run
    samples = {"text": text_like(rng), "video": video_like(rng), "random": noise(rng)}
    results = [measure(name, raw, options.rounds) for name, raw in samples.items()]
    if options.json:
        print(json.dumps({"benchmark": "sealing", "target": TARGET, "results": [asdict(r) for r in results]}))
    else:
        table = Table(title="Sealing 8 MiB on one core", caption=f"target: {TARGET:.2f} of the C libraries")
        for column in ("data", "codec", "sealed / raw", "Lucid MB/s", "C libraries MB/s", "ratio"):
            table.add_column(column, justify="left" if column in {"data", "codec"} else "right")
        for r in results:
            colour = "green" if r.ratio >= TARGET else "red"
            table.add_row(
                r.data,
                r.codec,
                f"{r.sealed_share:.3f}",
                f"{r.lucid_mb_s:.0f}",
                f"{r.bare_mb_s:.0f}",
                f"[{colour}]{r.ratio:.3f}[/]",
            )
        Console().print(table)
    return 0 if all(r.ratio >= TARGET for r in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
