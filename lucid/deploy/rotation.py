"""Rotation of a site's secrets: what the vault file says before, during and after it. Pure rules, no I/O.

Four steps, each a function from the vault's content to its new content: `begun` (old and new are known),
`switched` (the new authority signs), `ended` (the old ones are withdrawn), `closed` (nothing is under way).
After each of the first three the hosts are brought in line with the file. `vault_rotation` in it names what
is under way and since when, so whoever was interrupted does it all again and gets to the end.
"""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from lucid.catalog import Catalog
from lucid.deploy.errors import SiteError
from lucid.deploy.secrets import new_authority, new_key, new_password

Vault = dict[str, Any]

CLOCK_SECONDS = 60
"""By how much the clocks of hosts may differ, at most."""
OVERLAPPING = frozenset({"encryption_password", "mfa_secret", "recorder_key", "token_key"})
"""Credentials whose service is given the old one too, as `NAME_previous`. The others are simply exchanged."""
FIXED = {
    "validator_key": "the chain names this validator's key in its genesis, for ever",
    "smtp_password": "it is the mail server's: write the new one into the vault file yourself",
    "encryption_salt": "it is no secret of its own: a new encryption_password makes all keys anew",
}
_STORES = {
    "redis_passwords": ("redis", "services"),
    "mongodb_admin_password": ("mongodb",),
    "mongodb_key": ("mongodb",),
    "ca": ("pki",),
}
"""What is not a service's credential, and which parts of the site have to be told."""
_WITHOUT_OLD: Vault = {
    "vault_redis_previous_passwords": {},
    "vault_mongodb_admin_previous_password": "",
    "vault_ca_next_certificate": "",
    "vault_ca_next_key": "",
    "vault_ca_previous_certificate": "",
    "vault_previous_credentials": {},
}
"""Empty rather than absent: what Ansible has read from the file before must not shine through."""


def names(catalog: Catalog) -> tuple[str, ...]:
    """What can be rotated."""
    own = {name for service in catalog.services.values() for name in service.credentials}
    return (*_STORES, *sorted(own - FIXED.keys()))


def chosen(catalog: Catalog, wanted: Iterable[str]) -> tuple[str, ...]:
    """What is `wanted` by name; of `all`, all of them. Raises SiteError for what cannot be rotated."""
    known, asked = names(catalog), tuple(wanted)
    if asked == ("all",):
        return known
    for name in asked:
        if name not in known:
            why = FIXED.get(name, "there is no such secret")
            raise SiteError(
                f"rotate: {name} cannot be rotated: {why}; what can is {', '.join(known)}, or all"
            )
    return asked


def begun(catalog: Catalog, kept: Mapping[str, Any], names: Iterable[str], now: int) -> Vault:
    """Makes secrets anew and keeps the old ones beside them; what is under way already is left as it is.

    `names` are those of `chosen`; `now` is in seconds since the Unix epoch.
    """
    found = {**_WITHOUT_OLD, **kept}
    under_way = dict(found.get("vault_rotation", {}))
    for name in names:
        if name not in under_way:
            found |= _renewed(catalog, found, name)
            under_way[name] = now
    return found | {"vault_rotation": under_way}


def switched(kept: Mapping[str, Any]) -> Vault:
    """Has the next authority, which everybody trusts by now, sign; the one before stays trusted."""
    found = dict(kept)
    if found.get("vault_ca_next_key"):
        found |= {
            "vault_ca_previous_certificate": found["vault_ca_certificate"],
            "vault_ca_certificate": found["vault_ca_next_certificate"],
            "vault_ca_key": found["vault_ca_next_key"],
            "vault_ca_next_certificate": "",
            "vault_ca_next_key": "",
        }
    return found


def ended(kept: Mapping[str, Any]) -> Vault:
    """Withdraws every old secret."""
    return {**kept, **_WITHOUT_OLD, "vault_mongodb_keys": kept["vault_mongodb_keys"][-1:]}


def closed(kept: Mapping[str, Any]) -> Vault:
    """Says that nothing is under way."""
    return {**kept, "vault_rotation": {}}


def parts(under_way: Iterable[str]) -> tuple[str, ...]:
    """Which of mongodb, redis, pki and services have to be told of changes to these secrets."""
    told = {part for name in under_way for part in _STORES.get(name, ("services",))}
    return tuple(sorted(told))


def services(catalog: Catalog, under_way: Iterable[str]) -> tuple[str, ...]:
    """The services that are given one of these secrets."""
    concerned = set(under_way)
    return tuple(
        service.name
        for service in catalog.services.values()
        if concerned & set(service.credentials)
        or ("redis_passwords" in concerned and "redis" in service.stores)
    )


def wait_seconds(kept: Mapping[str, Any], now: int, life: int) -> int:
    """How long the old ones are still needed by what is out in the world: tokens, which hold for `life`."""
    begun_at = kept.get("vault_rotation", {}).get("token_key")
    held = kept.get("vault_previous_credentials", {}).get("auth-service", {})
    return max(0, begun_at + life + CLOCK_SECONDS - now) if begun_at is not None and held else 0


def _renewed(catalog: Catalog, kept: Vault, name: str) -> Vault:
    """The entries of the vault that change when one secret is made anew."""
    match name:
        case "redis_passwords":
            old = kept["vault_redis_passwords"]
            new = {user: new_password() for user in old}
            return {"vault_redis_passwords": new, "vault_redis_previous_passwords": old}
        case "mongodb_admin_password":
            old = kept["vault_mongodb_admin_password"]
            return {
                "vault_mongodb_admin_password": new_password(),
                "vault_mongodb_admin_previous_password": old,
            }
        case "mongodb_key":
            return {"vault_mongodb_keys": [*kept["vault_mongodb_keys"], new_key()]}
        case "ca":
            certificate, key = new_authority()
            return {"vault_ca_next_certificate": certificate, "vault_ca_next_key": key}
    return _renewed_credential(catalog, kept, name)


def _renewed_credential(catalog: Catalog, kept: Vault, name: str) -> Vault:
    current = {service: dict(own) for service, own in kept["vault_credentials"].items()}
    previous = {service: dict(own) for service, own in kept["vault_previous_credentials"].items()}
    for service in catalog.services.values():
        if name in service.credentials:
            old = current[service.name][name]
            current[service.name][name] = secrets.token_hex(len(old) // 2)
            if name in OVERLAPPING:
                previous.setdefault(service.name, {})[f"{name}_previous"] = old
    return {"vault_credentials": current, "vault_previous_credentials": previous}
