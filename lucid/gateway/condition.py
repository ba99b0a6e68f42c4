"""How the gateway is, and what stands behind it: in outline for everybody, in detail for admins."""

import dataclasses
import os
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from lucid.contracts import api_gateway as contract
from lucid.gateway.limits.limiter import LIMITER
from lucid.gateway.table import mounted
from lucid.gateway.upstream.balancing import Replica
from lucid.gateway.upstream.requests import Patience, UpstreamRequest
from lucid.gateway.upstream.upstream import Upstream
from lucid.kit import app
from lucid.kit.errors import Unavailable
from lucid.kit.health import CHECKS, Check
from lucid.kit.routes import Nothing

CHECK_SECONDS = 1.5
OPERATORS_PATH = "/health/detailed"
"""Where it is beside the API, as every service's `/health` is."""
AT = "@"
"""Stands between service and host in the name of a check of one host."""
UPSTREAMS = web.AppKey("upstreams", dict[str, Upstream])

handlers = app.Handlers()


def check(upstream: Upstream, path: str, only: Replica | None = None) -> Callable[[], Awaitable[None]]:
    """A check that `path` of the service answers 200, asked once, whatever its breaker says.

    With `only` it is that replica which is asked; how it answers decides, too, whether it gets requests.
    """
    patience = Patience(CHECK_SECONDS, CHECK_SECONDS, CHECK_SECONDS)

    async def ask() -> None:
        answer = await upstream.ask(UpstreamRequest("GET", path, ()), patience, guarded=False, only=only)
        try:
            await answer.read()
        finally:
            answer.release()
        if answer.head.status != 200:
            raise Unavailable(f"{upstream.name} is not ready: {path} answers {answer.head.status}")

    return ask


@handlers.on(mounted(contract.HEALTH))
async def health(call: app.Call, _: Nothing, __: Nothing) -> contract.MetaHealth:
    """The gateway's own checks, without what only operators should read."""
    report = await call.app[CHECKS].run(call.app)
    services = {name: each.status for name, each in report.dependencies.items() if AT not in name}
    breakers = {name: upstream.state() for name, upstream in call.app[UPSTREAMS].items()}
    return contract.MetaHealth(report.status, services, breakers)


@handlers.on(dataclasses.replace(contract.DETAILED_HEALTH, path=OPERATORS_PATH))
@handlers.on(mounted(contract.DETAILED_HEALTH))
async def detailed(call: app.Call, _: Nothing, __: Nothing) -> contract.DetailedHealth:
    """The checks with their errors, and what this process has made of each service."""
    report = await call.app[CHECKS].run(call.app)
    upstreams = call.app[UPSTREAMS]
    return contract.DetailedHealth(
        status=report.status,
        version=report.version,
        process=os.getpid(),
        uptime_seconds=report.uptime_seconds,
        draining=report.draining,
        dependencies={
            n: each for n, each in report.dependencies.items() if n.partition(AT)[0] not in upstreams
        },
        upstreams={
            name: _upstream(upstream, report.dependencies, call.app[LIMITER].weight(name))
            for name, upstream in upstreams.items()
        },
    )


def _upstream(upstream: Upstream, found: Mapping[str, Check], weight: int) -> contract.UpstreamHealth:
    now = time.monotonic()
    mine = upstream.name + AT
    return contract.UpstreamHealth(
        breaker=upstream.state(),
        check=found.get(upstream.name),
        hosts={n.removeprefix(mine): each for n, each in found.items() if n.startswith(mine)},
        mean_milliseconds=round(upstream.seconds * 1000, 2),
        weight=weight,
        replicas=tuple(sorted((_replica(each, now) for each in upstream.replicas), key=lambda r: r.address)),
    )


def _replica(found: Replica, now: float) -> contract.ReplicaHealth:
    left = round(found.out_seconds(now), 3)
    return contract.ReplicaHealth(found.authority, found.running, found.failures, left)
