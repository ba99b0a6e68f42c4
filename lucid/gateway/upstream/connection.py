"""One HTTP/1.1 connection to a service: an exchange at a time, streaming both ways.

What comes faster than it is taken stays with the service: over `HIGH_WATER` bytes the socket is not read.
What is sent faster than the service takes it waits in the same way. So every exchange, of any size, costs the
same.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

from lucid.gateway.upstream.answers import SWITCHING, AnswerParser, Head
from lucid.gateway.upstream.failures import Broken, Failure, Overdue, Silent, Stale
from lucid.gateway.upstream.requests import Patience, UpstreamRequest

HIGH_WATER = 512 * 1024
LOW_WATER = 128 * 1024
KEEP_SECONDS = 4.0
"""How long an idle one is kept: less than services drain, so that none is used after its server has left."""

UNANSWERED_MS = 5000
"""How long the other host's kernel may answer nothing, milliseconds. A host without power is as silent as a
service that has much to do, but for this; and it is known before anybody's time is over."""
ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS),
)


class Connection(asyncio.Protocol):
    """A connection; made by `loop.create_connection`, then used for exchanges while `usable`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = AnswerParser()
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._reading = True
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiter: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._busy = False
        self._kept = False
        self._received = False
        self._upload: asyncio.Task[None] | None = None
        self._source_waits = False
        self._patience = Patience()
        self._heard_at = 0.0
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether it is idle and another exchange may begin on it."""
        return not self._busy and self._failure is None and not self._transport.is_closing()

    @property
    def _switched(self) -> bool:
        """Whether what comes now is another protocol's, for another reader."""
        return self._parser.head is not None and self._parser.head.status == SWITCHING

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once."""
        self._transport = cast("asyncio.Transport", transport)
        for option in ALIVE:
            self._transport.get_extra_info("socket").setsockopt(*option)

    def data_received(self, data: bytes) -> None:
        """Called for all that comes."""
        if not self._busy or self._failure is not None:
            # Nobody has asked: whatever it is, the next answer must not be mixed up with it.
            self._fail(Broken("data outside of any exchange"))
            return
        self._received = True
        self._heard_at = self._loop.time()
        try:
            self._parser.feed(data)
        except Broken as failure:
            self._fail(failure)
            return
        if self._parser.pieces:
            self._pieces.extend(self._parser.pieces)
            self._buffered += sum(map(len, self._parser.pieces))
            self._parser.pieces.clear()
        if self._reading and (self._buffered > HIGH_WATER or self._switched):
            self._reading = False
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Called once."""
        if self._failure is None and not (self._busy and self._parser.done):
            if error is not None and not isinstance(error, ConnectionError):
                self._failure = Broken(f"its host does not answer: {type(error).__name__}")
            elif self._kept and not self._received:
                self._failure = Stale("closed")
            else:
                self._failure = Broken("closed before its answer ended")
        self._stop()

    def pause_writing(self) -> None:
        """Called when the service takes less than it is sent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called when it has taken most of it."""
        self._heard_at = self._loop.time()
        self._writable.set()

    # Called by whoever has the connection.

    async def ask(self, request: UpstreamRequest, authority: str, patience: Patience) -> Head:
        """Sends `request` and waits for the answer's head.

        Raises Failure, Invalid for a request that cannot be sent, or what the request's body raised; none of
        them leaves a connection that can be used again.
        """
        head = request.head(authority)
        now = self._loop.time()
        self._busy, self._received = True, False
        self._parser.begin(bodyless=request.method == "HEAD")
        self._patience, self._heard_at = patience, now
        self._until = None if patience.total is None else now + patience.total
        self._watch()
        if request.body is None:
            self._transport.write(head)
        elif isinstance(request.body, bytes):
            self._transport.write(head + request.body)
        else:
            self._transport.write(head)
            self._upload = asyncio.create_task(self._send(request.body, request.length))
        parser = self._parser
        while parser.head is None:
            if self._failure is not None:
                raise self._failure
            await self._news()
        return parser.head

    async def piece(self) -> bytes:
        """The next piece of the answer's body, empty at its end. Raises as `ask` does."""
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._parser.done:
                return b""
            await self._news()
        piece = self._pieces.popleft()
        self._buffered -= len(piece)
        if not self._reading and self._buffered <= LOW_WATER and self._failure is None:
            self._reading = True
            self._heard_at = self._loop.time()
            self._transport.resume_reading()
        return piece

    def release(self) -> bool:
        """Ends the exchange. Returns whether the connection can be kept; if not, it is closed."""
        sent = self._upload is None or self._upload.done()
        if not (sent and self._parser.done and self._parser.keep and not self._pieces):
            self.close()
            return False
        self._upload = None
        self._busy, self._kept = False, True
        self._heard_at = self._loop.time()
        return self.usable

    def close(self) -> None:
        """Ends the connection, and with it the exchange, at once."""
        if self._failure is None:
            self._failure = Broken("closed by the gateway")
        self._transport.abort()
        self._stop()

    def detach(self) -> tuple[asyncio.Transport, bytes]:
        """After a head that switches protocols: the transport, not reading, and what came behind the head."""
        self._stop()
        return self._transport, self._parser.surplus

    async def _send(self, body: AsyncIterator[bytes], length: int | None) -> None:
        try:
            sent = 0
            while True:
                self._source_waits = True
                piece = await anext(body, b"")
                self._source_waits = False
                self._heard_at = self._loop.time()
                if not piece:
                    break
                sent += len(piece)
                self._transport.write(piece if length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
                await self._writable.wait()
            if length is None:
                self._transport.write(b"0\r\n\r\n")
            elif sent != length:
                raise Broken(f"the request's body has {sent} bytes instead of {length}")
        except Exception as error:  # noqa: BLE001 - whatever ends the source ends the exchange, and is raised there
            self._fail(error)

    def _news(self) -> "asyncio.Future[None]":
        """Done as soon as something has come, or will not come any more."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
            self._waiter = None

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self._transport.abort()
        self._wake()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._upload is not None and self._upload is not asyncio.current_task():
            self._upload.cancel()
        self._writable.set()
        self._wake()

    # One timer for all that may take too long. It is moved forward only when it fires, or must fire earlier:
    # setting one anew for each exchange would cost more than the rest of it.

    def _due(self) -> float:
        if not self._busy:
            return self._heard_at + KEEP_SECONDS
        silence = self._heard_at + self._patience.read
        return silence if self._until is None else min(silence, self._until)

    def _watch(self) -> None:
        due = self._due()
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._busy and (self._source_waits or not self._reading):
            # It is not the service that keeps us waiting.
            self._heard_at = now
        if now < self._due():
            self._watch()
        elif self._busy:
            self._fail(self._too_late(now))
        else:
            self.close()

    def _too_late(self, now: float) -> Failure:
        if now >= self._heard_at + self._patience.read:
            return Silent(f"nothing came for {self._patience.read:g} s")
        return Overdue("the time given is over")
