"""api-gateway: one entrance for people, with the routes of every exposed service under one prefix."""

import dataclasses
import os
import ssl
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from lucid import __version__, catalog
from lucid.contracts import api_gateway as contract
from lucid.contracts import auth_service
from lucid.gateway import condition, onion, passage, profile, proxy, reference
from lucid.gateway.condition import UPSTREAMS
from lucid.gateway.cors import cors
from lucid.gateway.entrance import Entrance
from lucid.gateway.headers import POLICY, SECURITY, secure
from lucid.gateway.limits import limiter
from lucid.gateway.limits.settings import LimitSettings
from lucid.gateway.table import document, mounted, public_routes
from lucid.gateway.upstream.balancing import EjectionRule
from lucid.gateway.upstream.breaker import BreakerRule
from lucid.gateway.upstream.requests import Patience
from lucid.gateway.upstream.upstream import Rules, Upstream
from lucid.kit import app, hosts, identity, launch, requests, settings, tls
from lucid.kit.client import addresses, variable
from lucid.kit.connections import FACE
from lucid.kit.health import CHECKS
from lucid.kit.routes import Nothing
from lucid.kit.tokens import VERIFIER

READY = "/health/ready"


class Settings(LimitSettings, frozen=True, kw_only=True):
    """Settings of api-gateway."""

    upstream_connect_seconds: Annotated[
        float, Meta(gt=0, le=60, description="longest wait for a connection to a service")
    ] = 5.0
    upstream_read_seconds: Annotated[
        float, Meta(gt=0, le=600, description="longest wait for an answer, or for the next piece of a stream")
    ] = 10.0
    circuit_breaker_failures: Annotated[
        int, Meta(ge=1, le=1000, description="failures in a row after which a service is given a rest")
    ] = 5
    circuit_breaker_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="how long that rest is", extra={"unit": "seconds"})
    ] = 60.0
    circuit_breaker_successes: Annotated[
        int, Meta(ge=1, le=1000, description="answers in a row after which the service counts as well again")
    ] = 2
    replica_failures: Annotated[
        int, Meta(ge=1, le=1000, description="failures in a row that put one replica of a service out")
    ] = 3
    replica_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="how long a replica stays out", extra={"unit": "seconds"})
    ] = 30.0
    allowed_hosts: Annotated[
        str,
        Meta(
            description="names and addresses that requests may be meant for, with commas; empty: any",
            examples=["lucid.example,10.0.0.1"],
        ),
    ] = ""
    cors_origins: Annotated[
        str,
        Meta(
            description="origins whose pages may use the API, with commas; empty: none",
            examples=["https://lucid.example"],
        ),
    ] = ""
    gateway_profile: Annotated[
        str,
        Meta(
            description="file that says what other services are passed through; empty: none",
            examples=["/etc/lucid/gateway.yml"],
        ),
    ] = ""
    cors_credentials: Annotated[
        bool, Meta(description="whether those pages may send cookies and the like")
    ] = False
    tor_status: Annotated[
        str,
        Meta(
            description="file that says how Tor is; empty: nobody comes through Tor",
            examples=["/run/lucid-tor/status.json"],
        ),
    ] = ""


handlers = app.Handlers(condition.handlers)


async def create() -> web.Application:
    """The application. Raises SettingsError."""
    config = settings.load(Settings)
    limits = limiter.context(contract.SERVICE, config)
    client = launch.service_client(config, contract.SERVICE)
    verifier, fresh = identity.verifying(client, auth_service.JWKS, auth_service.REVOCATIONS)
    gateway = app.build(contract.SERVICE, handlers, client=client, resources=[fresh, limits])
    gateway[VERIFIER] = verifier
    entrance = _entrance(config)
    gateway.middlewares.append(entrance.middleware())
    gateway[app.FINISHES].extend((secure, entrance.leave, limiter.announce))
    gateway[FACE] = dataclasses.replace(gateway[FACE], headers=SECURITY | {"Server": "lucid"})
    upstreams = gateway[UPSTREAMS] = _upstreams(config)
    gateway.cleanup_ctx.append(_closing)
    routes = public_routes(catalog.load())
    patience = Patience(config.upstream_connect_seconds, config.upstream_read_seconds)
    for route in routes:
        gateway.router.add_route(
            route.method,
            contract.PREFIX + route.path,
            proxy.handler(route, upstreams[route.service], patience),
            expect_handler=requests.expectation,
        )
    _pass_through(gateway, config)
    for service in catalog.load().exposed():
        upstream = upstreams[service.name]
        gateway[CHECKS].add(service.name, condition.check(upstream, READY), needed=False)
        for host, url in hosts.read(service.name, os.environ).items():
            of_host = condition.check(upstream, READY, upstream.at(url))
            gateway[CHECKS].add(f"{service.name}{condition.AT}{host}", of_host, needed=False)
    if config.tor_status:
        gateway[CHECKS].add("tor", onion.check(Path(config.tor_status)), needed=False)
    _describe(gateway)
    return gateway


