"""The secrets of a site, each made once at random: what the vault file holds."""

import hmac
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from lucid.catalog import Catalog
from lucid.deploy.plan import redis_users
from lucid.kit import authority

AUTHORITY_LIFE = timedelta(days=3650)
_SIZE = 32
_KEYFILE_SIZE = 256
"""Bytes before they are written in hex; mongod takes 6 to 1024 characters."""
_REDIS_OWN = ("admin", "replica", "sentinel")
"""Users of Redis that are no services."""


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the vault file."""

    vault_ca_certificate: str
    vault_ca_key: str
    vault_mongodb_keys: list[str]
    """By which members of the replica set know each other; the first is used, all are accepted."""
    vault_mongodb_admin_password: str
    vault_redis_passwords: dict[str, str]
    vault_credentials: dict[str, dict[str, str]]
    """By service, by credential."""
    vault_onion_seed: str
    """Of the onion service's key: it is the address, and the same as long as this is kept."""

    def __repr__(self) -> str:
        return "Secrets(***)"


def new_password() -> str:
    """32 random bytes in hex: good as a password, and as the seed of an Ed25519 key."""
    return secrets.token_hex(_SIZE)


def new_key() -> str:
    """A secret that members of a replica set prove to each other."""
    return secrets.token_hex(_KEYFILE_SIZE)


def of_host(secret: str, host: str) -> str:
    """What one host is given of a credential that several have: nobody learns the others' from it."""
    return hmac.digest(secret.encode(), f"lucid credential of host {host}".encode(), "sha256").hex()


def new_authority() -> tuple[str, str]:
    """Certificate and key of a new site authority, PEM."""
    cert, key = authority.pem(authority.new_authority("Lucid site authority", AUTHORITY_LIFE))
    return cert.decode(), key.decode()


def complete(catalog: Catalog, kept: Mapping[str, Any]) -> Secrets:
    """All that the catalogue asks for; what is in `kept` stays. Raises msgspec.ValidationError."""
    found = dict(kept)
    if "vault_ca_key" not in found:
        found["vault_ca_certificate"], found["vault_ca_key"] = new_authority()
    found.setdefault("vault_mongodb_keys", [new_key()])
    found.setdefault("vault_mongodb_admin_password", new_password())
    found.setdefault("vault_onion_seed", new_password())
    users = (*_REDIS_OWN, *(user.name for user in redis_users(catalog)))
    found["vault_redis_passwords"] = {
        user: found.get("vault_redis_passwords", {}).get(user) or new_password() for user in users
    }
    before = found.get("vault_credentials", {})
    found["vault_credentials"] = {
        service.name: {
            name: before.get(service.name, {}).get(name) or new_password() for name in service.credentials
        }
        for service in catalog.services.values()
        if service.credentials
    }
    return msgspec.convert(found, Secrets)
