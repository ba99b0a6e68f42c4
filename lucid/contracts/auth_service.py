"""auth-service: accounts, the ways to log in, the logins themselves, and the keys that check its tokens."""

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from lucid.contracts.types import PageLimit, PageOffset, SessionId, UserId
from lucid.kit.errors import Code
from lucid.kit.revocations import RevocationPage
from lucid.kit.routes import Access, Nothing, Route
from lucid.kit.tokens import Jwks

SERVICE = "auth-service"

Mail = Annotated[
    str, msgspec.Meta(max_length=254, description="Mail address; compared without regard to case.")
]
Password = Annotated[str, msgspec.Meta(max_length=1024, description="At least 12 characters.")]
RoleName = Annotated[str, msgspec.Meta(pattern="^(user|node_operator|admin|super_admin)$")]
LoginId = Annotated[SessionId, msgspec.Meta(description="Id of a login: a UUID in lower case.")]
Totp = Annotated[
    str,
    msgspec.Meta(pattern="^[0-9]{6}$", description="What the authenticator shows now (RFC 6238)."),
]
RecoveryCode = Annotated[str, msgspec.Meta(max_length=40, description="One of the ten; each works once.")]
Opaque = Annotated[str, msgspec.Meta(max_length=128)]
Address = Annotated[str, msgspec.Meta(max_length=64, description="TRON address, base58check, T...")]
Signature = Annotated[
    str,
    msgspec.Meta(pattern="^(0x)?[0-9a-fA-F]{130}$", description="r, s, v: 65 bytes in hex."),
]
EventId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{24}$", description="Id of an event.")]
Moment = Annotated[str, msgspec.Meta(description="RFC 3339, UTC.")]


class _Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What people send. Most of it is secret, so only its kind shows."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class Register(_Input, frozen=True, kw_only=True):
    """A new account. The bootstrap token makes the first super_admin, once."""

    email: Mail
    password: Password
    bootstrap_token: str | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account, as its owner and admins see it."""

    id: UserId
    email: str
    role: str
    created: Moment
    suspended: bool
    second_factor: bool
    """Whether logins ask for a code."""
    wallet: str | None
    """The TRON address that may log in, if one is linked."""


class SecondFactor(_Input, frozen=True, kw_only=True):
    """For accounts with a second factor: one of the two."""

    totp: Totp | None = None
    recovery_code: RecoveryCode | None = None


class Login(SecondFactor, frozen=True, kw_only=True):
    """Mail address and password."""

    email: Mail
    password: Password


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gives: an access token, and a refresh token for the one after it."""

    access_token: str
    expires_in: int
    """Seconds."""
    refresh_token: str
    """Good once: with each refresh there comes a new one."""
    refresh_expires_in: int
    """Seconds."""
    session: LoginId
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name, not a secret

    def __repr__(self) -> str:
        return f"Tokens(session={self.session!r}, access_token=***, refresh_token=***)"


class Refresh(_Input, frozen=True, kw_only=True):
    """The refresh token that came last."""

    refresh_token: Opaque


class Verify(_Input, frozen=True, kw_only=True):
    """An access token."""

    token: Annotated[str, msgspec.Meta(max_length=8192)]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a token speaks for."""

    user: UserId
    role: str
    session: LoginId
    expires: Moment


class LoginSession(msgspec.Struct, frozen=True, kw_only=True):
    """A login that is active."""

    id: LoginId
    user: UserId
    method: str
    """`password`, `wallet` or `link`."""
    client: str
    """Address or onion circuit that logged in; empty if unknown."""
    created: Moment
    seen: Moment
    """When it last got an access token."""
    expires: Moment
    """When its refresh token will have expired."""
    current: bool
    """Whether it is the one that asks."""


class Logins(msgspec.Struct, frozen=True, kw_only=True):
    """A page of active logins, those seen last first."""

    sessions: tuple[LoginSession, ...]
    total: int


class LoginsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose logins: one's own, or for admins another user's."""

    user: UserId | None = None
    limit: PageLimit = 20
    offset: PageOffset = 0


class LoginPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one login."""

    session: LoginId


class RevocationsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number seen last; 0 for all."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


class Enrol(SecondFactor, frozen=True, kw_only=True):
    """The password; and the second factor too, where one is to be replaced."""

    password: Password


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """A seed for an authenticator. It counts once a code of it has been confirmed."""

    secret: str
    """Base32, to be typed in."""
    uri: str
    """otpauth URI, to be shown as a QR code."""

    def __repr__(self) -> str:
        return "Enrolment(***)"


class Confirm(_Input, frozen=True, kw_only=True):
    """A code of the new seed."""

    totp: Totp


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    """Ten codes, shown once, each good for one login without the authenticator."""

    recovery_codes: tuple[str, ...]

    def __repr__(self) -> str:
        return "RecoveryCodes(***)"


class ChallengeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose wallet is to sign, and what for."""

    address: Address
    purpose: Literal["login", "link"] = "login"


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """A text to be signed as it stands (TIP-191, signMessageV2)."""

    nonce: str
    message: str
    expires: Moment


