"""Who gets past the gateway: the one place where a request is checked before anything is done for it."""

import time
from collections.abc import Coroutine
from typing import Any

from aiohttp import web
from prometheus_client import Counter

from lucid.gateway.headers import client_key
from lucid.gateway.limits import gate
from lucid.gateway.limits.limiter import LIMITER, TIERS, Limiter
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Answer, Upstream
from lucid.kit.app import authorise
from lucid.kit.errors import LucidError
from lucid.kit.routes import Access, Route
from lucid.kit.tokens import Claims

validations_total = Counter(
    "lucid_auth_token_validations_total", "Access tokens checked, by what was found.", ["outcome"]
)
_FAILED = 500
_valid = validations_total.labels("valid")


async def admit(request: web.Request, route: Route[Any, Any, Any]) -> Claims | None:
    """The claims of the caller, if `route` asks for a person, and counts the request.

    Raises as `authorise`, or Limited 3001.
    """
    claims = None if route.access is Access.PUBLIC else await _identified(request, route.access)
    rank, user = (claims.access, claims.sub) if claims else (Access.PUBLIC, None)
    tier = request.app[TIERS].of(route, rank)
    await gate.count(request, tier, client_key(request), user, upstream=route.service)
    return claims


async def _identified(request: web.Request, access: Access) -> Claims | None:
    try:
        claims = await authorise(request, access)
    except Exception as error:
        outcome = error.code.name.lower() if isinstance(error, LucidError) else "failed"
        validations_total.labels(outcome).inc()
        raise
    _valid.inc()
    return claims


def ask(
    request: web.Request, upstream: Upstream, asked: UpstreamRequest, patience: Patience
) -> Coroutine[Any, Any, Answer]:
    """`upstream.ask`, of which adaptive limits, where there are any, hear how it went."""
    limiter = request.app[LIMITER]
    if not limiter.adaptive:
        return upstream.ask(asked, patience)
    return _observed(limiter, upstream, asked, patience)


async def _observed(
    limiter: Limiter, upstream: Upstream, asked: UpstreamRequest, patience: Patience
) -> Answer:
    begin, failed = time.perf_counter(), False
    try:
        answer = await upstream.ask(asked, patience)
        failed = answer.head.status >= _FAILED
        return answer
    except LucidError as error:
        failed = error.code.status >= _FAILED
        raise
    finally:
        limiter.observe(upstream.name, time.perf_counter() - begin, failed)
