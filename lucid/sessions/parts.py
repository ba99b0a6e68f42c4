"""A long answer as parts laid end to end: any stretch of it is read from the parts that it touches alone."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass

Reader = Callable[[int, int], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes; `read(first, stop)` gives those from `first` to before `stop`."""

    size: int
    read: Reader


def held(data: bytes) -> Part:
    """Bytes that are at hand."""

    async def read(first: int, stop: int) -> AsyncGenerator[bytes, None]:
        yield data[first:stop]

    return Part(len(data), read)


async def stretch(parts: Iterable[Part], first: int, stop: int) -> AsyncGenerator[bytes, None]:
    """The bytes from `first` to before `stop` of the parts one after the other."""
    begin = 0
    for part in parts:
        end = begin + part.size
        if max(first, begin) < min(stop, end):
            pieces = part.read(max(first - begin, 0), min(stop - begin, part.size))
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    yield piece
        begin = end