class WalletLogin(SecondFactor, frozen=True, kw_only=True):
    """A signed challenge for `login`."""

    address: Address
    nonce: Opaque
    signature: Signature


class LinkWallet(_Input, frozen=True, kw_only=True):
    """The password, and a signed challenge for `link`."""

    password: Password
    address: Address
    nonce: Opaque
    signature: Signature


class LinkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to send a login link."""

    email: Mail


class LinkLogin(SecondFactor, frozen=True, kw_only=True):
    """The code from the mail."""

    token: Opaque


class UserPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one account."""

    user: UserId


class ChangeRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The role to give."""

    role: RoleName


class Suspend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the account is to be kept out."""

    suspended: bool


class UpdateMe(_Input, frozen=True, kw_only=True):
    """What is to change, and the password as it is now."""

    password: Password
    email: Mail | None = None
    new_password: Password | None = None


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which events: all, or those that concern one user; the newest, or those before another."""

    user: UserId | None = None
    before: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{24}$", description="Id of an event.")] | None = (
        None
    )
    limit: PageLimit = 20


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an account."""

    id: EventId
    at: Moment
    event: str
    outcome: str
    """`done` or `refused`."""
    user: str | None
    """Whose account; None where nobody knows."""
    by: str | None
    """Who did it; None for somebody not logged in."""
    client: str
    details: dict[str, str]


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events, the newest first."""

    events: tuple[AuditEvent, ...]


P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")

_BODY = (Code.INVALID, Code.MISSING_FIELD, Code.FORMAT, Code.OUT_OF_RANGE, Code.JSON, Code.TOO_LARGE)
_PARAMS = (Code.INVALID, Code.FORMAT, Code.OUT_OF_RANGE)
_TOKEN = (Code.AUTHENTICATION_REQUIRED, Code.TOKEN_EXPIRED, Code.TOKEN_INVALID, Code.LOGIN_ENDED)
_DOWN = (Code.INTERNAL, Code.DATABASE, Code.TIMEOUT, Code.UNAVAILABLE)
_PROOF = (Code.AUTHENTICATION_REQUIRED, Code.ACCOUNT_LOCKED)
_SECOND = (Code.ACCOUNT_LOCKED, Code.SECOND_FACTOR, Code.PERMISSION)


def _route(
    method: str, path: str, params: type[P], body: type[B], response: type[R], summary: str, access: Access,
    *errors: Code, status: int = 200,
) -> Route[P, B, R]:  # fmt: skip
    """A route with its own errors and those that follow from what it takes and from whom."""
    found = [*errors]
    found += () if body is Nothing else _BODY
    found += () if params is Nothing else _PARAMS
    found += _TOKEN if access > Access.PUBLIC else ()
    found += (Code.PERMISSION,) if access is Access.INTERNAL or access > Access.USER else ()
    known = tuple(sorted({*found, *_DOWN}, key=lambda code: code.number))
    return Route(
        SERVICE, method, path, params, body, response, summary, access=access, status=status, errors=known
    )


_PUBLIC, _USER, _ADMIN = Access.PUBLIC, Access.USER, Access.ADMIN

REGISTER = _route(
    "POST", "/users", Nothing, Register, User, "Create an account", _PUBLIC,
    Code.MAIL_ADDRESS, Code.WEAK_PASSWORD, Code.EXISTS, Code.PERMISSION, status=201,
)  # fmt: skip
ME = _route("GET", "/users/me", Nothing, Nothing, User, "My account", _USER)
UPDATE_ME = _route(
    "PUT", "/users/me", Nothing, UpdateMe, User, "Change my mail address or password; that ends other logins",
    _USER, *_PROOF, Code.MAIL_ADDRESS, Code.WEAK_PASSWORD, Code.EXISTS, Code.CONFLICT,
)  # fmt: skip
LINK_WALLET = _route(
    "PUT", "/users/me/wallet", Nothing, LinkWallet, User, "Let a TRON wallet log in to my account", _USER,
    *_PROOF, Code.WALLET_SIGNATURE, Code.EXISTS,
)  # fmt: skip
UNLINK_WALLET = _route(
    "DELETE", "/users/me/wallet", Nothing, Nothing, Nothing, "Let no wallet log in to my account", _USER,
    status=204,
)  # fmt: skip
USER = _route(
    "GET", "/users/{user}", UserPath, Nothing, User, "An account: one's own, or for admins any", _USER,
    Code.NOT_FOUND, Code.PERMISSION,
)  # fmt: skip
CHANGE_ROLE = _route(
    "PUT", "/users/{user}/role", UserPath, ChangeRole, User, "Give an account a role; that ends its logins",
    Access.SUPER_ADMIN, Code.NOT_FOUND,
)  # fmt: skip
SUSPEND = _route(
    "PUT", "/users/{user}/suspended", UserPath, Suspend, User, "Keep an account out, or let it in again",
    _ADMIN, Code.NOT_FOUND,
)  # fmt: skip
LOGIN = _route(
    "POST", "/auth/login", Nothing, Login, Tokens, "Log in with a password", _PUBLIC, *_PROOF, *_SECOND
)
REFRESH = _route(
    "POST", "/auth/refresh", Nothing, Refresh, Tokens, "Exchange a refresh token, once", _PUBLIC,
    Code.LOGIN_ENDED, Code.REFRESH_INVALID,
)  # fmt: skip
LOGOUT = _route("POST", "/auth/logout", Nothing, Nothing, Nothing, "End this login", _USER, status=204)
VERIFY = _route("POST", "/auth/verify", Nothing, Verify, Status, "Whom a token speaks for", _PUBLIC, *_TOKEN)
STATUS = _route("GET", "/auth/status", Nothing, Nothing, Status, "Whom my token speaks for", _USER)
LOGINS = _route(
    "GET", "/auth/sessions", LoginsQuery, Nothing, Logins, "Active logins", _USER, Code.PERMISSION
)
END_LOGIN = _route(
    "DELETE", "/auth/sessions/{session}", LoginPath, Nothing, Nothing, "End a login", _USER,
    Code.NOT_FOUND, status=204,
)  # fmt: skip
ENROL = _route(
    "POST", "/auth/mfa/enrol", Nothing, Enrol, Enrolment, "Get a seed for an authenticator", _USER,
    *_PROOF, *_SECOND,
)  # fmt: skip
CONFIRM = _route(
    "POST", "/auth/mfa/confirm", Nothing, Confirm, RecoveryCodes, "From now on ask for codes of this seed",
    _USER, Code.ACCOUNT_LOCKED, Code.SECOND_FACTOR, Code.CONFLICT,
)  # fmt: skip
CHALLENGE = _route(
    "POST", "/auth/wallet/challenge", Nothing, ChallengeRequest, Challenge, "Get a text for a wallet to sign",
    _PUBLIC,
)  # fmt: skip
WALLET_LOGIN = _route(
    "POST", "/auth/wallet/verify", Nothing, WalletLogin, Tokens, "Log in with a wallet's signature", _PUBLIC,
    Code.WALLET_SIGNATURE, *_SECOND,
)  # fmt: skip
LINK_REQUEST = _route(
    "POST", "/auth/link/request", Nothing, LinkRequest, Nothing, "Have a login link sent by mail",
    _PUBLIC, Code.MAIL_ADDRESS, Code.CONFIGURATION, status=202,
)  # fmt: skip
LINK_LOGIN = _route(
    "POST", "/auth/link/verify", Nothing, LinkLogin, Tokens, "Log in with the code of a login link", _PUBLIC,
    Code.LINK_EXPIRED, Code.CONFIGURATION, *_SECOND,
)  # fmt: skip
AUDIT = _route("GET", "/auth/audit", AuditQuery, Nothing, AuditPage, "What happened to accounts", _ADMIN)
JWKS = _route(
    "GET", "/auth/.well-known/jwks.json", Nothing, Nothing, Jwks, "The keys that sign access tokens", _PUBLIC
)
REVOCATIONS = _route(
    "GET", "/auth/revocations", RevocationsQuery, Nothing, RevocationPage,
    "Logins that ended while their tokens are out", Access.INTERNAL,
)  # fmt: skip

ROUTES: tuple[Route[Any, Any, Any], ...] = (
    REGISTER, ME, UPDATE_ME, LINK_WALLET, UNLINK_WALLET, USER, CHANGE_ROLE, SUSPEND,
    LOGIN, REFRESH, LOGOUT, VERIFY, STATUS, LOGINS, END_LOGIN,
    ENROL, CONFIRM, CHALLENGE, WALLET_LOGIN, LINK_REQUEST, LINK_LOGIN,
    AUDIT, JWKS, REVOCATIONS,
)  # fmt: skip
