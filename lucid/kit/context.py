"""What travels with a request through every await and every call to another service."""

import os
import re
import time
from contextvars import Context, ContextVar, copy_context

from multidict import istr

REQUEST_ID_HEADER: str = istr("X-Request-ID")
DEADLINE_HEADER: str = istr("Lucid-Deadline-Ms")
"""Milliseconds that the caller still has. Relative, because clocks differ between hosts."""
CLIENT_HEADER: str = istr("Lucid-Client")
"""Who is at the other end, as the gateway sees it: an address, or `circuit:N` for one of the onion's."""

request_id: ContextVar[str] = ContextVar("request_id", default="-")
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""The moment, in `time.monotonic()` seconds, at which nobody waits for the answer any more."""
authorization: ContextVar[str | None] = ContextVar("authorization", default=None)
"""The caller's bearer token, handed on so that the callee can check it itself."""

_ACCEPTED = re.compile(r"^[A-Za-z0-9._-]{8,64}$")


def new_request_id(offered: str | None) -> str:
    """The caller's request id where it is fit for a log line, otherwise a fresh one."""
    return offered if offered and _ACCEPTED.match(offered) else os.urandom(16).hex()


def remaining(default: float) -> float:
    """Seconds left until the deadline, at most `default`; never negative."""
    until = deadline.get()
    return default if until is None else max(0.0, min(default, until - time.monotonic()))


def detached() -> Context:
    """This context for work that outlives the request: nobody waits for it, and it speaks for nobody."""
    copy = copy_context()
    copy.run(deadline.set, None)
    copy.run(authorization.set, None)
    return copy