@handlers.on(mounted(contract.INFO))
async def info(_: app.Call, __: Nothing, ___: Nothing) -> contract.Info:
    """What this is."""
    return contract.Info("Lucid", __version__, contract.PREFIX)


def _pass_through(gateway: web.Application, config: Settings) -> None:
    """What the profile adds to the catalogue's services."""
    found = profile.load(config.gateway_profile)
    context = _tls(config)
    made = {
        name: Upstream(name, service.urls, context, tls.internal_name(name), _rules(config, service.failing))
        for name, service in found.upstreams.items()
    }
    gateway[UPSTREAMS] |= made
    for name, service in found.upstreams.items():
        if service.health is not None:
            gateway[CHECKS].add(name, condition.check(made[name], service.health), needed=False)
    for each in found.passages:
        service = found.upstreams[each.upstream]
        patience = Patience(service.connect_seconds, service.read_seconds)
        handle = passage.handler(each, made[each.upstream], patience)
        for path in (each.prefix, each.prefix + "/{below:.*}"):
            gateway.router.add_route("*", path, handle, expect_handler=requests.expectation)


def _entrance(config: Settings) -> Entrance:
    allowed = frozenset(name.strip().lower() for name in config.allowed_hosts.split(",") if name.strip())
    tls_port = catalog.load().services[contract.SERVICE].entry.port
    return Entrance(allowed, cors(config.cors_origins, credentials=config.cors_credentials), tls_port)


def _upstreams(config: Settings) -> dict[str, Upstream]:
    """Every service that the catalogue lets the gateway call, at the addresses that it is given for it.

    Of one that may have several hosts these are all of them: each is a replica, with connections of its own.
    """
    context = _tls(config)
    return {
        callee: Upstream(
            callee,
            tuple(hosts.read(callee, os.environ).values()) or addresses(os.environ[variable(callee)]),
            context,
            tls.internal_name(callee),
            _rules(config),
        )
        for callee in catalog.load().services[contract.SERVICE].calls
    }


def _tls(config: Settings) -> ssl.SSLContext:
    directory, name = Path(config.tls_directory), contract.SERVICE
    return tls.client_context(directory / f"{name}.crt", directory / f"{name}.key", directory / "ca.crt")


def _rules(config: Settings, failing: Iterable[int] = ()) -> Rules:
    breaker = BreakerRule(
        config.circuit_breaker_failures, config.circuit_breaker_seconds, config.circuit_breaker_successes
    )
    return Rules(breaker, EjectionRule(config.replica_failures, config.replica_seconds), frozenset(failing))


async def _closing(gateway: web.Application) -> AsyncIterator[None]:
    yield
    for upstream in gateway[UPSTREAMS].values():
        upstream.close()


def _describe(gateway: web.Application) -> None:
    """Serves what describes all that the gateway answers: for programs, and as a page for people."""
    described = document(catalog.load())
    encoded, page = msgspec.json.encode(described), reference.html(described)
    policy = f"default-src 'none'; frame-ancestors 'none'; style-src {reference.STYLE_SOURCE}"

    async def describe(_: web.Request) -> web.Response:
        return web.Response(body=encoded, content_type="application/json")

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers={POLICY: policy})

    for path, handler in (("/openapi.json", describe), ("/docs", show)):
        gateway.router.add_get(contract.PREFIX + path, handler, expect_handler=requests.expectation)
