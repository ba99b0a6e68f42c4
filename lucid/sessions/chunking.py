"""Groups the fragments of a recording into chunks: the unit that is spooled, sealed and anchored.

A chunk holds the init segment of its encoder run, about a kilobyte, and then whole fragments that start on a
key frame: it can be played on its own, by whoever is given only this one. It is closed when it has reached
8 MiB or 10 s. The first fragment of a run is a chunk of its own: the encoder ends it after half a second,
so the recording proves within about a second that it has begun.

Times are wall-clock milliseconds since 1970 (UTC): the start of the run plus the encoder's decode time.
They never go backwards from chunk to chunk: a run that begins, by a wall clock that was set back, before
the end of the chunk before it is taken to begin at that end. The recording then claims a later time than
the clock showed, and the order of events stays true.
"""

from dataclasses import dataclass

from lucid.sessions.fmp4 import Fragment, InitSegment
from lucid.sessions.recording_errors import FragmentTooLargeError, MediaFormatError

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """A chunk is closed at ``size`` bytes or ``duration_ms``, and never exceeds ``max_size`` bytes."""

    size: int = 8 * MIB
    duration_ms: int = 10_000
    max_size: int = 16 * MIB


DEFAULT_LIMITS = ChunkLimits()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one track's recording. The bytes are ``b"".join(parts)``; times as in the module text."""

    track: str
    parts: tuple[bytes, ...]
    start_ms: int
    end_ms: int
    starts_run: bool

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))


class Chunker:
    """Chunks of one track over any number of encoder runs.

    ``not_before_ms`` is the end of the last chunk of an earlier life of the recorder, if there was one.
    """

    def __init__(self, track: str, limits: ChunkLimits = DEFAULT_LIMITS, not_before_ms: int = 0) -> None:
        self._track = track
        self._limits = limits
        self._last_ms = not_before_ms
        self._run_start_ms: int | None = None
        self._starts_run = False
        self._init = b""
        self._parts: list[bytes] = []
        self._size = 0
        self._start_ms = 0

    def begin_run(self, init: InitSegment, started_ms: int) -> list[Chunk]:
        """A new encoder run. Returns what was left of the run before.

        ``started_ms`` is the wall-clock time of its first picture.
        """
        left = self.finish()
        self._run_start_ms = max(started_ms, self._last_ms)
        self._starts_run = True
        self._init = init.data
        return left

    def add(self, fragment: Fragment) -> list[Chunk]:
        """Take a fragment; return the chunks that it closes: none, one or two.

        Raises:
            MediaFormatError: no run has begun, or the fragment does not start on a key frame.
            FragmentTooLargeError: the fragment does not fit into any chunk.
        """
        if self._run_start_ms is None:
            raise MediaFormatError("a fragment came before the init segment of its run")
        if not fragment.keyframe:
            raise MediaFormatError(f"the fragment at {fragment.start_ms} ms does not start on a key frame")
        size = len(fragment.data)
        if len(self._init) + size > self._limits.max_size:
            raise FragmentTooLargeError(
                f"the fragment at {fragment.start_ms} ms has {size} bytes and a chunk holds at most"
                f" {self._limits.max_size}: lower the quality or the frame rate"
            )
        closed = self._close() if self._size + size > self._limits.max_size else []
        if not self._parts:
            self._parts.append(self._init)
            self._size = len(self._init)
            self._start_ms = max(self._run_start_ms + fragment.start_ms, self._last_ms)
        self._parts.append(fragment.data)
        self._size += size
        self._last_ms = max(self._run_start_ms + fragment.end_ms, self._start_ms)
        return closed + self._close() if self._is_full() else closed

    def finish(self) -> list[Chunk]:
        """The end of the recording or of a run: returns the chunk begun, if it holds a fragment."""
        left = self._close() if self._parts else []
        self._run_start_ms = None
        self._parts = []
        self._size = 0
        return left

    def _is_full(self) -> bool:
        long_enough = self._last_ms - self._start_ms >= self._limits.duration_ms
        return self._starts_run or long_enough or self._size >= self._limits.size

    def _close(self) -> list[Chunk]:
        chunk = Chunk(self._track, tuple(self._parts), self._start_ms, self._last_ms, self._starts_run)
        self._parts = []
        self._size = 0
        self._starts_run = False
        return [chunk]
