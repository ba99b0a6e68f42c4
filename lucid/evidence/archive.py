"""A deterministic subset of POSIX ustar: plain files in a fixed order, and exactly one way to write each.

Any tar program unpacks such an archive. Reading accepts nothing but what writing produces: a header is parsed
for its name and size only, and must then equal the header written for that name and size. So links,
directories, extensions, owners and times cannot occur, and no byte is without meaning.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lucid.evidence.errors import FormatError

BLOCK = 512
END = bytes(2 * BLOCK)
"""What follows the last member; nothing follows this."""

_MAX_SIZE = 8**11 - 1
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive, whose bytes have not been read yet."""

    name: str
    size: int


def member_header(name: str, size: int) -> bytes:
    """Return the 512 bytes that come before a member's `size` bytes.

    Raise FormatError for a name that is not 1 to 100 printable ASCII characters or a size of 8 GiB or more.
    """
    if not (name.isascii() and name.isprintable() and 1 <= len(name) <= 100):
        raise FormatError("member name", f"{name!r} is not 1 to 100 printable ASCII characters")
    if not 0 <= size <= _MAX_SIZE:
        raise FormatError(name, f"{size} bytes do not fit into a ustar member")
    fields = (
        name.encode().ljust(100, b"\0"),
        b"0000644\0",  # mode
        b"0000000\0",  # uid
        b"0000000\0",  # gid
        b"%011o\0" % size,
        b"00000000000\0",  # mtime
        b" " * 8,  # checksum, summed as spaces
        b"0",  # a regular file
        bytes(100),  # link name
        b"ustar\x0000",
        bytes(32 + 32),  # names of user and group
        b"0000000\0" * 2,  # device
        bytes(155 + 12),  # prefix, end of block
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padding(size: int) -> bytes:
    """Return the zeros that come after a member's `size` bytes."""
    return bytes(-size % BLOCK)


class ArchiveReader:
    """Reads an archive once, front to back, from a stream that need not be seekable.

    `on_progress` is called with the number of bytes read so far.
    """

    def __init__(self, stream: BinaryIO, on_progress: Callable[[int], None] | None = None) -> None:
        self._stream = stream
        self._on_progress = on_progress
        self._position = 0

    def next_member(self) -> Member | None:
        """Return the next member, or None at the archive's end; the one before must have been read.

        Raise FormatError for bytes that this module would not have written.
        """
        block = self._exactly(BLOCK)
        if block == bytes(BLOCK):
            if self._exactly(BLOCK) != bytes(BLOCK):
                raise FormatError("archive", f"a lone zero block before byte {self._position}")
            if self._stream.read(1):
                raise FormatError("archive", f"data after its end at byte {self._position}")
            return None
        member = _parse_header(block)
        if member is None:
            raise FormatError("archive", f"not a canonical ustar header at byte {self._position - BLOCK}")
        return member

    def pieces(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes of the member that `next_member` returned last, then check its padding."""
        left = member.size
        while left:
            piece = self._exactly(min(left, _PIECE))
            left -= len(piece)
            yield piece
        if self._exactly(-member.size % BLOCK).strip(b"\0"):
            raise FormatError("archive", f"padding that is not zero before byte {self._position}")

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size) if size else b""
        while len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                raise FormatError("archive", f"cut off at byte {self._position + len(data)}")
            data += more
        self._position += size
        if self._on_progress:
            self._on_progress(self._position)
        return data


def _parse_header(block: bytes) -> Member | None:
    try:
        member = Member(block[:100].rstrip(b"\0").decode("ascii"), int(block[124:135], 8))
        return member if block == member_header(member.name, member.size) else None
    except (ValueError, FormatError):
        return None
