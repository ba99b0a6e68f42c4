"""auth-proxy: the question of Envoy's ext_authz and nginx's auth_request, see
`lucid.contracts.auth_proxy`."""

import ipaddress

from aiohttp import hdrs, web

from lucid.contracts import auth_proxy as contract
from lucid.contracts import auth_service
from lucid.gateway.limits import gate, limiter
from lucid.gateway.limits.limiter import TIERS
from lucid.gateway.limits.settings import LimitSettings
from lucid.kit import app, launch, requests, settings
from lucid.kit.errors import Code, LucidError, NotFound
from lucid.kit.identity import verifying
from lucid.kit.routes import Access
from lucid.kit.tokens import VERIFIER

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""A question has the method of the client's request, or GET. Others are not passed."""
ROLES = {access.role: access for access in Access if access is not Access.INTERNAL}


async def create() -> web.Application:
    """The application. Raises SettingsError."""
    config = settings.load(LimitSettings)
    limits = limiter.context(contract.SERVICE, config)
    client = launch.service_client(config, contract.SERVICE)
    verifier, fresh = verifying(client, auth_service.JWKS, auth_service.REVOCATIONS)
    service = app.build(contract.SERVICE, app.Handlers(), client=client, resources=[fresh, limits])
    service[VERIFIER] = verifier
    service[app.FINISHES].append(limiter.announce)
    for path in (contract.PREFIX, contract.PREFIX + "/{rest:.*}"):
        for method in METHODS:
            service.router.add_route(method, path, check, expect_handler=requests.expectation)
    return service


async def check(request: web.Request) -> web.Response:
    """200 and whose request it is, or why it may not pass."""
    needed = required(request.raw_path)
    client = client_of(request)
    await gate.enter(request, client)
    claims = await app.authorise(request, needed)
    rank, user = (claims.access, claims.sub) if claims else (Access.PUBLIC, None)
    await gate.count(request, request.app[TIERS].by_rank(rank), client, user)
    # Also where nobody is known: a header of this name that the client has sent must not pass.
    identity = {
        contract.USER_HEADER: claims.sub if claims else "",
        contract.ROLE_HEADER: claims.role if claims else "",
        contract.SESSION_HEADER: claims.sid if claims else "",
    }
    return web.Response(headers=identity)


def required(target: str) -> Access:
    """The least rank that the caller must have: the path's second segment, exactly as the proxy sent it.

    Only what the proxy itself writes in front of the client's path decides, nothing that the client can add
    to. Raises NotFound for a role that there is not.
    """
    segments = target.partition("?")[0].split("/", 3)
    if len(segments) == 2:
        return Access.USER
    if segments[2] not in ROLES:
        raise NotFound(f"ask at {contract.PREFIX}/<role>; the roles are {', '.join(ROLES)}")
    return ROLES[segments[2]]


def client_of(request: web.Request) -> str:
    """The address that the proxy sees. Raises LucidError 5004 where the proxy does not say."""
    named = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, [])).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(named))
    except ValueError:
        raise LucidError(
            "the proxy does not say who asks: let it send X-Forwarded-For, its client's address last",
            code=Code.CONFIGURATION,
        ) from None
