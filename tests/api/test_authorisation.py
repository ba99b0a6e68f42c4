"""Who may do what: every route, with every role and every kind of token.

The table is made from the routes that the gateway serves, so that a new one cannot be forgotten.
"""

import time
import uuid
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

import msgspec

from lucid import catalog
from lucid.auth.tokens import ACCESS_SECONDS, Signer
from lucid.contracts import api_gateway, auth_service
from lucid.gateway.table import public_routes
from lucid.kit.errors import Code, Envelope
from lucid.kit.revocations import REVOCATIONS
from lucid.kit.routes import NOTHING, Access, Nothing, Route
from lucid.kit.tokens import LEEWAY_SECONDS
from tests.api.conftest import Front

ROUTES: tuple[Route[Any, Any, Any], ...] = (*api_gateway.ROUTES, *public_routes(catalog.load()))
ROLES = tuple(access for access in Access if access >= Access.USER)


class Token(Enum):
    """What a caller shows."""

    NONE = auto()
    VALID = auto()
    EXPIRED = auto()
    NOT_YET = auto()
    MALFORMED = auto()
    OTHER_KEY = auto()
    ENDED = auto()
    """Of a login that was ended."""


REFUSED = {
    Token.NONE: Code.AUTHENTICATION_REQUIRED,
    Token.EXPIRED: Code.TOKEN_EXPIRED,
    Token.NOT_YET: Code.TOKEN_INVALID,
    Token.MALFORMED: Code.TOKEN_INVALID,
    Token.OTHER_KEY: Code.TOKEN_INVALID,
    Token.ENDED: Code.LOGIN_ENDED,
}


def cells() -> Iterator[tuple[Route[Any, Any, Any], Token, Access]]:
    """The table: route, token, role in the token."""
    for route in ROUTES:
        for token in Token:
            roles = ROLES if token is Token.VALID else (Access.SUPER_ADMIN,)
            yield from ((route, token, role) for role in roles)


def wanted(route: Route[Any, Any, Any], token: Token, role: Access) -> Code | None:
    """The refusal that a cell stands for; None if the request reaches its service."""
    if route.access is Access.PUBLIC:
        return None
    if token is not Token.VALID:
        return REFUSED[token]
    return None if role >= route.access else Code.PERMISSION


def path_of(route: Route[Any, Any, Any]) -> str:
    """A path of the route whose parameters are valid and name nothing that exists."""
    candidates = (str(uuid.uuid4()), "1", "ab" * 32, "a" * 24, "public")
    given: dict[str, str] = {}
    for name in route.path_names:
        field = next(each for each in msgspec.structs.fields(route.params) if each.encode_name == name)
        given[name] = next(each for each in candidates if _fits(each, field.type))
    return route.path.format(**given)


def _fits(value: str, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return False
    return True


async def test_every_cell_of_the_table(front: Front) -> None:
    ended = await _ended_login(front)
    now = int(time.time())
    stranger = Front(front.house, front.session, front.account, Signer(bytes(32)))
    wrong = []
    for route, token, role in cells():
        login = str(uuid.uuid4())
        shown = {
            Token.NONE: None,
            Token.VALID: front.token(role, now, login),
            Token.EXPIRED: front.token(role, now - ACCESS_SECONDS - 2 * LEEWAY_SECONDS, login),
            Token.NOT_YET: front.token(role, now + 600, login),
            Token.MALFORMED: "a.b.c",
            Token.OTHER_KEY: stranger.token(role, now, login),
            Token.ENDED: front.token(role, now, ended),
        }[token]
        status, code = await _ask(front, route, shown)
        expected = wanted(route, token, role)
        if expected is not None:
            right = (status, code) == (expected.status, expected)
        else:
            # What it then meets is its service's affair; nobody is turned away at the door.
            right = code not in {*REFUSED.values(), Code.PERMISSION} - set(route.errors)
        if not right:
            wrong.append(f"{route.method} {route.path} {token.name} {role.role}: {status} {code}")
    assert not wrong, "\n".join(wrong)


async def _ask(front: Front, route: Route[Any, Any, Any], token: str | None) -> tuple[int, Code | None]:
    async with front.session.request(
        route.method,
        front.url + path_of(route),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        json=None if route.body is Nothing else {},
        server_hostname="api-gateway.lucid.internal",
    ) as answer:
        body = await answer.read()
    if answer.status < 400:
        return answer.status, None
    label = msgspec.json.decode(body, type=Envelope).error.code
    return answer.status, next(code for code in Code if code.label == label)


async def _ended_login(front: Front) -> str:
    """The id of a login that was ended, as the gateway knows."""
    login = auth_service.Login(email="anna@example.org", password="seven wet horses 7")
    tokens = await front.house.call("api-gateway", auth_service.LOGIN, NOTHING, login)
    async with front.session.post(
        f"{front.url}{auth_service.LOGOUT.path}",
        headers={"Authorization": f"Bearer {tokens.access_token}"},
        server_hostname="api-gateway.lucid.internal",
    ) as answer:
        assert answer.status == 204, await answer.text()
    await front.house.apps["api-gateway"][REVOCATIONS].refresh()
    return tokens.session
