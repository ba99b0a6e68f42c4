"""Brings the chunks of a recording as a browser's Media Source Extensions want them, one after the other."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from lucid.cli.api import Api
from lucid.cli.output import Failure
from lucid.contracts import session_api
from lucid.contracts.session_access import WatchQuery
from lucid.contracts.session_api import ChunkRow, ChunksQuery
from lucid.contracts.types import SessionPath
from lucid.sessions.fmp4 import Fragment, FragmentSplitter, InitSegment
from lucid.sessions.recording_errors import MediaFormatError

PICTURE = 0
PAGE = 100
AT_ONCE = 6
"""Chunks of one request, which is one entry of the log; with ten seconds each, a minute."""
KEPT = 2 * AT_ONCE
POLL_SECONDS = 1.0
WAIT_SECONDS = 15.0
"""How long a question for a chunk that is not there yet is kept waiting."""
OVER = frozenset({"completed", "failed", "deleted"})
"""States of a session to which no chunk is added any more."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk. `codec`: its RFC 6381 name. `offset`: where its run's time 0 is in what is shown, seconds."""

    data: bytes
    codec: str
    offset: float


class RecordingOverError(Exception):
    """There are no more chunks, and will be none."""


async def newest(api: Api, session: str) -> int:
    """The index of the picture's newest chunk. Raises ApiError, and Failure if there is none."""
    pieces = Pieces(api, session, 0)
    await pieces.look()
    if not pieces.rows:
        raise Failure(f"session {session}: no chunk is stored yet; try again in a moment")
    return len(pieces.rows) - 1


@dataclass
class Pieces:
    """The picture's chunks from `first` on, where what is shown begins."""

    api: Api
    session: str
    first: int
    rows: list[ChunkRow] = field(default_factory=list, init=False)
    """Of the picture, by index."""
    _seen: int = field(default=0, init=False)
    """Rows of all tracks that were looked at."""
    _kept: OrderedDict[int, Piece] = field(default_factory=OrderedDict, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def piece(self, index: int) -> Piece | None:
        """The chunk of this index, from `first` on, waited for; None where it takes too long.

        Raises RecordingOverError, ApiError, Failure.
        """
        until = time.monotonic() + WAIT_SECONDS
        while True:
            async with self._turn:  # not held while waiting: another page may be further back
                if index not in self._kept:
                    await self.look()
                if index not in self._kept and index < len(self.rows):
                    await self._bring(index)
                if index in self._kept:
                    return self._kept[index]
                if await self._over():
                    raise RecordingOverError
            if time.monotonic() > until:
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Learns of the chunks that were stored since the last look. Raises ApiError."""
        while True:
            query = ChunksQuery(self.session, limit=PAGE, offset=self._seen)
            found = (await self.api.call(session_api.CHUNKS, query)).chunks
            self._seen += len(found)
            self.rows += [row for row in found if row.track == PICTURE]
            if len(found) < PAGE:
                return

    async def _over(self) -> bool:
        state = (await self.api.call(session_api.GET, SessionPath(self.session))).state
        if state not in OVER:
            return False
        before = len(self.rows)
        await self.look()  # the last chunk may have come just before that
        return len(self.rows) == before

    async def _bring(self, index: int) -> None:
        rows = self.rows[index : index + AT_ONCE]
        query = WatchQuery(self.session, first=index, limit=len(rows))
        async with self.api.stream(session_api.WATCH, query, {}) as answer:
            data = await answer.read()
        if len(data) != sum(row.plain_size for row in rows):
            raise Failure(f"session {self.session}: chunk {index} has not come whole; try again")
        begin = 0
        for row in rows:
            end = begin + row.plain_size
            self._kept[row.index] = self._piece(row, data[begin:end])
            begin = end
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _piece(self, row: ChunkRow, data: bytes) -> Piece:
        try:
            init, fragment, *_ = FragmentSplitter().feed(data)
        except (MediaFormatError, ValueError):
            raise Failure(f"session {self.session}: chunk {row.index} is no fragmented MP4") from None
        if not isinstance(init, InitSegment) or not isinstance(fragment, Fragment):
            raise Failure(f"session {self.session}: chunk {row.index} does not begin with an init segment")
        shown = (row.start_ms - self.rows[self.first].start_ms) / 1000
        return Piece(data, codec(init.data), shown - fragment.decode_time / fragment.timescale)


def codec(init: bytes) -> str:
    """The RFC 6381 name of an init segment's H.264 track: profile, constraints and level of its `avcC` box.

    Raises Failure if it has none.
    """
    at = init.find(b"avcC")
    if at < 0 or len(init) < at + 8:
        raise Failure("the recording is not H.264")
    return f"avc1.{init[at + 5 : at + 8].hex()}"
