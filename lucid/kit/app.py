"""Builds a service's aiohttp application from its catalogue entry, its settings and its handlers.

A handler gets a `Call`, checked parameters and a checked body, and returns the answer's struct. Who may call,
request ids, deadlines, errors, logs, metrics and health are done here, once for all services.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

import aiohttp
import msgspec
from aiohttp import hdrs, web
from prometheus_client import Counter, Histogram
from pymongo.errors import PyMongoError

from lucid import __version__, catalog
from lucid.kit import context, health, logs, metrics, openapi, ranges, requests, tls
from lucid.kit.client import CLIENT, ServiceClient
from lucid.kit.connections import FACE, PARSER, Face
from lucid.kit.draining import DRAINING, Draining
from lucid.kit.errors import Code, Forbidden, Invalid, LucidError, NotFound, Unavailable, envelope
from lucid.kit.logs import log
from lucid.kit.routes import Access, Content, Nothing, Route, Stream
from lucid.kit.tasks import TASKS, Tasks, tasks_context
from lucid.kit.tokens import VERIFIER, Claims

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")
Resource = Callable[[web.Application], AsyncIterator[None]]
Finish = Callable[[web.Request, web.StreamResponse], None]

SERVICE = web.AppKey("service", catalog.Service)
OBSERVED = frozenset({"/metrics", *(route.path for route in health.ROUTES)})
"""The paths that observers may read."""
FINISHES = web.AppKey("finishes", list[Finish])
"""What is called on every answer before its head goes out, whatever it answers."""
MUTUAL = web.AppKey("mutual", bool)
"""Whether every caller has to show a certificate of this deployment."""
QUIET = web.AppKey("quiet", frozenset[str])
"""Paths whose successes are not logged."""
CLIENT_LEFT = 499
"""Status that is noted, as nginx does, where nobody was left to be answered."""
PEER = web.RequestKey("peer", str)
"""Name of the calling service, from its certificate."""


@dataclass(frozen=True)
class Call:
    """One request, after all checks: the application, who is calling, and the raw request for its headers."""

    request: web.Request
    app: web.Application
    peer: str | None
    """Name of the calling service, from its certificate."""
    claims: Claims | None
    """The person on whose behalf, for routes that ask for a token."""

    @property
    def user(self) -> Claims:
        """The person; only for routes whose access asks for one."""
        assert self.claims is not None, "route without a token requirement"  # noqa: S101 - programming error
        return self.claims


Handler = Callable[[Call, Any, Any], Awaitable[Any]]


class Handlers:
    """The handlers of a service, bound to their routes; `parts` are those that other modules have bound."""

    def __init__(self, *parts: "Handlers") -> None:
        self.bound: list[tuple[Route[Any, Any, Any], Handler]] = [
            bound for part in parts for bound in part.bound
        ]

    def on(
        self, route: Route[P, B, R]
    ) -> Callable[[Callable[[Call, P, B], Awaitable[R]]], Callable[[Call, P, B], Awaitable[R]]]:
        """Decorator: this coroutine answers `route`."""

        def bind(handler: Callable[[Call, P, B], Awaitable[R]]) -> Callable[[Call, P, B], Awaitable[R]]:
            self.bound.append((route, cast("Handler", handler)))
            return handler

        return bind


def build(
    name: str,
    handlers: Handlers,
    *,
    resources: Iterable[Resource] = (),
    client: ServiceClient | None = None,
) -> web.Application:
    """The application of service `name`. `resources` are entered in order and left in reverse."""
    service = catalog.load().services[name]
    app = web.Application(middlewares=[_edge], client_max_size=0, handler_args=PARSER)
    app[SERVICE] = service
    app[MUTUAL] = service.mutual
    finishes: list[Finish] = [_identify]
    app[FINISHES] = finishes
    app[FACE] = Face(name, count=_count_malformed)
    app[health.CHECKS] = health.Checks(name)
    app[DRAINING] = Draining()
    app[QUIET] = OBSERVED | {route.path for route, _ in handlers.bound if route.quiet}
    app[TASKS] = Tasks()
    if client is not None:
        app[CLIENT] = client
        app.cleanup_ctx.append(_client_context)
    app.cleanup_ctx.extend(resources)
    app.cleanup_ctx.append(tasks_context)
    app.on_response_prepare.append(_finish)
    app.add_routes(health.ROUTES)
    app.router.add_get("/metrics", _metrics, expect_handler=requests.expectation)
    for route, handler in handlers.bound:
        app.router.add_route(
            route.method, route.path, _typed(route, handler), expect_handler=requests.expectation
        )
    document = openapi.document(name, [route for route, _ in handlers.bound])
    encoded = msgspec.json.encode(document)

    async def describe(_: web.Request) -> web.Response:
        return web.Response(body=encoded, content_type="application/json")

    app.router.add_get("/openapi.json", describe, expect_handler=requests.expectation)
    return app


async def authorise(request: web.Request, access: Access) -> Claims | None:
    """The caller's claims where `access` asks for a person. Raises Unauthenticated or Forbidden."""
    if access is Access.INTERNAL and request.get(PEER) is None:
        raise Forbidden("only services may ask for this, with their certificates")
    if access <= Access.PUBLIC:
        return None
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    verifier = request.app[VERIFIER]
    claims = verifier.recall(authorization) or await verifier.verify(authorization)
    if claims.access < access:
        raise Forbidden(f"this needs the role {access.role}; yours is {claims.role}")
    return claims


