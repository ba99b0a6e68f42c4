"""auth-service: accounts, logins and the keys that check its tokens."""

from typing import Annotated

import msgspec

from lucid.contracts.types import UserId
from lucid.kit.errors import Code
from lucid.kit.routes import Access, Nothing, Route
from lucid.kit.tokens import Jwks

SERVICE = "auth-service"

Mail = Annotated[
    str, msgspec.Meta(max_length=254, description="Mail address; compared without regard to case.")
]
Password = Annotated[str, msgspec.Meta(max_length=1024, description="At least 12 characters.")]
RoleName = Annotated[str, msgspec.Meta(pattern="^(user|node_operator|admin|super_admin)$")]


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new account. The bootstrap token makes the first super_admin, once."""

    email: Mail
    password: Password
    bootstrap_token: str | None = None

    def __repr__(self) -> str:
        return f"Register(email={self.email!r}, password=***, bootstrap_token=***)"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account, as its owner and admins see it."""

    id: UserId
    email: str
    role: str
    created: str
    """RFC 3339, UTC."""


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mail address and password."""

    email: Mail
    password: Password

    def __repr__(self) -> str:
        return f"Login(email={self.email!r}, password=***)"


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh access token."""

    access_token: str
    expires_in: int
    """Seconds."""
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name, not a secret

    def __repr__(self) -> str:
        return f"Tokens(access_token=***, expires_in={self.expires_in})"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Whom the token speaks for."""

    user: UserId
    role: str
    expires: str


class UserPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one account."""

    user: UserId


class ChangeRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The role to give."""

    role: RoleName


REGISTER = Route(
    SERVICE, "POST", "/users", Nothing, Register, User, "Create an account",
    access=Access.PUBLIC, status=201,
    errors=(Code.MAIL_ADDRESS, Code.WEAK_PASSWORD, Code.EXISTS, Code.PERMISSION),
)  # fmt: skip
ME = Route(SERVICE, "GET", "/users/me", Nothing, Nothing, User, "My account", access=Access.USER)
CHANGE_ROLE = Route(
    SERVICE, "PUT", "/users/{user}/role", UserPath, ChangeRole, User, "Give an account a role",
    access=Access.SUPER_ADMIN, errors=(Code.NOT_FOUND,),
)  # fmt: skip
LOGIN = Route(
    SERVICE, "POST", "/auth/login", Nothing, Login, Tokens, "Log in with a password",
    access=Access.PUBLIC, errors=(Code.AUTHENTICATION_REQUIRED,),
)  # fmt: skip
STATUS = Route(
    SERVICE, "GET", "/auth/status", Nothing, Nothing, Status, "Whom my token speaks for", access=Access.USER
)
JWKS = Route(
    SERVICE, "GET", "/auth/.well-known/jwks.json", Nothing, Nothing, Jwks, "The keys that sign access tokens",
    access=Access.PUBLIC,
)  # fmt: skip

ROUTES = (REGISTER, ME, CHANGE_ROLE, LOGIN, STATUS, JWKS)
