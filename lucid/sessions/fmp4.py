"""Splits a fragmented MP4 byte stream into its init segment and its fragments, as the bytes arrive.

Formats: ISO/IEC 14496-12 (ISO base media file format), as written by ffmpeg with
``-movflags +empty_moov+default_base_moof+frag_keyframe``: ``ftyp moov (moof mdat)* mfra?``, one track.
The parser keeps to exactly that: any other top-level box means that something else than Lucid's encoder
wrote the stream, and is refused rather than passed over.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lucid.sessions.recording_errors import MediaFormatError

DEFAULT_MAX_BOX = 64 * 1024 * 1024

_NOT_A_SYNC_SAMPLE = 0x0001_0000  # sample_is_non_sync_sample, 14496-12 section 8.8.3.1
_NEXT = {
    "": ("ftyp",),
    "ftyp": ("moov",),
    "moov": ("moof", "mfra"),
    "moof": ("mdat",),
    "mdat": ("moof", "mfra"),
    "mfra": (),
}


@dataclass(frozen=True, slots=True)
class InitSegment:
    """``ftyp`` and ``moov``: what a player needs before any fragment. ``timescale`` is ticks a second."""

    data: bytes
    timescale: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """One ``moof`` and its ``mdat``. Times in ticks of the track's timescale, from the start of the run."""

    data: bytes
    keyframe: bool
    decode_time: int
    duration: int
    timescale: int

    @property
    def start_ms(self) -> int:
        return self.decode_time * 1000 // self.timescale

    @property
    def end_ms(self) -> int:
        return (self.decode_time + self.duration) * 1000 // self.timescale


class _Box(NamedTuple):
    kind: str
    body: memoryview


class _SampleDefaults(NamedTuple):
    duration: int
    flags: int


class FragmentSplitter:
    """Feed it the stream of one encoder run in pieces of any size.

    ``max_box`` bounds the declared size of each box in bytes, and so the memory held.
    """

    def __init__(self, max_box: int = DEFAULT_MAX_BOX) -> None:
        self._max_box = max_box
        self._buffer = bytearray()
        self._previous = ""
        self._head = b""  # the ftyp waiting for its moov, or the moof waiting for its mdat
        self._timescale = 0
        self._defaults = _SampleDefaults(0, 0)

    @property
    def unfinished(self) -> int:
        """Bytes received that do not make a whole segment yet. After the end of the stream: bytes lost."""
        return len(self._head) + len(self._buffer)

    def feed(self, data: bytes) -> list[InitSegment | Fragment]:
        """Take the next bytes and return the segments they complete, in order.

        Raises:
            MediaFormatError: the stream is not what the module's description says. The splitter must not
                be fed again afterwards.
        """
        self._buffer += data
        segments: list[InitSegment | Fragment] = []
        while (header := self._header()) is not None:
            kind, header_size, size = header
            if len(self._buffer) < size:
                break
            box = bytes(memoryview(self._buffer)[:size])
            del self._buffer[:size]
            self._previous = kind
            if kind in {"ftyp", "moof"}:
                self._head = box
            elif kind == "moov":
                segments.append(self._init_segment(box, header_size))
            elif kind == "mdat":
                segments.append(self._fragment(box))
        return segments

    def _header(self) -> tuple[str, int, int] | None:
        """The next box's kind, header size and whole size, once enough bytes are there to tell."""
        if len(self._buffer) < 8:
            return None
        size, kind = _size_and_kind(self._buffer)
        if kind not in _NEXT[self._previous]:
            expected = " or ".join(_NEXT[self._previous]) or "the end of the stream"
            raise MediaFormatError(
                f"MP4 box {kind!r} after {self._previous or 'nothing'!r}: expected {expected}"
            )
        header_size = 8
        if size == 1:
            if len(self._buffer) < 16:
                return None
            header_size, size = 16, int.from_bytes(self._buffer[8:16], "big")
        if not header_size <= size <= self._max_box:
            raise MediaFormatError(
                f"MP4 box {kind!r} declares {size} bytes: allowed are {header_size} to {self._max_box}"
            )
        return kind, header_size, size

    def _init_segment(self, moov: bytes, header_size: int) -> InitSegment:
        track = _one(_children(memoryview(moov)[header_size:]), "trak", "moov")
        media = _one(_children(track), "mdia", "trak")
        self._timescale = _timescale(_one(_children(media), "mdhd", "mdia"))
        extends = _one(_children(memoryview(moov)[header_size:]), "mvex", "moov")
        # trex: version and flags, track, description index, then the defaults (section 8.8.3)
        _, _, _, duration, _, flags = _unpack(">6I", _one(_children(extends), "trex", "mvex"), 0, "trex")
        self._defaults = _SampleDefaults(duration, flags)
        head, self._head = self._head, b""
        return InitSegment(head + moov, self._timescale)

    def _fragment(self, mdat: bytes) -> Fragment:
        moof, self._head = self._head, b""
        header_size = 16 if moof[:4] == b"\0\0\0\1" else 8
        run = list(_children(_one(_children(memoryview(moof)[header_size:]), "traf", "moof")))
        defaults = _track_defaults(_one(run, "tfhd", "traf"), self._defaults)
        duration, first_flags = _samples(_one(run, "trun", "traf"), defaults)
        return Fragment(
            data=moof + mdat,
            keyframe=not first_flags & _NOT_A_SYNC_SAMPLE,
            decode_time=_decode_time(_one(run, "tfdt", "traf")),
            duration=duration,
            timescale=self._timescale,
        )