def _typed(
    route: Route[Any, Any, Any], handler: Handler
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def run(request: web.Request) -> web.StreamResponse:
        if route.callers and request.get(PEER) not in route.callers:
            raise Forbidden(f"only {', '.join(route.callers)} may ask {route.service} for this")
        claims = await authorise(request, route.access)
        params = requests.params(request, route)
        body = await requests.body(request, route)
        answer = await handler(Call(request, request.app, request.get(PEER), claims), params, body)
        if isinstance(answer, Content):
            return await _send_content(request, route, answer)
        if isinstance(answer, Stream):
            return await _send(request, route, route.status, answer, {})
        if isinstance(answer, Nothing):
            return web.Response(status=route.status)
        encoded = msgspec.json.encode(answer)
        return web.Response(body=encoded, status=route.status, content_type="application/json")

    return run


async def _send_content(
    request: web.Request, route: Route[Any, Any, Any], content: Content
) -> web.StreamResponse:
    """Sends what was asked for of the content: all of it, or a part (RFC 9110, section 14)."""
    headers = {"Accept-Ranges": "bytes", "ETag": ranges.tag(content)}
    try:
        asked = ranges.wanted(request.headers, content)
    except ranges.Unsatisfiable:
        failure = Invalid(f"the range begins behind the end at {content.length}", code=Code.OUT_OF_RANGE)
        response = _refusal(request, failure, 416)
        response.headers.update(headers | {"Content-Range": f"bytes */{content.length}"})
        return response
    if asked is None:
        return await _send(request, route, route.status, content, headers)
    first, stop = asked
    headers["Content-Range"] = f"bytes {first}-{stop - 1}/{content.length}"
    return await _send(request, route, 206, content.part(first, stop), headers)


async def _send(
    request: web.Request,
    route: Route[Any, Any, Any],
    status: int,
    stream: Stream,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Sends a stream and closes it, whatever happens: it may hold a file or another service's answer."""
    try:
        return await _send_pieces(request, status, stream, {hdrs.CONTENT_TYPE: route.media, **headers})
    finally:
        if isinstance(stream.chunks, AsyncGenerator):
            await stream.chunks.aclose()


async def _send_pieces(
    request: web.Request, status: int, stream: Stream, headers: Mapping[str, str]
) -> web.StreamResponse:
    """The first piece is awaited before the head is sent, so that an early failure has a status."""
    pieces = aiter(stream.chunks)
    first = await anext(pieces, b"")
    response = web.StreamResponse(status=status, headers=headers)
    if stream.length is not None:
        response.content_length = stream.length
    if stream.filename:
        response.headers["Content-Disposition"] = f'attachment; filename="{stream.filename}"'
    await response.prepare(request)
    request[requests.STREAMING] = True
    await response.write(first)
    sent = len(first)
    async for piece in pieces:
        await response.write(piece)
        sent += len(piece)
    if stream.length not in {None, sent}:
        # Without this the caller would wait for the rest, or take the next answer for it.
        raise LucidError(f"the answer has {sent} bytes instead of the {stream.length} it announced")
    await response.write_eof()
    return response


@lru_cache(maxsize=4096)
def _requests(method: str, endpoint: str, status: int) -> Counter:
    """The counter with these labels: to look one up takes longer than to count."""
    return metrics.requests_total.labels(method, endpoint, status)


@lru_cache(maxsize=1024)
def _seconds(method: str, endpoint: str) -> Histogram:
    return metrics.request_seconds.labels(method, endpoint)


@web.middleware
async def _edge(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What happens to every request, whatever it asks for."""
    begin = time.perf_counter()
    given, app = request.headers, request.app
    context.request_id.set(context.new_request_id(given.get(context.REQUEST_ID_HEADER)))
    context.authorization.set(_ascii(given.get(hdrs.AUTHORIZATION)))
    context.deadline.set(requests.deadline(given.get(context.DEADLINE_HEADER)))
    resource = request.match_info.route.resource
    # Neither a path nor a method that the caller made up may become a label: there is no end of them.
    endpoint, method = (resource.canonical, request.method) if resource else ("unmatched", "-")
    metrics.connections_active.inc()
    status, peer = 500, None
    try:
        if app[MUTUAL]:
            peer = request[PEER] = _admit(request, app[SERVICE])
        response = await handler(request)
        status = response.status
    except Exception as error:
        if request.transport is None and isinstance(error, ConnectionError):
            # The client has left: there is nobody to answer, and nothing went wrong here.
            status = CLIENT_LEFT
            raise
        failure = _as_lucid(error)
        status = failure.code.status
        if request.transport is not None and requests.started(request):
            # Part of the body is out: the only honest end is a connection that breaks.
            log.warning("answer broken off", endpoint=endpoint, error=failure.message)
            request.transport.abort()
            raise
        response = _refusal(request, failure, status)
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
    finally:
        seconds = time.perf_counter() - begin
        metrics.connections_active.dec()
        _requests(method, endpoint, status).inc()
        _seconds(method, endpoint).observe(seconds)
        if endpoint not in (OBSERVED if status >= 400 else app[QUIET]):
            logs.request(
                method=request.method,
                endpoint=endpoint,
                status=status,
                milliseconds=round(seconds * 1000, 2),
                peer=peer,
            )
    return response


def _refusal(request: web.Request, failure: LucidError, status: int) -> web.Response:
    body = envelope(
        failure,
        request_id=context.request_id.get(),
        service=request.app[SERVICE].name,
        version=__version__,
    )
    response = web.Response(body=body, status=status, content_type="application/json")
    if status == web.HTTPUnauthorized.status_code:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"  # RFC 9110, 15.5.2
    if seconds := failure.details.get("retry_after"):
        response.headers[hdrs.RETRY_AFTER] = str(seconds)
    return response


def _count_malformed(status: int) -> None:
    metrics.requests_total.labels("-", "malformed", status).inc()


async def _finish(request: web.Request, response: web.StreamResponse) -> None:
    # One signal handler with plain calls in it: to await each of them would take far longer than they do.
    for finish in request.app[FINISHES]:
        finish(request, response)


def _identify(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[context.REQUEST_ID_HEADER] = context.request_id.get()


def _ascii(header: str | None) -> str | None:
    """A header that can be sent on, which one with other characters could not be."""
    return header if header is not None and header.isascii() else None


def _admit(request: web.Request, service: catalog.Service) -> str:
    """Who calls: only whom the catalogue names. Observers reach health and metrics only. Raises Forbidden."""
    certificate = request.get_extra_info("peercert")
    names = {name for dns in tls.peer_names(certificate) if (name := tls.service_of(dns))}
    admitted = names & catalog.load().callers_of(service.name)
    if admitted:
        return next(iter(admitted))
    if names & set(catalog.load().observers) and request.path in OBSERVED:
        return "observer"
    caller = ", ".join(sorted(names)) or "a caller without a certificate"
    raise Forbidden(f"{service.name} does not admit {caller}; the catalogue names who may call it")


def _as_lucid(error: Exception) -> LucidError:
    """Any failure as one of ours; what nobody foresaw is logged with its trace and answered 5001."""
    if isinstance(error, LucidError):
        if error.code.status >= 500:
            log.warning("failed", code=error.code.label, error=error.message, details=error.details)
        return error
    failure = next((make() for kind, make in _FORESEEN if isinstance(error, kind)), None)
    if failure is None:
        log.exception("unforeseen failure", error=str(error))
        return LucidError("something unforeseen went wrong; the log has the request id")
    if failure.code.status >= 500:
        log.warning("failed", code=failure.code.label, error=f"{type(error).__name__}: {error}")
    return failure


_FORESEEN: tuple[tuple[type[Exception], Callable[[], LucidError]], ...] = (
    (PyMongoError, lambda: Unavailable("the database cannot be reached; try again", code=Code.DATABASE)),
    (web.HTTPNotFound, lambda: NotFound("there is no such path")),
    (web.HTTPMethodNotAllowed, lambda: Invalid("this path has no such method", code=Code.NOT_ALLOWED)),
    (web.HTTPException, lambda: Invalid("the request is not HTTP as it should be")),
    (TimeoutError, lambda: Unavailable("not done before the deadline", code=Code.TIMEOUT)),
    (aiohttp.ClientConnectionError, lambda: Unavailable("a connection broke", code=Code.NETWORK)),
)


async def _client_context(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[CLIENT].close()


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )
