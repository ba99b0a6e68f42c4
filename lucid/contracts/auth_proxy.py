"""auth-proxy: says to a reverse proxy whether a request may pass, and whose it is.

The proxy asks with any method at `/check/<role>`, followed by whatever it likes: Envoy's ext_authz with the
path prefix `/check/user` appends the client's path, nginx's auth_request asks for `/check/user` alone. The
role is the least that the caller must have (`/check` alone: user); `public` asks for no token and counts
the client only. The question carries

- `Authorization`, as the client sent it;
- `X-Forwarded-For`, the last address in it being the one that the proxy itself sees.

The answer is 200 with the headers below, which the proxy must set on what it passes on, empty ones
included, or 401, 403, 429, 503 with the error envelope, which it hands to the client.
"""

from typing import Literal

import msgspec

from lucid.kit.errors import Code
from lucid.kit.routes import Access, Nothing, Route

SERVICE = "auth-proxy"

PREFIX = "/check"
USER_HEADER = "X-Lucid-User"
"""User id; empty where no token was asked for."""
ROLE_HEADER = "X-Lucid-Role"
SESSION_HEADER = "X-Lucid-Session"
"""Id of the login."""


class RolePath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The least role that the caller must have."""

    role: Literal["public", "user", "node_operator", "admin", "super_admin"]


CHECK = Route(
    SERVICE, "GET", "/check/{role}", RolePath, Nothing, Nothing, "Whether a request may pass, whose it is",
    access=Access.PUBLIC,
    errors=(
        Code.AUTHENTICATION_REQUIRED, Code.TOKEN_EXPIRED, Code.TOKEN_INVALID, Code.LOGIN_ENDED,
        Code.PERMISSION, Code.RATE, Code.NOT_FOUND, Code.CONFIGURATION, Code.NETWORK, Code.TIMEOUT,
        Code.UNAVAILABLE,
    ),
)  # fmt: skip

ROUTES = (CHECK,)
