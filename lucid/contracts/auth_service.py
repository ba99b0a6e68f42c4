"""auth-service: accounts, the ways to log in, the logins themselves, and the keys that check its tokens."""

from typing import Annotated, Any, Literal

import msgspec

from lucid.contracts.account_audit import AuditPage, AuditQuery
from lucid.contracts.types import Moment, PageLimit, PageOffset, SessionId, UserId
from lucid.kit.errors import Code
from lucid.kit.revocations import RevocationPage, RevocationsQuery
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


_PROOF = (Code.AUTHENTICATION_REQUIRED, Code.ACCOUNT_LOCKED)
_SECOND = (Code.ACCOUNT_LOCKED, Code.SECOND_FACTOR, Code.PERMISSION)

REGISTER = Route(
    SERVICE, "POST", "/users", Nothing, Register, User, "Create an account", access=Access.PUBLIC,
    status=201, errors=(Code.MAIL_ADDRESS, Code.WEAK_PASSWORD, Code.EXISTS, Code.PERMISSION),
)  # fmt: skip
ME = Route(
    SERVICE, "GET", "/users/me", Nothing, Nothing, User, "My account", access=Access.USER,
)  # fmt: skip
UPDATE_ME = Route(
    SERVICE, "PUT", "/users/me", Nothing, UpdateMe, User,
    "Change my mail address or password; that ends other logins", access=Access.USER,
    errors=(*_PROOF, Code.MAIL_ADDRESS, Code.WEAK_PASSWORD, Code.EXISTS, Code.CONFLICT),
)  # fmt: skip
LINK_WALLET = Route(
    SERVICE, "PUT", "/users/me/wallet", Nothing, LinkWallet, User, "Let a TRON wallet log in to my account",
    access=Access.USER, errors=(*_PROOF, Code.WALLET_SIGNATURE, Code.EXISTS),
)  # fmt: skip
UNLINK_WALLET = Route(
    SERVICE, "DELETE", "/users/me/wallet", Nothing, Nothing, Nothing, "Let no wallet log in to my account",
    access=Access.USER, status=204,
)  # fmt: skip
USER = Route(
    SERVICE, "GET", "/users/{user}", UserPath, Nothing, User, "An account: one's own, or for admins any",
    access=Access.USER, errors=(Code.NOT_FOUND, Code.PERMISSION),
)  # fmt: skip
CHANGE_ROLE = Route(
    SERVICE, "PUT", "/users/{user}/role", UserPath, ChangeRole, User,
    "Give an account a role; that ends its logins", access=Access.SUPER_ADMIN, errors=(Code.NOT_FOUND,),
)  # fmt: skip
SUSPEND = Route(
    SERVICE, "PUT", "/users/{user}/suspended", UserPath, Suspend, User,
    "Keep an account out, or let it in again", access=Access.ADMIN, errors=(Code.NOT_FOUND,),
)  # fmt: skip
REMOVE_FACTOR = Route(
    SERVICE, "DELETE", "/users/{user}/mfa", UserPath, Nothing, User,
    "Take away the second factor that somebody has lost; that ends their logins", access=Access.ADMIN,
    errors=(Code.NOT_FOUND,),
)  # fmt: skip
LOGIN = Route(
    SERVICE, "POST", "/auth/login", Nothing, Login, Tokens, "Log in with a password", access=Access.PUBLIC,
    errors=(Code.AUTHENTICATION_REQUIRED, *_SECOND),
)  # fmt: skip
REFRESH = Route(
    SERVICE, "POST", "/auth/refresh", Nothing, Refresh, Tokens, "Exchange a refresh token, once",
    access=Access.PUBLIC, errors=(Code.LOGIN_ENDED, Code.REFRESH_INVALID),
)  # fmt: skip
LOGOUT = Route(
    SERVICE, "POST", "/auth/logout", Nothing, Nothing, Nothing, "End this login", access=Access.USER,
    status=204,
)  # fmt: skip
VERIFY = Route(
    SERVICE, "POST", "/auth/verify", Nothing, Verify, Status, "Whom a token speaks for",
    access=Access.PUBLIC,
    errors=(Code.AUTHENTICATION_REQUIRED, Code.TOKEN_EXPIRED, Code.TOKEN_INVALID, Code.LOGIN_ENDED),
)  # fmt: skip
STATUS = Route(
    SERVICE, "GET", "/auth/status", Nothing, Nothing, Status, "Whom my token speaks for",
    access=Access.USER,
)  # fmt: skip
LOGINS = Route(
    SERVICE, "GET", "/auth/sessions", LoginsQuery, Nothing, Logins, "Active logins", access=Access.USER,
    errors=(Code.PERMISSION,),
)  # fmt: skip
END_LOGIN = Route(
    SERVICE, "DELETE", "/auth/sessions/{session}", LoginPath, Nothing, Nothing, "End a login",
    access=Access.USER, status=204, errors=(Code.NOT_FOUND,),
)  # fmt: skip
ENROL = Route(
    SERVICE, "POST", "/auth/mfa/enrol", Nothing, Enrol, Enrolment, "Get a seed for an authenticator",
    access=Access.USER, errors=(Code.AUTHENTICATION_REQUIRED, *_SECOND),
)  # fmt: skip
CONFIRM = Route(
    SERVICE, "POST", "/auth/mfa/confirm", Nothing, Confirm, RecoveryCodes,
    "From now on ask for codes of this seed", access=Access.USER,
    errors=(Code.ACCOUNT_LOCKED, Code.SECOND_FACTOR, Code.CONFLICT),
)  # fmt: skip
CHALLENGE = Route(
    SERVICE, "POST", "/auth/wallet/challenge", Nothing, ChallengeRequest, Challenge,
    "Get a text for a wallet to sign", access=Access.PUBLIC,
)  # fmt: skip
WALLET_LOGIN = Route(
    SERVICE, "POST", "/auth/wallet/verify", Nothing, WalletLogin, Tokens,
    "Log in with a wallet's signature", access=Access.PUBLIC, errors=(Code.WALLET_SIGNATURE, *_SECOND),
)  # fmt: skip
LINK_REQUEST = Route(
    SERVICE, "POST", "/auth/link/request", Nothing, LinkRequest, Nothing, "Have a login link sent by mail",
    access=Access.PUBLIC, status=202, errors=(Code.MAIL_ADDRESS, Code.CONFIGURATION),
)  # fmt: skip
LINK_LOGIN = Route(
    SERVICE, "POST", "/auth/link/verify", Nothing, LinkLogin, Tokens,
    "Log in with the code of a login link", access=Access.PUBLIC,
    errors=(Code.LINK_EXPIRED, Code.CONFIGURATION, *_SECOND),
)  # fmt: skip
AUDIT = Route(
    SERVICE, "GET", "/auth/audit", AuditQuery, Nothing, AuditPage, "What happened to accounts",
    access=Access.ADMIN,
)  # fmt: skip
JWKS = Route(
    SERVICE, "GET", "/auth/.well-known/jwks.json", Nothing, Nothing, Jwks,
    "The keys that sign access tokens", access=Access.PUBLIC,
)  # fmt: skip
REVOCATIONS = Route(
    SERVICE, "GET", "/auth/revocations", RevocationsQuery, Nothing, RevocationPage,
    "Logins that ended while their tokens are out", access=Access.INTERNAL, quiet=True,
)  # fmt: skip

ROUTES: tuple[Route[Any, Any, Any], ...] = (
    REGISTER, ME, UPDATE_ME, LINK_WALLET, UNLINK_WALLET, USER, CHANGE_ROLE, SUSPEND, REMOVE_FACTOR,
    LOGIN, REFRESH, LOGOUT, VERIFY, STATUS, LOGINS, END_LOGIN,
    ENROL, CONFIRM, CHALLENGE, WALLET_LOGIN, LINK_REQUEST, LINK_LOGIN,
    AUDIT, JWKS, REVOCATIONS,
)  # fmt: skip
