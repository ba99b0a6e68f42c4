"""The lines of an events track, each a JSON object: what was typed, clicked and copied (formats, section 5).

The listener writes them with times of its own. The recorder reads them strictly, for the listener has read
what programs of the desktop have said, and writes them again with times of the wall clock.
"""

from typing import Annotated, Literal

import msgspec

from lucid.contracts.session_recorder import Events
from lucid.evidence.fields import Count, Millis

LONGEST_LINE = 512 * 1024
"""Bytes: 64 KiB of text, each of them escaped."""

Label = Annotated[str, msgspec.Meta(max_length=100)]
Coordinate = Annotated[int, msgspec.Meta(ge=-(2**15), lt=2**15)]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", omit_defaults=True):
    """Something that happened. ``at`` is in ms: the listener's since it began, the track's since 1970."""

    at: Millis


class Listening(Event, frozen=True, kw_only=True, tag="listening"):
    """The listener has begun; from here on nothing is missed."""

    to: tuple[Events, ...]


class Key(Event, frozen=True, kw_only=True, tag="key"):
    """A key went down or up. ``key`` is its character or X's name for it, ``text`` what was typed by it."""

    down: bool
    keycode: Count
    keysym: Count
    key: Label
    modifiers: tuple[Label, ...]
    text: Label = ""
    repeated: bool = False


class Button(Event, frozen=True, kw_only=True, tag="button"):
    """A button went down or up; 4 to 7 are the wheel's. Where the pointer was then, in pixels."""

    down: bool
    button: Count
    x: Coordinate
    y: Coordinate


class Pointer(Event, frozen=True, kw_only=True, tag="pointer"):
    """The pointer has moved, to there."""

    x: Coordinate
    y: Coordinate


class Clipboard(Event, frozen=True, kw_only=True, tag="clipboard"):
    """Something was put into the clipboard, or taken out of it by its owner (``nobody``)."""

    owner: Literal["client", "desktop", "nobody"] = msgspec.field(name="from")
    types: tuple[Label, ...]
    text: str | None = None
    size: Count | None = None
    """Of the whole text in bytes, where that is known."""
    cut: bool = False
    not_kept: Label = ""
    """Why there is no text."""


class LeftOut(Event, frozen=True, kw_only=True, tag="left_out"):
    """So many events came faster than anybody makes them, and were not kept."""

    events: Count


class Quiet(Event, frozen=True, kw_only=True, tag="quiet"):
    """From ``since`` to now there was no event: nothing is missing."""

    since: Millis


class Still(Event, frozen=True, kw_only=True, tag="still"):
    """All events until now have been told. Of the listener's lines alone, not of the track."""


Line = Listening | Key | Button | Pointer | Clipboard | LeftOut | Quiet
_DECODER: msgspec.json.Decoder[Listening | Key | Button | Pointer | Clipboard | LeftOut | Still] = (
    msgspec.json.Decoder(Listening | Key | Button | Pointer | Clipboard | LeftOut | Still)
)


def decode(line: bytes) -> Listening | Key | Button | Pointer | Clipboard | LeftOut | Still:
    """A line of the listener's. Raises msgspec.MsgspecError, UnicodeDecodeError: it is none."""
    return _DECODER.decode(line)


def encode(line: Line) -> bytes:
    """A line of the track, with its line break."""
    return msgspec.json.encode(line) + b"\n"
