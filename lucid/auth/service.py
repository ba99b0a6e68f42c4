"""auth-service: who people are, how they prove it, and the tokens that say so."""

import secrets
from collections.abc import AsyncIterator
from typing import Annotated

from aiohttp import web
from msgspec import Meta
from pymongo.errors import PyMongoError

from lucid.auth import accounts, links, logins, passwords, second_factor, wallets
from lucid.auth.account_store import Accounts
from lucid.auth.audit_store import Audit
from lucid.auth.hashing import Hashing
from lucid.auth.lockout_store import Lockouts
from lucid.auth.parts import (
    ACCOUNTS,
    AUDIT,
    BOOTSTRAP,
    HASHING,
    LOCKOUTS,
    LOGINS,
    NOBODY,
    POSTMAN,
    SEEDS,
    SIGNER,
    SITE,
    TICKETS,
)
from lucid.auth.postman import MailSettings, Postman
from lucid.auth.seeds import Seeds
from lucid.auth.session_store import LoginSessions
from lucid.auth.ticket_store import Tickets
from lucid.auth.tokens import ACCESS_SECONDS, LONGEST_ACCESS_SECONDS, Signer
from lucid.catalog import database_of
from lucid.contracts import auth_service as contract
from lucid.kit import app, mongo, revocations, settings
from lucid.kit.errors import Code, Unavailable
from lucid.kit.logs import log
from lucid.kit.revocations import REVOCATIONS, RevocationPage, Revocations
from lucid.kit.tokens import VERIFIER, Jwks, Verifier

KEY_BYTES = 32


class Settings(MailSettings, frozen=True, kw_only=True):
    """Settings of auth-service."""

    mongodb_url: Annotated[
        str,
        Meta(description="MongoDB replica set", examples=["mongodb://data1:27017/?replicaSet=lucid"]),
    ]
    site_name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=40,
            pattern="^[^:\r\n]+$",
            description="name by which people know this deployment",
            examples=["Lucid at Example Org"],
        ),
    ] = "Lucid"
    access_token_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=LONGEST_ACCESS_SECONDS,
            description="how long an access token holds",
            extra={"unit": "seconds"},
            examples=[ACCESS_SECONDS],
        ),
    ] = ACCESS_SECONDS
    token_key: Annotated[
        settings.Secret, Meta(description="Ed25519 seed, 64 hex digits", examples=["`openssl rand -hex 32`"])
    ]
    token_key_previous: Annotated[
        settings.Secret | None, Meta(description="the seed before, while tokens that it signed are out")
    ] = None
    mfa_secret: Annotated[
        settings.Secret,
        Meta(description="seals second factors, 64 hex digits", examples=["`openssl rand -hex 32`"]),
    ]
    mfa_secret_previous: Annotated[
        settings.Secret | None, Meta(description="the one before: what it sealed is sealed anew at the start")
    ] = None
    bootstrap_token: Annotated[
        settings.Secret, Meta(description="makes the first super_admin", examples=["`openssl rand -hex 32`"])
    ]


DATABASE = web.AppKey("database", mongo.Database)

handlers = app.Handlers(
    accounts.handlers, logins.handlers, second_factor.handlers, wallets.handlers, links.handlers
)


async def create() -> web.Application:
    """The application. Raises SettingsError."""
    config = settings.load(Settings)
    signer = Signer(
        _key("token_key", config.token_key),
        _former("token_key_previous", config.token_key_previous),
        config.access_token_seconds,
    )
    seeds = Seeds(
        _key("mfa_secret", config.mfa_secret), _former("mfa_secret_previous", config.mfa_secret_previous)
    )
    postman = Postman(config) if config.smtp_host else None

    async def own_keys() -> Jwks:
        return signer.jwks

    async def own_revocations(after: int) -> RevocationPage:
        try:
            return await service[LOGINS].revocations.after(after)
        except PyMongoError as error:
            raise Unavailable(f"the database: {type(error).__name__}", code=Code.DATABASE) from error

    ended = Revocations(own_revocations)
    service = app.build(
        contract.SERVICE,
        handlers,
        resources=[
            mongo.context(config.mongodb_url, database_of(contract.SERVICE), DATABASE),
            _stores,
            _hashing,
            revocations.context(ended),
            _fresh,
            _postman,
        ],
    )
    service[SIGNER] = signer
    service[SEEDS] = seeds
    service[SITE] = config.site_name
    service[BOOTSTRAP] = config.bootstrap_token
    service[VERIFIER] = Verifier(own_keys, ended.check)
    if postman is not None:
        service[POSTMAN] = postman
    return service


async def _stores(service: web.Application) -> AsyncIterator[None]:
    database = service[DATABASE]
    service[LOGINS] = LoginSessions(database)
    service[ACCOUNTS] = Accounts(database, service[LOGINS])
    service[LOCKOUTS] = Lockouts(database)
    service[TICKETS] = Tickets(database)
    service[AUDIT] = Audit(database)
    for key in (LOGINS, ACCOUNTS, LOCKOUTS, TICKETS, AUDIT):
        await service[key].prepare()
    if renewed := await service[ACCOUNTS].reseal(service[SEEDS]):
        log.info("second factors sealed under the new key", count=renewed)
    yield


async def _hashing(service: web.Application) -> AsyncIterator[None]:
    service[HASHING] = Hashing()
    service[NOBODY] = await service[HASHING].run(passwords.make_hash, secrets.token_hex())
    yield
    service[HASHING].close()


async def _fresh(service: web.Application) -> AsyncIterator[None]:
    """Whoever comes first shall not be told that ends of logins cannot be had."""
    await service[REVOCATIONS].refresh()
    yield


async def _postman(service: web.Application) -> AsyncIterator[None]:
    yield
    if (postman := service.get(POSTMAN)) is not None:
        await postman.close()


def _former(name: str, secret: settings.Secret | None) -> bytes | None:
    return None if secret is None else _key(name, secret)


def _key(name: str, secret: settings.Secret) -> bytes:
    try:
        key = bytes.fromhex(secret.text())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise settings.SettingsError(
            f"cannot start: credential {name} must be 64 hex digits, as `openssl rand -hex 32` makes them"
        )
    return key
