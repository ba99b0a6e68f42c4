"""Finds where each run of the encoder begins in a file of fragmented MP4 streams one after another.

A run begins with a top-level `ftyp` box (ISO/IEC 14496-12 section 4.3).
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class Mp4Error(Exception):
    """The file is not a row of MP4 boxes."""


class Run(NamedTuple):
    """Bytes [`begin`, `end`) of the file, and how many of them lie before the first fragment."""

    begin: int
    end: int
    head: int


def find_runs(file: BinaryIO) -> list[Run]:
    """The runs of a seekable file, in order. Raises Mp4Error."""
    starts: list[int] = []
    heads: list[int] = []
    end = 0
    for kind, offset, size in _boxes(file):
        if kind == b"ftyp":
            starts.append(offset)
            heads.append(0)
        elif not starts:
            raise Mp4Error(f"the recording begins with a box {kind!r}, not with ftyp")
        if kind in {b"ftyp", b"moov"}:
            heads[-1] += size
        end = offset + size
    return [Run(*run) for run in zip(starts, [*starts[1:], end], heads, strict=True)] if starts else []


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, offset and size of each top-level box."""
    length = file.seek(0, io.SEEK_END)
    offset = 0
    while offset < length:
        file.seek(offset)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size < 8 or offset + size > length:
            raise Mp4Error(f"the recording is cut off or damaged at byte {offset} of {length}")
        yield header[4:8], offset, size
        offset += size