def _size_and_kind(header: bytes | bytearray | memoryview) -> tuple[int, str]:
    return int.from_bytes(header[:4], "big"), bytes(header[4:8]).decode("latin-1")


def _unpack(layout: str, body: memoryview, offset: int, kind: str) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, body, offset)
    except struct.error:
        raise MediaFormatError(f"MP4 box {kind!r} is cut short at {len(body)} bytes") from None


def _children(body: memoryview) -> Iterator[_Box]:
    """The boxes inside a container box, each without its 8-byte header."""
    while body:
        if len(body) < 8:
            raise MediaFormatError("an MP4 container box ends inside the header of a box in it")
        size, kind = _size_and_kind(body)
        if not 8 <= size <= len(body):
            raise MediaFormatError(f"MP4 box {kind!r} declares {size} bytes where {len(body)} are left")
        yield _Box(kind, body[8:size])
        body = body[size:]


def _one(boxes: Iterator[_Box] | list[_Box], kind: str, parent: str) -> memoryview:
    found = [box.body for box in boxes if box.kind == kind]
    if len(found) != 1:
        raise MediaFormatError(f"MP4 box {parent!r} holds {len(found)} boxes {kind!r}: a recording has one")
    return found[0]


def _timescale(mdhd: memoryview) -> int:
    """Section 8.4.2: two times of 4 (version 0) or 8 bytes each precede the timescale."""
    version = _unpack(">B", mdhd, 0, "mdhd")[0]
    (timescale,) = _unpack(">I", mdhd, 20 if version == 1 else 12, "mdhd")
    if timescale == 0:
        raise MediaFormatError("MP4 box 'mdhd' declares a timescale of 0")
    return timescale


def _track_defaults(tfhd: memoryview, defaults: _SampleDefaults) -> _SampleDefaults:
    """Section 8.8.7: optional fields present by flag, in this order."""
    flags, _track = _unpack(">2I", tfhd, 0, "tfhd")
    offset = 8
    duration, sample_flags = defaults
    for flag, layout in ((0x1, ">Q"), (0x2, ">I"), (0x8, ">I"), (0x10, ">I"), (0x20, ">I")):
        if flags & flag:
            (value,) = _unpack(layout, tfhd, offset, "tfhd")
            offset += struct.calcsize(layout)
            if flag == 0x8:
                duration = value
            elif flag == 0x20:
                sample_flags = value
    return _SampleDefaults(duration, sample_flags)


def _decode_time(tfdt: memoryview) -> int:
    """Section 8.8.12: 8 bytes in version 1, 4 in version 0."""
    version = _unpack(">B", tfdt, 0, "tfdt")[0]
    return _unpack(">Q" if version == 1 else ">I", tfdt, 4, "tfdt")[0]


def _samples(trun: memoryview, defaults: _SampleDefaults) -> tuple[int, int]:
    """Section 8.8.8: the run's whole duration, and the flags of its first sample."""
    flags, count = _unpack(">2I", trun, 0, "trun")
    flags &= 0xFF_FFFF
    if count == 0:
        raise MediaFormatError("MP4 box 'trun' holds no samples")
    offset = 8 + 4 * bool(flags & 0x1)
    first_flags = defaults.flags
    if flags & 0x4:
        (first_flags,) = _unpack(">I", trun, offset, "trun")
        offset += 4
    # Per sample, each present by flag: duration, size, flags, composition offset.
    fields = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
    if len(trun) != offset + 4 * len(fields) * count:
        raise MediaFormatError(f"MP4 box 'trun' holds {len(trun)} bytes, not those of its {count} samples")
    values = _unpack(f">{len(fields) * count}I", trun, offset, "trun")
    if 0x400 in fields and not flags & 0x4:
        first_flags = values[fields.index(0x400)]
    duration = sum(values[:: len(fields)]) if 0x100 in fields else defaults.duration * count
    return duration, first_flags
