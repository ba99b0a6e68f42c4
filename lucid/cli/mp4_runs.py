"""Finds where each run of the encoder begins in a file of fragmented MP4 streams one after another.

Each chunk of a recording begins with the init segment of its run, `ftyp` and `moov` (ISO/IEC 14496-12 section
4.3). A run begins where the fragment after it is the encoder's first, or follows upon another run's init
segment; elsewhere the init segment only says again what a player knows, and is left out.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple


class Mp4Error(Exception):
    """The file is not a row of MP4 boxes."""


class Run(NamedTuple):
    """One run: its init segment, and the stretches of the file, from and to, that it consists of."""

    head: bytes
    spans: list[tuple[int, int]]


def find_runs(file: BinaryIO) -> list[Run]:
    """The runs of a seekable file, in order. Raises Mp4Error."""
    runs: list[Run] = []
    init: tuple[int, int] | None = None
    for kind, offset, size in _boxes(file):
        end = offset + size
        if kind in {b"ftyp", b"moov"}:
            init = (init[0] if init else offset, end)
        elif init:
            head = _read(file, *init)
            if not runs or head != runs[-1].head or _sequence_number(file, offset) == 1:
                runs.append(Run(head, [(init[0], end)]))
            else:
                runs[-1].spans.append((offset, end))
            init = None
        elif runs:
            begin, _ = runs[-1].spans.pop()
            runs[-1].spans.append((begin, end))
        else:
            raise Mp4Error(f"the recording begins with a box {kind!r}, not with ftyp")
    return runs


def _sequence_number(file: BinaryIO, offset: int) -> int:
    """The number of a fragment in its run, from 1: in `mfhd`, the first box in a `moof` (section 8.8.5)."""
    return int.from_bytes(_read(file, offset + 20, offset + 24), "big")


def _read(file: BinaryIO, begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(end - begin)


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
