"""Parts of an answer (RFC 9110, section 14), so that a download that broke off goes on where it stopped.

One range of bytes is answered with exactly that; several ranges, other units and what cannot be read are
ignored, as the standard allows, and the whole is sent. `If-Range` must name the very bytes: dates and weak
tags never do.
"""

import re
from collections.abc import Mapping

from lucid.kit.routes import Content

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins behind the end."""


def wanted(headers: Mapping[str, str], content: Content) -> tuple[int, int] | None:
    """The bytes that a request asks for, from the first to before the second; None for all of them.

    Raises Unsatisfiable.
    """
    asked = _RANGE.fullmatch(headers.get("Range", ""))
    condition = headers.get("If-Range")
    if asked is None or condition not in {None, tag(content)}:
        return None
    first, last = asked.groups()
    if not first:
        return _suffix(last, content.length)
    if last and int(last) < int(first):
        return None
    if int(first) >= content.length:
        raise Unsatisfiable
    return int(first), min(int(last) + 1, content.length) if last else content.length


def tag(content: Content) -> str:
    """The content's strong entity tag, as it stands in headers."""
    return f'"{content.etag}"'


def _suffix(count: str, length: int) -> tuple[int, int] | None:
    """The last `count` bytes."""
    if not count:
        return None
    if int(count) == 0 or length == 0:
        raise Unsatisfiable
    return max(0, length - int(count)), length
