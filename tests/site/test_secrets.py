"""Secrets stand where they are meant to, readable by one program, and nowhere else on any host."""

import base64
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from lab.place import REPOSITORY
from lucid.deploy.secrets import of_host
from tests.site import probing
from tests.site.probes import leaks
from tests.site.secret_forms import forms, leaves
from tests.site.standing import Site
from tests.site.vault import vault

MEANT = {
    r"/etc/lucid/credentials/(?P<service>[\w-]+)/\w+": r"root:root 0400",
    r"/run/credentials/lucid-(?P<service>[\w-]+)\.service/\w+": r"(lucid-{service}|root):[\w-]+ 04[04]0",
    r"/etc/lucid/tls/(?P<program>[\w-]+)/(?P=program)\.(key|pem)": r"root:[\w-]+ 0640",
    r"/etc/mongodb/keyfile": r"mongodb:mongodb 0400",
    r"/etc/mongodb/admin": r"root:root 0400",
    r"/etc/redis/lucid-(replication|sentinel)\.conf": r"root:redis 0640",
    r"/etc/redis/lucid-admin": r"root:root 0400",
    r"/var/lib/redis/(redis|sentinel)\.conf": r"redis:redis 06[04]0",
    r"/etc/ssh/ssh_host_\w+_key": r"root:root 0600",
}
"""Which files hold secrets, and who may read them."""
ON_NO_HOST = ("vault_ca_key", "vault_ca_next_key", "operator", "vault password", "key of the deploying user")
CONTROL = {"secrets.yml", "vault-password", "operator.json", "bootstrap-token", "ssh/key"}
"""Files of the control host's state, encrypted or mode 0600."""


@pytest.fixture(scope="module")
def known(site: Site) -> dict[str, list[str]]:
    """Every secret of the site in all its forms, by name."""
    state = site.lab.state
    found = dict(leaves("", vault(site)))
    found |= {
        f"{secret}@{host.name}": of_host(found[secret], host.name)
        for service in site.catalog.services.values()
        if site.catalog.may_have_several(service.group)
        for secret in (f"vault_credentials.{service.name}.{name}" for name in service.credentials)
        for host in site.described.of_group(service.group)
    }
    found["operator"] = msgspec.json.decode((state / "operator.json").read_bytes())["password"]
    found["vault password"] = (state / "vault-password").read_text().strip()
    found["key of the deploying user"] = site.lab.ssh_config.with_name("key").read_text()
    assert len(found) > 15
    return {name: forms(secret) for name, secret in found.items()}


@pytest.fixture(scope="module")
def searched(site: Site, known: dict[str, list[str]]) -> dict[str, Any]:
    """What was found, by host."""
    return probing.on_each(
        site, "leaks", {host: {"forms": known, "roots": None} for host in site.hosts}, seconds=300
    )


