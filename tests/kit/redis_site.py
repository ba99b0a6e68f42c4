"""Three Redis and three Sentinels on loopback, with TLS and access lists, from the role's own templates."""

import shutil
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from lucid.dev import ca, servers
from lucid.dev.processes import Process, Processes
from lucid.kit.redis import RedisSettings
from lucid.kit.settings import Secret

ROLE = Path(__file__).parents[2] / "roles" / "redis"
ADDRESS = "127.0.0.1"
MASTER = "lucid"
SERVICE = "session-pipeline"
GATEWAY = "api-gateway"
USERS = [
    {"name": SERVICE, "keys": [f"lucid:{SERVICE}:*"]},
    {"name": GATEWAY, "keys": ["lucid:limits:*"]},
]
PASSWORDS = {name: f"{name}-{'x' * 20}" for name in ("admin", "replica", "sentinel", SERVICE, GATEWAY)}
CERTIFICATES = ("redis", "mongodb", SERVICE)


@dataclass(slots=True)
class Host:
    """One host of the site: its directory stands for the file system's root."""

    root: Path
    port: int
    sentinel_port: int
    redis: Process | None = None
    sentinel: Process | None = None

    @property
    def sentinel_state(self) -> str:
        """The file that the host's Sentinel keeps itself."""
        return (self.root / "var/lib/redis/sentinel.conf").read_text()


class RedisSite:
    """The running site. `directory` receives its files; `tls` is that of an authority there is already."""

    def __init__(self, processes: Processes, directory: Path, tls: Path | None = None) -> None:
        self._processes = processes
        self.tls = tls or directory / "tls"
        ca.ensure(self.tls, CERTIFICATES, extra_names=["localhost"], extra_addresses=[ADDRESS])
        self.hosts = [
            Host(directory / name, servers.free_port(), servers.free_port()) for name in ("a", "b", "c")
        ]
        for host in self.hosts:
            self.write(host)
            self.start(host)
            self.start_sentinel(host)

    def start(self, host: Host) -> None:
        """Starts a host's Redis, as its unit does."""
        host.redis = self._run("redis-server", host, "redis.conf", "lucid.conf")

    def start_sentinel(self, host: Host) -> None:
        """Starts a host's Sentinel, as its unit does."""
        host.sentinel = self._run("redis-sentinel", host, "sentinel.conf", "lucid-sentinel.conf")

    def acquainted(self) -> bool:
        """Whether each Sentinel knows both others and both replicas, without which nobody can be elected."""
        files = [host.sentinel_state for host in self.hosts]
        return all(
            text.count(word) == 2 for text in files for word in (" known-replica ", " known-sentinel ")
        )

    @property
    def url(self) -> str:
        """The address by which clients find the master."""
        sentinels = ",".join(f"{ADDRESS}:{host.sentinel_port}" for host in self.hosts)
        return f"sentinel://{sentinels}/{MASTER}/0"

    def kill(self) -> None:
        """Ends all at once: told to stop, a master would wait for its replicas."""
        for host in self.hosts:
            for process in filter(None, (host.sentinel, host.redis)):
                process.kill()

    def settings(self, **changed: Any) -> RedisSettings:
        """What session-pipeline would be given, but for what is `changed`."""
        given: dict[str, Any] = {
            "redis_url": self.url,
            "redis_password": Secret(PASSWORDS[SERVICE].encode() + b"\n"),
            "tls_directory": str(self.tls),
            "state_directory": str(self.tls),
        }
        return RedisSettings(**given | changed)

    def known(self, host: Host) -> str:
        """The file that a host's Redis keeps itself."""
        return (host.root / "var/lib/redis/redis.conf").read_text()

    def _run(self, program: str, host: Host, own: str, included: str) -> Process:
        path = shutil.which(program) or pytest.fail(f"{program} is missing; `scripts/setup test` installs it")
        command = [path, str(host.root / "var/lib/redis" / own), "--daemonize", "no"]
        command += ["--include", str(host.root / "etc/redis" / included)]
        return self._processes.start(program, command, host.root / f"{program}.log")

    def write(self, host: Host, **changed: Any) -> None:
        """Writes all files of a host from the role's templates, with the role's variables `changed`."""
        loader = jinja2.FileSystemLoader(ROLE / "templates")
        environment = jinja2.Environment(  # noqa: S701 - configuration files, not HTML
            loader=loader, trim_blocks=True, undefined=jinja2.StrictUndefined
        )
        environment.filters["hash"] = lambda text, _: sha256(text.encode()).hexdigest()
        environment.filters["regex_replace"] = lambda text, _, prefix: prefix + text
        values = {
            **yaml.safe_load((ROLE / "defaults/main.yml").read_text()),
            **yaml.safe_load((ROLE / "vars/main.yml").read_text()),
            "ansible_managed": "by a test",
            "redis_hosts": ["a", "b", "c"],
            "redis_bind": [ADDRESS],
            "redis_address": ADDRESS,
            "redis_port": host.port,
            "redis_sentinel_port": host.sentinel_port,
            "redis_tls_directory": str(self.tls),
            "redis_tls_ca": str(self.tls / "ca.crt"),
            "redis_users": USERS,
            "redis_passwords": PASSWORDS,
            "__redis_master": {"address": ADDRESS, "port": self.hosts[0].port},
        } | changed
        for name, value in values.items():  # Ansible renders variables too
            if isinstance(value, str):
                values[name] = environment.from_string(value).render(values)
        files = ["etc/redis/lucid.conf", "etc/redis/lucid.acl", "etc/redis/lucid-replication.conf"]
        files += ["etc/redis/lucid-sentinel.conf", "etc/redis/lucid-sentinel.acl", "etc/redis/lucid-admin"]
        for name in [*files, "var/lib/redis/redis.conf", "var/lib/redis/sentinel.conf"]:
            text = environment.get_template(f"{name}.j2").render(values)
            path = host.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            for directory in ("/etc/redis", "/var/lib/redis"):
                text = text.replace(f" {directory}", f" {host.root}{directory}")
            path.write_text(text + "\n")


def wait(seconds: float, what: str, test: Any) -> None:
    """Returns once `test()` is true."""
    until = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < until, f"not {what} within {seconds} s"
        time.sleep(0.05)
