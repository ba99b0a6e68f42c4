"""api-gateway: one entrance for people, with the routes of every exposed service under one prefix."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from lucid import __version__, catalog
from lucid.contracts import api_gateway as contract
from lucid.contracts import auth_service
from lucid.gateway import proxy
from lucid.gateway.headers import secure
from lucid.gateway.table import public_routes
from lucid.kit import app, launch, openapi, requests, settings
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Unavailable
from lucid.kit.forward import Limits, forward
from lucid.kit.health import CHECKS
from lucid.kit.routes import NOTHING, Nothing, Route
from lucid.kit.tokens import VERIFIER, Jwks, Verifier

LOOPBACK_PATHS = frozenset({"/metrics", "/openapi.json"})
"""What every service has and the operator's own tools read; the public document is under the prefix."""
CHECK_SECONDS = 1.5


class Settings(settings.Common, frozen=True, kw_only=True):
    """Settings of api-gateway."""

    upstream_connect_seconds: Annotated[
        float, Meta(gt=0, le=60, description="longest wait for a connection to a service")
    ] = 5.0
    upstream_read_seconds: Annotated[
        float, Meta(gt=0, le=600, description="longest wait for an answer, or for the next piece of a stream")
    ] = 10.0


handlers = app.Handlers()


def _mounted(route: Route[Any, Any, Any]) -> Route[Any, Any, Any]:
    return dataclasses.replace(route, path=contract.PREFIX + route.path)


async def create() -> web.Application:
    """The application. Raises SettingsError."""
    config = settings.load(Settings)
    client = launch.service_client(config, contract.SERVICE)
    if client is None:
        raise settings.SettingsError("cannot start: the catalogue gives api-gateway no service to call")
    gateway = app.build(contract.SERVICE, handlers, client=client)
    gateway.middlewares.append(_loopback_only)
    gateway.on_response_prepare.append(secure)

    async def keys() -> Jwks:
        return await client.call(auth_service.JWKS, NOTHING)

    gateway[VERIFIER] = Verifier(keys)
    limits = Limits(config.upstream_connect_seconds, config.upstream_read_seconds)
    routes = public_routes(catalog.load())
    for route in routes:
        gateway.router.add_route(
            route.method,
            contract.PREFIX + route.path,
            proxy.handler(route, limits),
            expect_handler=requests.expectation,
        )
    for service in catalog.load().exposed():
        gateway[CHECKS].add(service.name, _check(client, service.name), needed=False)
    _describe(gateway, (*contract.ROUTES, *routes))
    return gateway


@handlers.on(_mounted(contract.INFO))
async def info(_: app.Call, __: Nothing, ___: Nothing) -> contract.Info:
    """What this is."""
    return contract.Info("Lucid", __version__, contract.PREFIX)


@handlers.on(_mounted(contract.HEALTH))
async def health(call: app.Call, _: Nothing, __: Nothing) -> contract.MetaHealth:
    """The gateway's own checks, without what only operators should read."""
    report = await call.app[CHECKS].run(call.app)
    return contract.MetaHealth(report.status, {name: c.status for name, c in report.dependencies.items()})


def _check(client: ServiceClient, service: str) -> Callable[[], Awaitable[None]]:
    """A check that `service` is ready, asked once."""
    ready = Route(service, "GET", "/health/ready", Nothing, Nothing, Nothing, "Ready for traffic")

    async def check() -> None:
        limits = Limits(CHECK_SECONDS, CHECK_SECONDS)
        async with forward(
            client, ready, NOTHING, None, headers={}, limits=limits, seconds=CHECK_SECONDS
        ) as answer:
            if answer.status != ready.status:
                raise Unavailable(f"{service} is not ready")

    return check


def _describe(gateway: web.Application, routes: tuple[Route[Any, Any, Any], ...]) -> None:
    """Serves the OpenAPI document of all that the gateway answers."""
    encoded = msgspec.json.encode(openapi.document("API", routes, contract.PREFIX))

    async def describe(_: web.Request) -> web.Response:
        return web.Response(body=encoded, content_type="application/json")

    gateway.router.add_get(contract.PREFIX + "/openapi.json", describe)


@web.middleware
async def _loopback_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Over TLS, where anybody may come, the operator's paths do not exist."""
    if request.secure and request.path in LOOPBACK_PATHS:
        raise web.HTTPNotFound
    return await handler(request)
