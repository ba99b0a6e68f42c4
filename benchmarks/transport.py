"""From the recorder's spool to acknowledged durable storage: `python -m benchmarks.transport [--json]`.

A stack of its own is started as real processes with mutual TLS. Chunks are spooled, then sent by the
recorder's own delivery code: credits, PUT, sealing, storage with fsync and a majority write, receipt, leaf.
Beside it, in turns and in the same run, sealing alone on one core on the same bytes: the limit that no
transport can pass.
Targets: at least 0.3 of that limit for text, and 50 MB/s.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.sealing import KEY, NONCE, noise, text_like, video_like
from lucid import catalog
from lucid.contracts import chunk_processor as processor
from lucid.contracts import session_pipeline as pipeline
from lucid.contracts.session_recorder import StartRecording
from lucid.contracts.types import SessionPath
from lucid.dev import environment
from lucid.dev.layout import State
from lucid.evidence import sealing
from lucid.evidence.leaf import ChunkId
from lucid.kit.client import ServiceClient
from lucid.kit.settings import Secret
from lucid.kit.tls import client_context
from lucid.sessions.delivery import Delivery, Peers
from lucid.sessions.recording import Recording
from lucid.sessions.recording_state import State as RecordingState
from lucid.sessions.signer import Signer
from lucid.sessions.spool import Spool

SHARE_TARGET, MB_S_TARGET = 0.3, 50.0
MIB = 1024 * 1024


@dataclass(frozen=True)
class Result:
    """Figures for one kind of data. Stages are medians for a chunk, in milliseconds."""

    data: str
    chunk_mib: float
    chunks: int
    mb_s: float
    sealing_mb_s: float
    share: float
    """Throughput over sealing alone on one core."""
    seal_ms: float
    store_ms: float


@contextmanager
def stack(directory: Path) -> Iterator[State]:
    """A stack of its own, on ports of its own."""
    os.environ["LUCID_PORT_OFFSET"] = "6000"
    command = [sys.executable, "-m", "lucid", "dev", "--state", str(directory)]
    subprocess.run([*command, "--detach"], check=True, stderr=subprocess.DEVNULL)
    try:
        yield State.at(directory)
    finally:
        subprocess.run(
            [*command[:4], "stop", "--state", str(directory)], check=True, stderr=subprocess.DEVNULL
        )


def client_of(state: State, caller: str) -> ServiceClient:
    """A client with a service's own certificate."""
    urls = {name: environment.local_url(service) for name, service in catalog.load().services.items()}
    context = client_context(state.tls / f"{caller}.crt", state.tls / f"{caller}.key", state.tls / "ca.crt")
    return ServiceClient(urls, context)


async def send(state: State, name: str, chunks: list[bytes], scratch: Path) -> tuple[float, list[Any]]:
    """Spools the chunks, then sends them; returns the seconds of the sending and the receipts."""
    session = str(uuid.uuid4())
    api, recorder = client_of(state, "session-api"), client_of(state, "session-recorder")
    receipts: list[Any] = []
    call = recorder.call

    async def noted(route: Any, *arguments: Any, **options: Any) -> Any:
        answer = await call(route, *arguments, **options)
        if route is processor.PROCESS:
            receipts.append(answer)
        return answer

    recorder.call = noted  # type: ignore[method-assign]  # watches the receipts go by
    try:
        await api.call(processor.CREATE_KEY, SessionPath(session))
        await api.call(pipeline.SET_STATE, SessionPath(session), pipeline.SetState("active"))
        with Spool(scratch / f"spool-{name}-{session[:8]}", 64 * 1024 * MIB) as spool:
            kept = spool.create(session)
            for number, raw in enumerate(chunks):
                kept.append_chunk("0", [raw], number * 1000, number * 1000 + 1000)
            signer = Signer(Secret(os.urandom(32).hex().encode()), "recorder", "bench", scratch)
            recording = Recording(_state(session), kept)
            delivery = Delivery(recording, Peers(recorder, signer, 60.0))
            begin = time.perf_counter()
            while delivery.stored < len(chunks):
                await delivery.send()
            seconds = time.perf_counter() - begin
            kept.close()
    finally:
        await api.close()
        await recorder.close()
    return seconds, receipts


