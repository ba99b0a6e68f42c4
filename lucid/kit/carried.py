"""Connections that Tor carries here: who they are from is read first, then HTTP takes over.

What does not begin with a good header within `HEADER_SECONDS` is closed without an answer: nobody but Tor
should connect. For the application `request.get_extra_info("circuit")` is the client's key, as
`circuit:17`, and None on every other listener; `request.remote` is the header's address: another one for
each circuit, and never loopback.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from lucid.kit.proxy_protocol import Header, Malformed, parse

HEADER_SECONDS: Final = 5.0
CIRCUIT: Final = "circuit"
"""Name of the extra information that a carried connection's transport has."""


class Carried(asyncio.Protocol):
    """Reads the header, then hands the connection to a protocol that `factory` makes."""

    def __init__(self, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._begin = b""
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for the header."""
        self._transport = cast("asyncio.Transport", transport)
        self._limit = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Nobody is told: no request has begun."""
        self._end()

    def data_received(self, data: bytes) -> None:
        """Collects the header; at most one piece more than its longest form is ever held."""
        transport = self._transport
        if transport is None:
            return
        self._begin += data
        try:
            header = parse(self._begin)
            circuit = header.circuit() if header else 0
        except Malformed:
            self._end()
            transport.abort()
            return
        if header:
            self._hand_over(transport, header, circuit)

    def _hand_over(self, transport: asyncio.Transport, header: Header, circuit: int) -> None:
        self._end()
        protocol = self._factory()
        transport.set_protocol(protocol)
        protocol.connection_made(CarriedTransport(transport, header, circuit))
        if rest := self._begin[header.size :]:
            protocol.data_received(rest)

    def _end(self) -> None:
        self._transport = None
        if self._limit is not None:
            self._limit.cancel()


class CarriedTransport(asyncio.Transport):
    """The connection as it was accepted, but for who is at its other end."""

    def __init__(self, transport: asyncio.Transport, header: Header, circuit: int) -> None:
        super().__init__()
        self._transport = transport
        self._own = {"peername": (header.source, header.port, 0, 0), CIRCUIT: f"{CIRCUIT}:{circuit}"}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio has it, with `peername` from the header and `circuit` beside it."""
        return self._own[name] if name in self._own else self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._transport.writelines(list_of_data)

    def write_eof(self) -> None:
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()
