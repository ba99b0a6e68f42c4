"""Calls to other services: only to those that the catalogue names, over mutual TLS, within a deadline.

The request id, the caller's token and the time that is left travel with the call. Idempotent calls are
repeated with growing pauses while time is left; others are sent once.
"""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from lucid.kit import context, metrics, tls
from lucid.kit.errors import Code, Invalid, LucidError, Unavailable, from_envelope
from lucid.kit.routes import Nothing, Route, Stream

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")

DEFAULT_SECONDS = 10.0
CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 4.0
"""Below the servers' drain time, so that no kept connection is used after its server has gone."""
ATTEMPTS = 6
FIRST_PAUSE = 0.1
"""Doubled each time: all attempts together outlast a restart of one and a half seconds, often of three."""
MAX_ANSWER = 64 * 1024 * 1024
READ_SIZE = 256 * 1024


def variable(service: str) -> str:
    """The environment variable that holds the base URL of `service`."""
    return f"LUCID_URL_{service.upper().replace('-', '_')}"


class ServiceClient:
    """HTTP client of one service; knows the base URLs of its callees and nothing else.

    Of a callee with several replicas it asks the first; it is the gateway that shares requests out. `hosts`
    has, by callee and name, the hosts of those that are called on a certain one.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        ssl_context: ssl.SSLContext,
        hosts: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._urls = {name: URL(addresses(url)[0]) for name, url in urls.items()}
        self._hosts = {
            name: {host: URL(url) for host, url in each.items()} for name, each in (hosts or {}).items()
        }
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=ssl_context, keepalive_timeout=KEEPALIVE_SECONDS, limit=200, limit_per_host=64
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_SIZE,
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self.session.close()

    def hosts(self, service: str) -> tuple[str, ...]:
        """The hosts on which `service` can be called by `host=`, in the order in which they were named."""
        return tuple(self._hosts.get(service, ()))

    async def call(
        self,
        route: Route[P, B, R],
        params: P,
        body: B | None = None,
        *,
        data: bytes | bytearray | memoryview | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = DEFAULT_SECONDS,
        host: str | None = None,
    ) -> R:
        """Sends one request and decodes its answer; asks the callee on `host`, if one is named.

        `data` is the body of a route that takes a Stream. Raises the callee's own error, or Unavailable
        (5008 not reachable or no such host, 5006 too late, 5003 no sense in the answer).
        """
        payload = data if data is not None else _encode(body)
        async with self.open(route, params, payload, headers=headers, seconds=seconds, host=host) as answer:
            raw = await _read(answer, route.service)
        if route.response is Nothing:
            return route.response()
        try:
            return msgspec.json.decode(raw, type=route.response)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"{route.service}: answer not understood: {error}", code=Code.EXTERNAL
            ) from None

    async def stream(
        self,
        route: Route[P, B, Stream],
        params: P,
        *,
        part: tuple[int, int] | None = None,
        seconds: float = 3600.0,
    ) -> AsyncGenerator[bytes, None]:
        """The answer's body piece by piece, as it arrives; of a `part`, its first byte to before its last."""
        headers = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}
        async with self.open(route, params, None, headers=headers, seconds=seconds) as answer:
            async for piece in answer.content.iter_chunked(READ_SIZE):
                yield piece

    @asynccontextmanager
    async def open(
        self,
        route: Route[P, B, R],
        params: P,
        payload: bytes | bytearray | memoryview | None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = DEFAULT_SECONDS,
        host: str | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer with its head read and its success checked."""
        url = self.url(route, params, host)
        until = time.monotonic() + context.remaining(seconds)
        begin = time.perf_counter()
        attempts = ATTEMPTS if route.idempotent else 1
        for attempt in range(1, attempts + 1):
            try:
                answer = await self._send(route, host, url, payload, headers or {}, until)
            except LucidError as error:
                pause = FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                if attempt == attempts or time.monotonic() + pause >= until or not _retryable(error):
                    _measure(route.service, begin, "failed" if error.code.status >= 500 else "refused")
                    raise
                await asyncio.sleep(pause)
                continue
            outcome = "failed"
            try:
                yield answer
                outcome = "ok"
            except (aiohttp.ClientError, TimeoutError) as error:
                raise broken(route.service, error, host) from error
            finally:
                _measure(route.service, begin, outcome)
                answer.release()
            return

    async def _send(
        self,
        route: Route[P, B, R],
        host: str | None,
        url: URL,
        payload: bytes | bytearray | memoryview | None,
        headers: Mapping[str, str],
        until: float,
    ) -> aiohttp.ClientResponse:
        left = until - time.monotonic()
        if left <= 0:
            raise Unavailable(
                f"{route.service}: no time left to ask", code=Code.TIMEOUT, service=route.service
            )
        head = {
            context.REQUEST_ID_HEADER: context.request_id.get(),
            context.DEADLINE_HEADER: str(int(left * 1000)),
            **headers,
        }
        if token := context.authorization.get():
            head["Authorization"] = token
        if payload is not None and "Content-Type" not in head:
            kind = "application/octet-stream" if route.body is Stream else "application/json"
            head["Content-Type"] = kind
        if payload is not None:
            head["Content-Length"] = str(len(payload))
        try:
            answer = await self.session.request(
                route.method,
                url,
                data=payload if payload is None or len(payload) <= READ_SIZE else _Pieces(payload),
                headers=head,
                server_hostname=tls.internal_name(route.service),
                timeout=aiohttp.ClientTimeout(total=left, sock_connect=CONNECT_SECONDS),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise broken(route.service, error, host) from error
        # All of it where a part was asked for would be other bytes.
        if answer.status == (206 if "Range" in head else route.status):
            return answer
        try:
            raw = await _read(answer, route.service)
        finally:
            answer.release()
        raise from_envelope(raw, answer.status, route.service)

    def url(self, route: Route[P, B, R], params: P, host: str | None = None) -> URL:
        """Where `route` is served, on `host` if one is named.

        Raises LucidError 5004 for a service that may not be called, Unavailable 5008 for a host that is not
        among its own, Invalid 1003 as `target`.
        """
        base = self._urls.get(route.service)
        if base is None:
            raise LucidError(
                f"the catalogue does not let this service call {route.service}", code=Code.CONFIGURATION
            )
        if host is not None:
            # A host that was taken out of the site is as far away as one that is down.
            base = self._hosts.get(route.service, {}).get(host)
            if base is None:
                known = ", ".join(self.hosts(route.service)) or "none"
                raise Unavailable(
                    f"{route.service} has no host {host}; its hosts are {known}",
                    service=route.service,
                    host=host,
                )
        return URL(str(base).rstrip("/") + target(route, params), encoded=True)


def target(route: Route[P, B, R], params: P) -> str:
    """Path and query of `route` with these parameters, as in a request line.

    Raises Invalid 1003 for a parameter that cannot be one segment of a path.
    """
    if route.params is Nothing:
        return route.path
    values = {k: v for k, v in msgspec.to_builtins(params).items() if v is not None}
    names = {name: _segment(name, _text(values.pop(name))) for name in route.path_names}
    path = route.path.format(**names)
    return f"{path}?{urlencode({k: _text(v) for k, v in values.items()})}" if values else path


def addresses(urls: str) -> tuple[str, ...]:
    """The base URLs in a service's variable: one for each replica, with commas between them."""
    return tuple(url.strip() for url in urls.split(",") if url.strip())


class _Pieces:
    """A payload bit by bit, so that a large one does not hold up the event loop.

    Can be gone through again: aiohttp does so when it finds a kept connection closed.
    """

    def __init__(self, payload: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(payload)

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        for start in range(0, len(self._view), READ_SIZE):
            yield self._view[start : start + READ_SIZE]


def _segment(name: str, value: str) -> str:
    if value in {"", ".", ".."} or "/" in value:
        raise Invalid(f"parameter `{name}` would lead to another path", code=Code.FORMAT, field=name)
    return quote(value, safe="")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encode(body: object) -> bytes | None:
    return None if body is None or isinstance(body, Nothing) else msgspec.json.encode(body)


async def _read(answer: aiohttp.ClientResponse, service: str) -> bytearray:
    raw = bytearray()
    try:
        async for piece in answer.content.iter_chunked(READ_SIZE):
            raw += piece
            if len(raw) > MAX_ANSWER:
                raise Unavailable(f"{service}: answer over {MAX_ANSWER} bytes", code=Code.EXTERNAL)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise broken(service, error) from error
    return raw


def broken(service: str, error: Exception, host: str | None = None) -> Unavailable:
    """The failure of a connection to `service`: 5006 too slow, 5003 not HTTP, else 5008."""
    whom, details = (service, {}) if host is None else (f"{service} on {host}", {"host": host})
    if isinstance(error, TimeoutError):
        message, code = f"{whom} did not answer in time", Code.TIMEOUT
    elif isinstance(error, aiohttp.ClientResponseError):
        message, code = f"{whom}: answer not understood", Code.EXTERNAL
    else:
        message, code = f"{whom} cannot be reached: {type(error).__name__}", Code.UNAVAILABLE
    return Unavailable(message, code=code, service=service, **details)


def _retryable(error: LucidError) -> bool:
    return error.code in {
        Code.UNAVAILABLE,
        Code.DATABASE,
        Code.EXTERNAL,
        Code.NETWORK,
        Code.CHAIN_UNAVAILABLE,
    }


def _measure(service: str, begin: float, outcome: str) -> None:
    metrics.call_seconds.labels(service, outcome).observe(time.perf_counter() - begin)


CLIENT = web.AppKey("client", ServiceClient)