def _state(session: str) -> RecordingState:
    request = StartRecording(
        session=session,
        owner=session,
        display=":0",
        cookie="0" * 32,
        frame_rate=30,
        quality="high",
        policy_sha256="0" * 64,
        max_bytes=100 * 1024**3,
    )
    return RecordingState(request=request, phase="recording", started_ms=0)


def sealing_limit(chunks: list[bytes]) -> float:
    """Bytes a second of sealing alone, on one core."""
    begin = time.perf_counter()
    for index, raw in enumerate(chunks):
        sealing.seal(KEY, ChunkId(str(uuid.UUID(int=0)), 0, index), raw, NONCE)
    return sum(map(len, chunks)) / (time.perf_counter() - begin)


def measure(
    state: State, name: str, data: bytes, size: int, rounds: int, total: int, scratch: Path
) -> Result:
    """Sends and seals the same chunks in turns; medians over the rounds."""
    pieces = [data[start : start + size] for start in range(0, len(data) - size + 1, size)]
    chunks = [pieces[number % len(pieces)] for number in range(max(4, total // size))]
    rates, limits, receipts = [], [], []
    for _ in range(rounds):
        limits.append(sealing_limit(chunks))
        seconds, got = asyncio.run(send(state, name, chunks, scratch))
        rates.append(sum(map(len, chunks)) / seconds)
        receipts += got
    return Result(
        data=name,
        chunk_mib=size / MIB,
        chunks=len(chunks),
        mb_s=round(statistics.median(rates) / 1e6, 1),
        sealing_mb_s=round(statistics.median(limits) / 1e6, 1),
        share=round(statistics.median(r / x for r, x in zip(rates, limits, strict=True)), 3),
        seal_ms=round(statistics.median(r.seal_ms for r in receipts), 1),
        store_ms=round(statistics.median(r.store_ms for r in receipts), 1),
    )


def main(arguments: list[str]) -> int:
    """Prints the figures; exit 1 if text at 1 MiB misses a target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=3, help="rounds for each kind of data")
    parser.add_argument("--mib", type=int, default=96, help="MiB to send in each round")
    options = parser.parse_args(arguments)
    rng = random.Random(1)  # noqa: S311 - test data, the same in every run
    samples = {"text": text_like(rng), "video": video_like(rng), "random": noise(rng)}
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="lucid-bench-") as name:
        scratch = Path(name)
        with stack(scratch / "state") as state:
            results += (
                measure(state, data, raw, size, options.rounds, options.mib * MIB, scratch)
                for data, raw in samples.items()
                for size in (MIB, 8 * MIB)
            )
    if options.json:
        print(json.dumps({"benchmark": "transport", "results": [asdict(r) for r in results]}))
    else:
        Console().print(_table(results))
    text = results[0]
    return 0 if text.share >= SHARE_TARGET and text.mb_s >= MB_S_TARGET else 1


def _table(results: list[Result]) -> Table:
    title = "Spool to acknowledged durable storage, mutual TLS"
    table = Table(
        title=title, caption=f"targets for text at 1 MiB: {SHARE_TARGET} of sealing, {MB_S_TARGET:.0f} MB/s"
    )
    for column in ("data", "chunk MiB", "MB/s", "sealing MB/s", "share", "seal ms", "store ms"):
        table.add_column(column, justify="left" if column == "data" else "right")
    for r in results:
        figures = (r.chunk_mib, r.mb_s, r.sealing_mb_s, r.share, r.seal_ms, r.store_ms)
        table.add_row(r.data, *(f"{figure:g}" for figure in figures))
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