class TestOnEveryHost:
    def test_secrets_are_in_files_that_are_meant_to_hold_them(self, searched: dict[str, Any]) -> None:
        strange = [
            f"{host}: {path} holds {', '.join(found['secrets'])}"
            for host, answer in searched.items()
            for path, found in answer["files"].items()
            if not any(re.fullmatch(meant, path) for meant in MEANT)
        ]
        assert not strange, "\n".join(strange)

    def test_these_files_are_for_one_program(self, searched: dict[str, Any]) -> None:
        wrong = [
            f"{host}: {path} is {found['owner']}"
            for host, answer in searched.items()
            for path, found in answer["files"].items()
            if not _closed(path, found["owner"])
        ]
        assert not wrong, "\n".join(wrong)

    def test_no_argument_environment_unit_or_log_holds_any(self, searched: dict[str, Any]) -> None:
        assert {host: answer["elsewhere"] for host, answer in searched.items() if answer["elsewhere"]} == {}
        for answer in searched.values():
            assert answer["searched"]["processes"] > 20
            assert min(answer["searched"][place] for place in ("units", "properties", "journal")) > 10_000

    def test_what_only_the_control_host_needs_is_nowhere(self, searched: dict[str, Any]) -> None:
        held = {
            name
            for answer in searched.values()
            for found in answer["files"].values()
            for name in found["secrets"]
        }
        assert not held & set(ON_NO_HOST)

    def test_each_service_has_its_own_secrets_and_no_others(
        self, site: Site, searched: dict[str, Any]
    ) -> None:
        rotated = vault(site).get("vault_rotation", {})
        for name, service in site.catalog.services.items():
            hosts = [host.name for host in site.described.of_group(service.group)]
            own = site.catalog.may_have_several(service.group)
            for credential in service.credentials:
                secret = f"vault_credentials.{name}.{credential}"
                held = (
                    {f"{secret}@{host}": [host] for host in hosts} | {secret: []} if own else {secret: hosts}
                )
                for form, holders in held.items():
                    wanted = {
                        f"{host}:{directory}/{credential}"
                        for host in holders
                        for directory in (
                            f"/etc/lucid/credentials/{name}",
                            f"/run/credentials/lucid-{name}.service",
                        )
                    }
                    where = {
                        f"{host}:{path}"
                        for host, answer in searched.items()
                        for path, found in answer["files"].items()
                        if form in found["secrets"]
                    }
                    # One that is being rotated may still be on its way.
                    assert where == wanted or (credential in rotated and where < wanted), form


def _closed(path: str, owner: str) -> bool:
    for meant, who in MEANT.items():
        if found := re.fullmatch(meant, path):
            return re.fullmatch(who.format(**found.groupdict()), owner) is not None
    return True


def test_a_search_finds_a_secret_wherever_it_is_left(site: Site) -> None:
    secret = f"made-up/{secrets.token_urlsafe(24)}+="
    encoded = base64.b64encode(f"user:{secret}".encode()).decode()
    planted = {"raw": secret, "base64": encoded, "quoted": quote(secret, safe="")}
    started = probing.on(site, "core1", "plants", planted)
    try:
        asked = {"forms": {"it": forms(secret)}, "roots": ["/etc", "/root", "/run", "/var/log"]}
        found = probing.on(site, "core1", "leaks", asked)
    finally:
        probing.on(site, "core1", "plants", {"started": started})
    files = {path for path, each in found["files"].items() if each["secrets"] == ["it"]}
    unit = "/run/systemd/system/lucid-proof-leak.service"
    assert files >= {"/etc/lucid-proof.conf", "/var/log/lucid-proof.log", "/root/.lucid_proof_history", unit}
    assert set(found["elsewhere"]) == {
        "cmdline of a process",
        "environ of a process",
        "units",
        "properties",
        "journal",
    }


class TestOnTheControlMachine:
    def test_the_project_holds_none(self, known: dict[str, list[str]]) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0")
        paths = [str(REPOSITORY / name) for name in listed if name and (REPOSITORY / name).is_file()]
        assert len(paths) > 200
        assert leaks.Search(known).files(paths) == []

    def test_its_history_holds_none(self, known: dict[str, list[str]]) -> None:
        length, names = leaks.Search(known).output(["git", "-C", str(REPOSITORY), "log", "--all", "-p"])
        assert length > 100_000
        assert names == []

    def test_the_state_of_the_site_holds_them_in_files_for_the_operator_alone(
        self, site: Site, known: dict[str, list[str]]
    ) -> None:
        state = site.lab.state
        own = [str(path) for path in state.iterdir() if path.name != "hosts" and not path.is_symlink()]
        found = leaks.Search(known).files(own)
        assert {str(path.relative_to(state)) for path in found} <= CONTROL
        assert [path for path in found if path.stat().st_mode & 0o077] == []
        assert Path(state / "secrets.yml").read_text().startswith("$ANSIBLE_VAULT;")
