"""Any stretch of an answer is the same bytes, read from the parts that it touches alone."""

from collections.abc import AsyncGenerator

from hypothesis import given
from hypothesis import strategies as st

from lucid.sessions.parts import Part, held, stretch

PIECES = st.lists(st.binary(max_size=20), max_size=8)


@given(PIECES, st.integers(0, 170), st.integers(0, 170))
async def test_a_stretch_is_that_of_the_whole(pieces: list[bytes], first: int, stop: int) -> None:
    whole = b"".join(pieces)
    got = b"".join([piece async for piece in stretch([held(data) for data in pieces], first, stop)])
    assert got == whole[first:stop]


async def test_parts_outside_the_stretch_are_not_touched() -> None:
    asked: list[tuple[int, int, int]] = []

    def part(number: int) -> Part:
        async def read(first: int, stop: int) -> AsyncGenerator[bytes, None]:
            asked.append((number, first, stop))
            yield bytes(stop - first)

        return Part(10, read)

    got = [piece async for piece in stretch([part(n) for n in range(5)], 15, 30)]
    assert asked == [(1, 5, 10), (2, 0, 10)]
    assert sum(map(len, got)) == 15


async def test_a_part_is_closed_when_the_reader_leaves() -> None:
    closed = []

    async def read(first: int, stop: int) -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append((first, stop))

    pieces = stretch([Part(2, read)], 0, 2)
    assert await anext(pieces) == b"a"
    await pieces.aclose()
    assert closed == [(0, 2)]
