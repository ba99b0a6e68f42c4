"""Xauthority files: finding a display's cookie, and writing a file with just that one.

Format (Xau(3), libXau's AuFileName and AuRead): entries one after another, each a 2-byte family and four
strings (address, display number, authorisation name, authorisation data), each preceded by its 2-byte
length; all integers big-endian.
"""

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lucid.sessions.recording_errors import XauthorityError

FAMILY_LOCAL = 256
FAMILY_WILD = 65535
COOKIE_NAME = b"MIT-MAGIC-COOKIE-1"
COOKIE_SIZE = 16


@dataclass(frozen=True, slots=True)
class XauthorityEntry:
    """One entry. ``number`` is the display number in ASCII digits, or empty for every display."""

    family: int
    address: bytes
    number: bytes
    name: bytes
    data: bytes = field(repr=False)


def parse(content: bytes) -> list[XauthorityEntry]:
    """Read a whole file's content.

    Raises:
        XauthorityError: the content ends inside an entry.
    """
    entries: list[XauthorityEntry] = []
    offset = 0
    while offset < len(content):
        family, offset = _integer(content, offset)
        strings = []
        for _ in range(4):
            length, offset = _integer(content, offset)
            if offset + length > len(content):
                raise XauthorityError(f"the Xauthority file ends inside entry {len(entries) + 1}")
            strings.append(content[offset : offset + length])
            offset += length
        entries.append(XauthorityEntry(family, *strings))
    return entries


def serialise(entries: Iterable[XauthorityEntry]) -> bytes:
    """The file content for these entries.

    Raises:
        XauthorityError: a string is longer than 65535 bytes.
    """
    content = bytearray()
    for entry in entries:
        content += struct.pack(">H", entry.family)
        for string in (entry.address, entry.number, entry.name, entry.data):
            if len(string) > 0xFFFF:
                raise XauthorityError(f"an Xauthority string has {len(string)} bytes, at most 65535 fit")
            content += struct.pack(">H", len(string)) + string
    return bytes(content)


def find_cookie(entries: Iterable[XauthorityEntry], display: int) -> bytes:
    """The cookie of this machine's display ``:display``: the first entry that fits, as libXau chooses.

    Only entries for local displays count, whatever host name they carry: a machine may be renamed while
    its sessions run.

    Raises:
        XauthorityError: no entry fits.
    """
    number = str(display).encode()
    for entry in entries:
        local = entry.family in {FAMILY_LOCAL, FAMILY_WILD}
        if local and entry.number in {b"", number} and entry.name == COOKIE_NAME:
            return entry.data
    raise XauthorityError(f"the Xauthority file holds no MIT-MAGIC-COOKIE-1 for display :{display}")


def write_cookie(path: Path, display: int, cookie: bytes) -> None:
    """Write a new file, readable by its owner only, with one entry that fits under any host name.

    A file already there is replaced, never opened: it might belong to somebody else.

    Raises:
        XauthorityError: the cookie does not have 16 bytes.
        OSError: the file cannot be written.
    """
    if len(cookie) != COOKIE_SIZE:
        raise XauthorityError(f"the cookie of display :{display} has {len(cookie)} bytes, not {COOKIE_SIZE}")
    entry = XauthorityEntry(FAMILY_WILD, b"", str(display).encode(), COOKIE_NAME, cookie)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(serialise([entry]))


def _integer(content: bytes, offset: int) -> tuple[int, int]:
    if offset + 2 > len(content):
        raise XauthorityError("the Xauthority file ends inside an entry")
    return int.from_bytes(content[offset : offset + 2], "big"), offset + 2
