"""auth-service: registration, password login, roles, and the keys that check its tokens."""

import hmac
import secrets
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from aiohttp import web
from msgspec import Meta
from prometheus_client import Counter

from lucid.auth import mail, passwords
from lucid.auth.hashing import Hashing
from lucid.auth.store import Account, Accounts
from lucid.auth.tokens import ACCESS_SECONDS, SEED_BYTES, Signer
from lucid.catalog import database_of
from lucid.contracts import auth_service as contract
from lucid.kit import app, mongo, settings
from lucid.kit.errors import Code, Forbidden, Unauthenticated
from lucid.kit.logs import log
from lucid.kit.routes import Access, Nothing
from lucid.kit.tokens import VERIFIER, Jwks, Verifier

attempts_total = Counter("lucid_auth_attempts_total", "Password logins tried.", ["outcome"])


class Settings(settings.Common, frozen=True, kw_only=True):
    """Settings of auth-service."""

    mongodb_url: Annotated[
        str,
        Meta(description="MongoDB replica set", examples=["mongodb://data1:27017/?replicaSet=lucid"]),
    ]
    token_key: Annotated[
        settings.Secret, Meta(description="Ed25519 seed, 64 hex digits", examples=["`openssl rand -hex 32`"])
    ]
    token_key_previous: Annotated[
        settings.Secret | None, Meta(description="the seed before, while tokens that it signed are out")
    ] = None
    bootstrap_token: Annotated[
        settings.Secret, Meta(description="makes the first super_admin", examples=["`openssl rand -hex 32`"])
    ]


DATABASE = web.AppKey("database", mongo.Database)
ACCOUNTS = web.AppKey("accounts", Accounts)
HASHING = web.AppKey("hashing", Hashing)
SIGNER = web.AppKey("signer", Signer)
BOOTSTRAP = web.AppKey("bootstrap", settings.Secret)
NOBODY = web.AppKey("nobody", str)
"""Hash that stands in for an unknown account's, so that its login takes as long as any."""

handlers = app.Handlers()


async def create() -> web.Application:
    """The application. Raises SettingsError."""
    config = settings.load(Settings)
    service = app.build(
        contract.SERVICE,
        handlers,
        resources=[
            mongo.context(config.mongodb_url, database_of(contract.SERVICE), DATABASE),
            _accounts,
            _hashing,
        ],
    )
    former = config.token_key_previous
    signer = Signer(
        _seed("token_key", config.token_key), _seed("token_key_previous", former) if former else None
    )

    async def own_keys() -> Jwks:
        return signer.jwks

    service[SIGNER] = signer
    service[VERIFIER] = Verifier(own_keys)
    service[BOOTSTRAP] = config.bootstrap_token
    return service


@handlers.on(contract.REGISTER)
async def register(call: app.Call, _: Nothing, body: contract.Register) -> contract.User:
    """Makes an account; with the bootstrap token the first super_admin."""
    email = mail.normalise(body.email)
    passwords.check(body.password, email)
    founder = body.bootstrap_token is not None
    if body.bootstrap_token is not None and not _equal(body.bootstrap_token, call.app[BOOTSTRAP].text()):
        raise Forbidden("bootstrap_token: not the one this deployment was given")
    now = datetime.now(UTC)
    account = Account(
        id=str(uuid.uuid4()),
        email=email,
        role=(Access.SUPER_ADMIN if founder else Access.USER).role,
        password=await call.app[HASHING].run(passwords.make_hash, body.password),
        created=now.replace(microsecond=now.microsecond // 1000 * 1000),
    )
    await call.app[ACCOUNTS].add(account, founder=founder)
    log.info("account created", user=account.id, role=account.role)
    return _user(account)


@handlers.on(contract.LOGIN)
async def login(call: app.Call, _: Nothing, body: contract.Login) -> contract.Tokens:
    """Answers in the same words and the same time whether the account or the password is wrong."""
    account = await call.app[ACCOUNTS].by_email(body.email.lower())
    kept = account.password if account else call.app[NOBODY]
    right = await call.app[HASHING].run(passwords.matches, body.password, kept)
    if account is None or not right:
        attempts_total.labels("refused").inc()
        log.info("login refused", user=account.id if account else None)
        raise Unauthenticated("mail address and password do not belong together")
    attempts_total.labels("accepted").inc()
    log.info("login accepted", user=account.id)
    token = call.app[SIGNER].mint(account.id, account.role, int(time.time()))
    return contract.Tokens(access_token=token, expires_in=ACCESS_SECONDS)


@handlers.on(contract.ME)
async def me(call: app.Call, _: Nothing, __: Nothing) -> contract.User:
    """The caller's account."""
    account = await call.app[ACCOUNTS].by_id(call.user.sub)
    if account is None:
        raise Unauthenticated("the account of this access token is gone", code=Code.TOKEN_INVALID)
    return _user(account)


@handlers.on(contract.CHANGE_ROLE)
async def change_role(call: app.Call, path: contract.UserPath, body: contract.ChangeRole) -> contract.User:
    """Takes effect with the account's next login; tokens that are out keep their role until they expire."""
    account = await call.app[ACCOUNTS].change_role(path.user, body.role, by=call.user.sub)
    log.info("role changed", user=account.id, role=account.role, by=call.user.sub)
    return _user(account)


@handlers.on(contract.STATUS)
async def status(call: app.Call, _: Nothing, __: Nothing) -> contract.Status:
    """What the caller's token says."""
    expires = datetime.fromtimestamp(call.user.exp, UTC)
    return contract.Status(user=call.user.sub, role=call.user.role, expires=_rfc3339(expires))


@handlers.on(contract.JWKS)
async def jwks(call: app.Call, _: Nothing, __: Nothing) -> Jwks:
    """The public keys."""
    return call.app[SIGNER].jwks


async def _accounts(service: web.Application) -> AsyncIterator[None]:
    service[ACCOUNTS] = Accounts(service[DATABASE])
    await service[ACCOUNTS].prepare()
    yield


async def _hashing(service: web.Application) -> AsyncIterator[None]:
    service[HASHING] = Hashing()
    service[NOBODY] = await service[HASHING].run(passwords.make_hash, secrets.token_hex())
    yield
    service[HASHING].close()


def _seed(name: str, secret: settings.Secret) -> bytes:
    try:
        seed = bytes.fromhex(secret.text())
    except ValueError:
        seed = b""
    if len(seed) != SEED_BYTES:
        raise settings.SettingsError(
            f"cannot start: credential {name} must be 64 hex digits, as `openssl rand -hex 32` makes them"
        )
    return seed


def _equal(offered: str, expected: str) -> bool:
    return hmac.compare_digest(offered.encode(), expected.encode())


def _user(account: Account) -> contract.User:
    created = _rfc3339(account.created)
    return contract.User(id=account.id, email=account.email, role=account.role, created=created)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
