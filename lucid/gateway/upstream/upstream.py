"""One service as the gateway sees it: its replicas, its breaker, and what may be tried again."""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lucid.gateway.upstream import metrics
from lucid.gateway.upstream.answers import Head
from lucid.gateway.upstream.balancing import Balancer, EjectionRule, Replica
from lucid.gateway.upstream.breaker import Breaker, BreakerRule, State
from lucid.gateway.upstream.connection import Connection
from lucid.gateway.upstream.failures import Broken, Failure, NotReached, Overdue, Silent, Stale
from lucid.gateway.upstream.pool import Pool
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.retries import RetryBudget
from lucid.kit.errors import Code, LucidError, Unavailable
from lucid.kit.settings import SettingsError

ATTEMPTS = 3
PAUSE_SECONDS = 0.05
"""Before another attempt, up to; doubled for the one after it."""
RECENT = 0.1
"""Share of the last answer in the mean of how long they take."""
MAX_RUNNING = 1000
"""Most exchanges with one service at a time, in one process."""
MAX_ANSWER = 64 * 1024 * 1024
"""Largest answer that is collected before it is passed on, bytes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a service that fails is treated; answers with a status in `failing` are failures too."""

    breaker: BreakerRule = field(default_factory=BreakerRule)
    ejection: EjectionRule = field(default_factory=EjectionRule)
    failing: frozenset[int] = frozenset()


