"""Erasing a session while its chunks are being written."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from lucid.evidence.leaf import ChunkId
from lucid.sessions.chunk_files import ERASING, ChunkFiles

SESSION = "00000000-0000-4000-8000-000000000001"
DIGEST = "ab" * 32


def test_erasing_while_chunks_are_written_leaves_nothing_behind_and_breaks_nobody(tmp_path: Path) -> None:
    files, stop, written, refused = ChunkFiles(tmp_path, 0), threading.Event(), [0], list[Exception]()

    def write() -> None:
        while not stop.is_set():
            try:
                files.write(ChunkId(SESSION, 0, written[0] % 50), DIGEST, b"sealed")
            except FileNotFoundError:
                continue  # the session went while this chunk was on its way: its caller is told
            except OSError as error:
                refused.append(error)
            written[0] += 1

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(60):
            files.erase(SESSION)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    files.erase(SESSION)
    assert not refused
    assert written[0], "no chunk was ever written between two erasures"
    assert list(tmp_path.iterdir()) == []


def test_a_chunk_that_slips_into_what_was_set_aside_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As happens when the kernel is looking up a writer's path while the directory gets its new name."""
    files, remove, late = ChunkFiles(tmp_path, 0), os.rmdir, [b"one", b"two"]
    files.write(ChunkId(SESSION, 0, 0), DIGEST, b"sealed")

    def slip_in(path: Any, *, dir_fd: int | None = None) -> None:
        if str(path) == "0" and late:
            descriptor = os.open("0/late", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=dir_fd)
            os.write(descriptor, late.pop())
            os.close(descriptor)
        remove(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", slip_in)
    files.erase(SESSION)
    assert not late
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_erasure_set_aside_is_removed_at_the_next_start(tmp_path: Path) -> None:
    aside = tmp_path / f"{ERASING}0123456789abcdef" / "0"
    aside.mkdir(parents=True)
    (aside / f"00000000-{DIGEST[:16]}").write_bytes(b"sealed")
    files = ChunkFiles(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []
    assert files.sessions() == []
