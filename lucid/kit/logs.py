"""JSON lines on standard output, with request id, session id and service on every line."""

import asyncio
import logging
import sys
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
import structlog

from lucid.kit import context

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class _Access:
    """Where lines about requests go: nowhere in particular until `configure` was called."""

    service = ""
    wanted = True
    encoder = msgspec.json.Encoder()
    lines: ClassVar[list[bytes]] = []
    """Those of this turn of the event loop, to be written at its end."""


class _Line(msgspec.Struct):
    """A line about one request, in the form that all lines have."""

    event: str
    method: str
    endpoint: str
    status: int
    milliseconds: float
    peer: str | None
    service: str
    request_id: str
    level: str
    logger: str
    timestamp: datetime


def configure(service: str, level: str) -> None:
    """Sends structlog and the standard library's logging to standard output as JSON."""

    def identify(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
        event.setdefault("service", service)
        event.setdefault("request_id", context.request_id.get())
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        identify,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_serialise),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    _Access.service = service
    _Access.wanted = root.isEnabledFor(logging.INFO)
    for noisy in ("pymongo", "asyncio", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def request(*, method: str, endpoint: str, status: int, milliseconds: float, peer: str | None) -> None:
    """The line about one request that was answered.

    Written past structlog and logging, in the same form: through them it would take a fifth of all that a
    gateway spends on a request. To be called while an event loop runs, at the end of whose turn it is out.
    """
    if not _Access.service:
        log.info(
            "request", method=method, endpoint=endpoint, status=status, milliseconds=milliseconds, peer=peer
        )
        return
    if not _Access.wanted:
        return
    line = _Line(
        "request", method, endpoint, status, milliseconds, peer, _Access.service,
        context.request_id.get(), "info", "lucid", datetime.now(UTC),
    )  # fmt: skip
    if not _Access.lines:
        asyncio.get_running_loop().call_soon(_write)
    _Access.lines.append(_Access.encoder.encode(line))


def _write() -> None:
    lines, _Access.lines = _Access.lines, []
    sys.stdout.buffer.write(b"\n".join([*lines, b""]))
    sys.stdout.buffer.flush()


def _serialise(event: dict[str, Any], **_: Any) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except (TypeError, ValueError):
        # A header's bytes that are no UTF-8, or a key that is no string: no line may be lost for it.
        return msgspec.json.encode({key: ascii(value) for key, value in event.items()}).decode()