class Answer:
    """What a service answers. Whoever has it calls `release` in the end, come what may."""

    def __init__(self, upstream: "Upstream", replica: Replica, connection: Connection, head: Head) -> None:
        self.head = head
        self.connection = connection
        self.guarded = True
        """Whether the service's breaker hears how it ends."""
        self.good = True
        """Whether nothing was amiss so far."""
        self._upstream = upstream
        self._replica = replica
        self._released = False

    def blame(self) -> None:
        """Counts it as a failure of the service, once."""
        if self.good:
            self.good = False
            self._upstream.failed(self._replica, guarded=self.guarded)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Unavailable if it breaks off or pauses for too long."""
        while piece := await self._piece():
            yield piece

    async def read(self) -> bytes:
        """The whole body. Raises Unavailable as `pieces`, and 5003 if it is larger than MAX_ANSWER."""
        collected: list[bytes] = []
        size = 0
        while piece := await self._piece():
            collected.append(piece)
            size += len(piece)
            if size > MAX_ANSWER:
                name = self._upstream.name
                raise Unavailable(f"{name}: answer over {MAX_ANSWER} bytes", code=Code.EXTERNAL, service=name)
        return collected[0] if len(collected) == 1 else b"".join(collected)

    async def _piece(self) -> bytes:
        try:
            return await self.connection.piece()
        except Failure as failure:
            if not isinstance(failure, Overdue):
                self.blame()
            self.good = False
            raise said(self._upstream.name, failure) from failure

    def release(self) -> None:
        """Gives the connection back if the answer was taken to its end, closes it otherwise."""
        if not self._released:
            self._released = True
            self._upstream.release(self._replica, self)


class Upstream:
    """The service `name` at one address or several: `https://host:port`, or `http:` in the clear."""

    def __init__(
        self,
        name: str,
        addresses: Sequence[str],
        context: ssl.SSLContext | None,
        server_name: str,
        rules: Rules | None = None,
    ) -> None:
        rules = rules or Rules()
        self.name = name
        self.breaker = Breaker(rules.breaker)
        self._balancer = Balancer([replica(name, address) for address in addresses], rules.ejection)
        self._pools = {r: Pool(r, context, server_name) for r in self._balancer.replicas}
        self._budget = RetryBudget()
        self._running = 0
        self._failing = rules.failing
        self._metrics = metrics.Measures(name)
        self.seconds = 0.0
        """How long an answer's head takes: a mean in which an earlier one counts a tenth less each time."""

    def state(self) -> State:
        """The breaker's state now."""
        return self.breaker.state(time.monotonic())

    @property
    def replicas(self) -> Sequence[Replica]:
        """All its addresses, in no order that lasts."""
        return self._balancer.replicas

    def at(self, address: str) -> Replica:
        """The replica at one of its addresses. Raises StopIteration for another."""
        wanted = replica(self.name, address).authority
        return next(each for each in self.replicas if each.authority == wanted)

    async def ask(
        self,
        request: UpstreamRequest,
        patience: Patience,
        *,
        guarded: bool = True,
        only: Replica | None = None,
    ) -> Answer:
        """Sends the request, once and to `only` that replica if one is given; returns with the answer's head.

        Not `guarded`, it is sent even if the breaker is open, and tells that nothing. A failing status is an
        answer, of which breaker and balancer hear as of a failure. Raises Unavailable:
        5007 breaker open, 5008 not reachable, 5006 too late, 5003 no HTTP; Invalid for a request that cannot
        be sent, and whatever error ended the request's body.
        """
        if guarded and (wait := self.breaker.admit(time.monotonic())):
            raise self._resting(wait)
        begin = time.perf_counter()
        outcome = "undecided"
        try:
            answer = await self._attempts(request, patience, only)
            answer.guarded = guarded
            outcome = "ok"
            if answer.head.status in self._failing:
                outcome = "failed"
                answer.blame()
        except Failure as failure:
            if guarded and not isinstance(failure, Overdue):
                outcome = "failed"
                self._count_failure()
            raise said(self.name, failure) from failure
        finally:
            took = time.perf_counter() - begin
            self.seconds += (took - self.seconds) * (RECENT if self.seconds else 1)
            self._metrics.asked(outcome, took)
            if guarded:
                self.breaker.over()
        return answer

    async def _attempts(self, request: UpstreamRequest, patience: Patience, only: Replica | None) -> Answer:
        self._budget.asked()
        tried: list[Replica] = []
        fault: Failure | None = None
        until = None if patience.total is None else time.monotonic() + patience.total
        while True:
            now = time.monotonic()
            chosen = only or self._balancer.pick(now, tried)
            left = (
                patience
                if until is None
                else Patience(patience.connect, patience.read, max(0.0, until - now))
            )
            try:
                return await self._attempt(chosen, request, left)
            except Overdue as overdue:
                raise fault or overdue from None  # whoever used up the time is to blame
            except Failure as failure:
                fault = failure
                tried.append(chosen)
                self._put_out(chosen)
                again = isinstance(failure, NotReached) or (
                    isinstance(failure, Broken | Stale) and request.repeatable
                )
                if only or not again or len(tried) == ATTEMPTS or not self._budget.take(time.monotonic()):
                    raise
                self._metrics.retries.inc()
            pause = PAUSE_SECONDS * 2 ** (len(tried) - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            await asyncio.sleep(pause)

    async def _attempt(self, chosen: Replica, request: UpstreamRequest, patience: Patience) -> Answer:
        """One attempt; a kept connection that has gone stale is replaced once, for that is nobody's fault."""
        if self._running >= MAX_RUNNING:
            raise Unavailable(
                f"{self.name}: {MAX_RUNNING} requests wait for it", service=self.name, retry_after=1
            )
        self._running += 1
        chosen.running += 1
        connection = None
        try:
            pool = self._pools[chosen]
            if connection := pool.kept():
                try:
                    head = await connection.ask(request, chosen.authority, patience)
                    return Answer(self, chosen, connection, head)
                except Stale:
                    if not request.repeatable:
                        raise
            connection = await pool.connect(patience)
            head = await connection.ask(request, chosen.authority, patience)
            return Answer(self, chosen, connection, head)
        except BaseException:
            self._running -= 1
            chosen.running -= 1
            if connection is not None:
                connection.close()
            raise

    def release(self, used: Replica, answer: Answer) -> None:
        """The end of an exchange."""
        self._running -= 1
        used.running -= 1
        self._pools[used].give_back(answer.connection)
        if answer.good:
            self._balancer.succeeded(used)
            if answer.guarded:
                self.breaker.succeeded(time.monotonic())

    def failed(self, used: Replica, *, guarded: bool) -> None:
        """An answer of `used` broke off, or says that it failed."""
        self._put_out(used)
        if guarded:
            self._count_failure()

    def close(self) -> None:
        """Closes the connections that are idle."""
        for pool in self._pools.values():
            pool.close()

    def _put_out(self, used: Replica) -> None:
        if self._balancer.failed(used, time.monotonic()) and len(self._pools) > 1:
            self._metrics.ejections.inc()

    def _count_failure(self) -> None:
        if self.breaker.failed(time.monotonic()):
            self._metrics.opened.inc()

    def _resting(self, seconds: float) -> LucidError:
        self._metrics.refused.inc()
        return Unavailable(
            f"{self.name} has failed too often and is given a rest",
            code=Code.BREAKER_OPEN,
            service=self.name,
            retry_after=max(1, round(seconds)),
        )


def replica(name: str, address: str) -> Replica:
    """An address as a replica. Raises SettingsError."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(f"{name}: {address!r} is no address such as https://10.0.0.2:8086")
    tls = parts.scheme == "https"
    return Replica(parts.hostname, parts.port or (443 if tls else 80), tls)


def said(name: str, failure: Failure) -> Unavailable:
    """A failure as people are told: 5006 too slow, 5008 cannot be reached, else 5003."""
    match failure:
        case Silent() | Overdue():
            return Unavailable(f"{name} did not answer in time", code=Code.TIMEOUT, service=name)
        case NotReached():
            return Unavailable(f"{name} cannot be reached: {failure}", service=name)
        case _:
            return Unavailable(
                f"{name}: no answer that makes sense: {failure}", code=Code.EXTERNAL, service=name
            )
