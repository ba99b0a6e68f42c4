"""Ansible filters over the catalogue: thin, all rules are in lucid.deploy."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).parents[2]))  # the playbooks' own version of Lucid, installed or not

from lucid import catalog
from lucid.deploy import checks, flows, plan, rules, secrets, signing, site
from lucid.deploy.errors import SiteError

Groups = Mapping[str, Any]
Hostvars = Mapping[str, Mapping[str, Any]]


def _site(groups: Groups, hostvars: Hostvars) -> site.Site:
    wanted = (
        "lucid_address",
        "lucid_address6",
        "lucid_public_names",
        "firewall_outbound",
        "firewall_control",
    )
    groups = _resolved(groups)
    hosts = {name for members in groups.values() for name in members}
    try:
        return site.parse(
            groups,
            {
                name: {key: _resolved(hostvars[name][key]) for key in wanted if key in hostvars[name]}
                for name in hosts
            },
        )
    except SiteError as error:
        raise AnsibleFilterError(str(error)) from None


def firewall(host: str, groups: Groups, hostvars: Hostvars, version: int) -> str:
    """`inventory_hostname | lucid_firewall(groups, hostvars, 4)`: rules for iptables-restore."""
    found = _site(groups, hostvars)
    return rules.render(found.named(host), found, flows.flows(catalog.load(), found), version)


def units(host: str, groups: Groups, hostvars: Hostvars) -> Any:
    """`inventory_hostname | lucid_units(groups, hostvars)`: the host's services."""
    found = _site(groups, hostvars)
    return _plain(plan.units(catalog.load(), found, found.named(host)))


def users(host: str, groups: Groups, hostvars: Hostvars) -> Any:
    """`inventory_hostname | lucid_users(groups, hostvars)`: unix users that must exist."""
    return list(plan.users(catalog.load(), _site(groups, hostvars).named(host)))


def certificates(host: str, groups: Groups, hostvars: Hostvars) -> Any:
    """`inventory_hostname | lucid_certificates(groups, hostvars)`: what the pki role is to see to."""
    return _plain(plan.certificates(catalog.load(), _site(groups, hostvars).named(host)))


def problems(groups: Groups, hostvars: Hostvars) -> list[str]:
    """`groups | lucid_problems(hostvars)`: why the inventory cannot be deployed."""
    try:
        return list(checks.problems(catalog.load(), _site(groups, hostvars)))
    except AnsibleFilterError as error:
        return [str(error)]


def database_users(_: object) -> Any:
    """`'' | lucid_database_users`: users of MongoDB."""
    return [
        {"name": user.name, "roles": [{"db": user.database, "role": "readWrite"}]}
        for user in plan.database_users(catalog.load())
    ]


def store_users(store: str) -> list[str]:
    """`'redis' | lucid_store_users`: services that use a store."""
    return list(plan.store_users(catalog.load(), store))


def the_catalog(_: object) -> Any:
    """`'' | lucid_catalog`: all of it, as plain values."""
    return _plain(catalog.load())


def new_secrets(kept: Mapping[str, Any]) -> Any:
    """`{} | lucid_secrets`: all secrets of a site; those that are given are kept, an operator's own too."""
    known: dict[str, Any] = _resolved(kept)
    return known | _plain(secrets.complete(catalog.load(), known))


def credentials(own: Mapping[str, Mapping[str, str]], redis: Mapping[str, str]) -> Any:
    """`vault_credentials | lucid_credentials(vault_redis_passwords)`: by service, by name."""
    found = {service: dict(secret) for service, secret in own.items()}
    for service in plan.store_users(catalog.load(), plan.REDIS):
        found.setdefault(service, {})["redis_password"] = redis[service]
    return found


def sign(requests: Any, ca_certificate: str, ca_key: str, days: int) -> Any:
    """`requests | lucid_sign(ca_certificate, ca_key, 90)`: a PEM certificate for each name and public key."""
    try:
        return signing.sign(_resolved(requests), ca_certificate, ca_key, days)
    except ValueError as error:
        raise AnsibleFilterError(f"certificates cannot be signed: {error}") from None


def _resolved(value: Any) -> Any:
    """Ansible's lazy containers and tagged strings as ordinary ones."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {str(key): _resolved(value[key]) for key in value}
    if isinstance(value, Sequence):
        return [_resolved(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """As JSON has it: Ansible wants lists where Lucid has tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "lucid_firewall": firewall,
            "lucid_units": units,
            "lucid_users": users,
            "lucid_certificates": certificates,
            "lucid_problems": problems,
            "lucid_database_users": database_users,
            "lucid_store_users": store_users,
            "lucid_catalog": the_catalog,
            "lucid_secrets": new_secrets,
            "lucid_credentials": credentials,
            "lucid_sign": sign,
        }
