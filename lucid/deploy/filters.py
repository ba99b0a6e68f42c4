"""What playbooks ask of the catalogue: each function is the filter `lucid_` and its name.

Values come as Ansible has them, lazy and tagged, and go back as plain lists and mappings.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from lucid import catalog
from lucid.deploy import (
    checks,
    flows,
    onion_service,
    plan,
    public_certificate,
    rotation,
    rules,
    secrets,
    signing,
    site,
    supplied,
)
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
        "lucid_carriers",
        public_certificate.VARIABLE,
        "lucid_services",
        "lucid_public_ports",
        "lucid_ports",
    )
    groups = _resolved(groups)
    hosts = {name for members in groups.values() for name in members}
    return site.parse(
        groups,
        {
            name: {key: _resolved(hostvars[name][key]) for key in wanted if key in hostvars[name]}
            for name in hosts
        },
    )


def _catalog(found: site.Site) -> catalog.Catalog:
    return found.adapted(catalog.shipped())


def firewall(host: str, groups: Groups, hostvars: Hostvars, version: int) -> str:
    """`inventory_hostname | lucid_firewall(groups, hostvars, 4)`: rules for iptables-restore."""
    found = _site(groups, hostvars)
    return rules.render(found.named(host), found, flows.flows(_catalog(found), found), version)


def units(host: str, groups: Groups, hostvars: Hostvars) -> Any:
    """`inventory_hostname | lucid_units(groups, hostvars)`: the host's services."""
    found = _site(groups, hostvars)
    return _plain(plan.units(_catalog(found), found, found.named(host)))


def users(host: str, groups: Groups, hostvars: Hostvars) -> Any:
    """`inventory_hostname | lucid_users(groups, hostvars)`: unix users that must exist."""
    found = _site(groups, hostvars)
    return list(plan.users(_catalog(found), found.named(host)))


def certificates(host: str, groups: Groups, hostvars: Hostvars) -> Any:
    """`inventory_hostname | lucid_certificates(groups, hostvars)`: what the pki role is to see to."""
    found = _site(groups, hostvars)
    return _plain(plan.certificates(_catalog(found), found.named(host)))


def problems(groups: Groups, hostvars: Hostvars) -> list[str]:
    """`groups | lucid_problems(hostvars)`: why the inventory cannot be deployed."""
    try:
        found = _site(groups, hostvars)
        return list(checks.problems(_catalog(found), found))
    except SiteError as error:
        return [str(error)]


def present(found: Mapping[str, Any], groups: Groups, hostvars: Hostvars) -> Any:
    """`catalogue | lucid_present(groups, hostvars)`: the catalogue file as this site has it."""
    kept = _catalog(_site(groups, hostvars)).services
    plain = _resolved(found)
    services = {name: each for name, each in plain["services"].items() if name in kept}
    for name, each in services.items():
        each["listen"] = [
            item | {"port": socket.port}
            for item, socket in zip(each["listen"], kept[name].listen, strict=True)
        ]
    return plain | {"services": services}


def database_users(_: object) -> Any:
    """`'' | lucid_database_users`: users of MongoDB and their collections."""
    return _plain(plan.database_users(catalog.load()))


def redis_users(_: object) -> Any:
    """`'' | lucid_redis_users`: users of Redis and the patterns of their keys."""
    return _plain(plan.redis_users(catalog.load()))


def new_secrets(kept: Mapping[str, Any]) -> Any:
    """`{} | lucid_new_secrets`: all secrets of a site; given ones are kept, an operator's own too."""
    known: dict[str, Any] = _resolved(kept)
    return known | _plain(secrets.complete(catalog.load(), known))


def credentials(
    own: Mapping[str, Mapping[str, str]],
    redis: Mapping[str, str],
    host: str,
    previous: Mapping[str, Mapping[str, str]] | None = None,
) -> Any:
    """`vault_credentials | lucid_credentials(vault_redis_passwords, inventory_hostname)`, by service.

    `previous` has those that are being rotated out, by service. Those of a service that may be on several
    hosts are this host's own.
    """
    known = catalog.load()
    found = {service: {**secret, **(previous or {}).get(service, {})} for service, secret in own.items()}
    for service, given in found.items():
        if service in known.services and known.may_have_several(known.services[service].group):
            found[service] = {name: secrets.of_host(secret, host) for name, secret in given.items()}
    for service in (user.name for user in plan.redis_users(known)):
        found.setdefault(service, {})["redis_password"] = redis[service]
    return found


def onion(seed: str) -> dict[str, str]:
    """`vault_onion_seed | lucid_onion`: address, and the key files in base64."""
    return onion_service.of(seed)


def certificate_for_people(host: str, groups: Groups, hostvars: Hostvars) -> Any:
    """`inventory_hostname | lucid_certificate_for_people(groups, hostvars)`: what the host is to show.

    `source` (site, supplied, acme) and what belongs to it, `lineage` of acme; `unit` and `group` of the
    service that shows it, empty where there is none.
    """
    found = _site(groups, hostvars)
    certificate = found.named(host).certificate
    shown_by = [unit for unit in plan.units(_catalog(found), found, found.named(host)) if unit.public]
    return {
        **_plain(certificate),
        "lineage": certificate.lineage if isinstance(certificate, public_certificate.Acme) else "",
        "unit": f"lucid-{shown_by[0].name}.service" if shown_by else "",
        "group": shown_by[0].user if shown_by else "",
    }


def supplied_problems(chain: str, key: str, names: Iterable[str]) -> list[str]:
    """`chain | lucid_supplied_problems(key, names)`: why a supplied certificate cannot be shown."""
    return list(supplied.problems(_resolved(chain), _resolved(key), _resolved(names), datetime.now(UTC)))


def rotation_chosen(wanted: Sequence[str]) -> Any:
    """`['all'] | lucid_rotation_chosen`: names of secrets that can be rotated."""
    return list(rotation.chosen(catalog.load(), _resolved(wanted)))


def rotation_begun(kept: Mapping[str, Any], names: Sequence[str], now: int) -> Any:
    """`vault | lucid_rotation_begun(names, seconds)`: the first step of `lucid.deploy.rotation`."""
    return rotation.begun(catalog.load(), _resolved(kept), _resolved(names), now)


def rotation_step(kept: Mapping[str, Any], name: str) -> Any:
    """`vault | lucid_rotation_step('ended')`: one of the other steps."""
    steps = {"switched": rotation.switched, "ended": rotation.ended, "closed": rotation.closed}
    return steps[name](_resolved(kept))


def rotation_wait(kept: Mapping[str, Any], now: int, life: int | str) -> int:
    """`vault | lucid_rotation_wait(seconds, 900)`: how many seconds the old ones are still needed.

    `life` is how long access tokens hold, seconds.
    """
    return rotation.wait_seconds(_resolved(kept), now, int(life))


def rotation_parts(names: Iterable[str]) -> Any:
    """`vault_rotation | lucid_rotation_parts`: what has to be told of mongodb, redis, pki and services."""
    return list(rotation.parts(map(str, names)))


def rotation_services(names: Iterable[str]) -> Any:
    """`vault_rotation | lucid_rotation_services`: the services that have to be told."""
    return list(rotation.services(catalog.load(), map(str, names)))


def sign(requests: Any, ca_certificate: str, ca_key: str, days: int) -> Any:
    """`requests | lucid_sign(ca_certificate, ca_key, 90)`: a PEM certificate for each name and public key."""
    try:
        return signing.sign(_resolved(requests), ca_certificate, ca_key, days)
    except ValueError as error:
        raise SiteError(f"certificates cannot be signed: {error}") from None


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
