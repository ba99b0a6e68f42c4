"""A reload takes over users, passwords and certificates, and disconnects nobody who may stay."""

import ssl
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError  # noqa: A004 - its name
from redis.retry import Retry

from lucid.dev import ca
from lucid.dev.processes import Processes
from tests.kit.redis_site import ADDRESS, CERTIFICATES, PASSWORDS, ROLE, SERVICE, USERS, RedisSite

HELPER = ROLE / "files/usr/local/libexec/lucid-redis-reload"
KEY = f"lucid:{SERVICE}:key"
OTHER = {"name": "other", "keys": ["lucid:other:*"]}
NEW = dict.fromkeys(PASSWORDS, "new-" + "y" * 20)


@pytest.fixture
def site(processes: Processes, tmp_path: Path) -> Iterator[RedisSite]:
    """A site of its own for each test."""
    made = RedisSite(processes, tmp_path)
    yield made
    made.kill()


def reload(site: RedisSite, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Runs the helper on the first host after the role has written its files anew."""
    host = site.hosts[0]
    site.write(host, **changed)
    loader = SourceFileLoader("lucid_redis_reload", str(HELPER))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    helper = module_from_spec(spec)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "dont_write_bytecode", True)
        loader.exec_module(helper)
    settings = host.root / "etc/redis"
    monkeypatch.setattr(helper, "PASSWORDS", settings / "lucid-admin")
    monkeypatch.setattr(helper, "REPLICATION", settings / "lucid-replication.conf")
    monkeypatch.setattr(helper, "USERS", settings / "lucid.acl")
    arguments = ["--port", str(host.port), "--tls", str(site.tls), "--ca", str(site.tls / "ca.crt")]
    monkeypatch.setattr(sys, "argv", ["lucid-redis-reload", *arguments])
    helper.main()


def client(site: RedisSite, password: str, user: str = SERVICE) -> Redis:
    """A client of the first host."""
    return Redis(
        host=ADDRESS,
        port=site.hosts[0].port,
        username=user,
        password=password,
        ssl=True,
        ssl_ca_certs=str(site.tls / "ca.crt"),
        ssl_certfile=str(site.tls / f"{SERVICE}.crt"),
        ssl_keyfile=str(site.tls / f"{SERVICE}.key"),
        retry=Retry(NoBackoff(), 0),
    )


def test_a_password_is_replaced_in_two_steps_under_a_client_that_stays(
    site: RedisSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client(site, PASSWORDS[SERVICE]) as old:
        connection = old.client_id()
        reload(site, monkeypatch, redis_passwords=NEW, redis_previous_passwords=PASSWORDS)
        with client(site, PASSWORDS[SERVICE]) as late, client(site, NEW[SERVICE]) as new:
            assert late.get(KEY) is None
            assert new.get(KEY) is None
        reload(site, monkeypatch, redis_passwords=NEW)
        assert old.client_id() == connection
    with pytest.raises(AuthenticationError), client(site, PASSWORDS[SERVICE]) as refused:
        refused.ping()


def test_a_service_that_is_gone_is_logged_out(site: RedisSite, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = {**PASSWORDS, "other": "other-" + "z" * 20}
    reload(site, monkeypatch, redis_users=[*USERS, OTHER], redis_passwords=passwords)
    with client(site, passwords["other"], "other") as other:
        other.set("lucid:other:key", "value")
        reload(site, monkeypatch)
        with pytest.raises((AuthenticationError, ConnectionError)):
            other.get("lucid:other:key")


def test_a_new_certificate_is_shown_to_new_connections(
    site: RedisSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("redis.crt", "redis.key"):
        (site.tls / file).unlink()
    ca.ensure(site.tls, CERTIFICATES, extra_names=["localhost"], extra_addresses=[ADDRESS])
    issued = (site.tls / "redis.crt").read_text()
    assert shown(site) != issued
    reload(site, monkeypatch)
    assert shown(site) == issued


def shown(site: RedisSite) -> str:
    """The certificate that the first host's Redis shows, PEM."""
    return ssl.get_server_certificate((ADDRESS, site.hosts[0].port))


def test_a_password_that_redis_does_not_know_ends_with_its_words(
    site: RedisSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="AUTH: -WRONGPASS") as ended:
        reload(site, monkeypatch, redis_passwords=NEW)
    assert NEW["admin"] not in str(ended.value)
