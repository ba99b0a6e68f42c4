"""Groups events into chunks of JSON lines, which follow on one another without a hole while it is listened.

Each chunk starts where the one before ended, so that time without events is time that was listened to. A
chunk is closed 10 s after its first event, or after 60 s; if it has no event then, it has one line that says
so. The first one of a run is closed at once: with it the recording shows that it listens.
"""

import msgspec

from lucid.sessions import events
from lucid.sessions.chunking import Chunk
from lucid.sessions.events import Line, Listening, Quiet, Still

EVENTS_MS = 10_000
QUIET_MS = 60_000
CHUNK_SIZE = 1024 * 1024
"""Bytes after which a chunk is closed, however young it is."""


class EventChunker:
    """Chunks of one track over any number of runs of the listener. Times are wall-clock milliseconds."""

    def __init__(self, track: str, not_before_ms: int = 0) -> None:
        """`not_before_ms` is the end of the track's last chunk, if there is one."""
        self._track = track
        self._start_ms = self._last_ms = not_before_ms
        self._run_ms: int | None = None
        self._first_ms: int | None = None
        """When the first event of the chunk came."""
        self._lines: list[bytes] = []
        self._size = 0

    def begin_run(self, started_ms: int) -> None:
        """The listener has begun, at this time."""
        self._run_ms = self._start_ms = self._last_ms = max(started_ms, self._last_ms)

    def add(self, event: Line | Still) -> list[Chunk]:
        """One line of the listener's, its time counted from its beginning. Raises ValueError before that."""
        if self._run_ms is None:
            raise ValueError("an event came before the listener's beginning")
        at = self._last_ms = max(self._run_ms + event.at, self._last_ms)
        # What is due is closed before the event: a chunk holds what came before its end.
        closed = self._close() if self._due(at) else []
        if not isinstance(event, Still):
            line = events.encode(msgspec.structs.replace(event, at=at))
            self._first_ms = at if self._first_ms is None else self._first_ms
            self._lines.append(line)
            self._size += len(line)
            if isinstance(event, Listening) or self._size >= CHUNK_SIZE:
                closed += self._close()
        return closed

    def finish(self) -> list[Chunk]:
        """The end of a run: what is left until the last line that came."""
        left = self._close() if self._lines or self._last_ms > self._start_ms else []
        self._run_ms = None
        return left

    def _due(self, at: int) -> bool:
        waited = self._first_ms is not None and at - self._first_ms >= EVENTS_MS
        return waited or at - self._start_ms >= QUIET_MS

    def _close(self) -> list[Chunk]:
        start, end = self._start_ms, self._last_ms
        lines = self._lines or [events.encode(Quiet(at=end, since=start))]
        self._start_ms, self._lines, self._size, self._first_ms = end, [], 0, None
        return [Chunk(self._track, tuple(lines), start, end, starts_run=False)]
