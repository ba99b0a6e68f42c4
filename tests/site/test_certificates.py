"""Who is believed on the deployed site: services asked with all kinds of certificates, clients before servers
that are not whom they look for.
"""

from typing import Any

import pytest
from aiohttp import web

from lucid import catalog
from lucid.kit.authority import Authority
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Unavailable
from lucid.kit.routes import NOTHING, Nothing, Route
from lucid.kit.tls import TlsConfig, client_context, internal_name, server_context
from tests.deployment import free_ports
from tests.site import issuing, probing
from tests.site.issuing import OVER, issue
from tests.site.standing import Site
from tests.site.vault import vault

CATALOG = catalog.load()
SERVICES = CATALOG.services
MUTUAL = [name for name, service in SERVICES.items() if service.mutual]
PAIRS = [(caller, callee) for caller, service in SERVICES.items() for callee in service.calls]
PROGRAMS = (*SERVICES, *CATALOG.stores, *CATALOG.exporters, *CATALOG.observers)
OPEN_TO_OBSERVERS = ["/health", "/metrics"]
PATHS = [*OPEN_TO_OBSERVERS, "/openapi.json"]
MADE_UP = ("stranger", "administrator", "lucid", "session-api2")


@pytest.fixture(scope="module")
def signer(site: Site) -> Authority:
    return issuing.site_authority(site)


class Shown:
    """Every certificate, shown to every service."""

    def __init__(self, site: Site, signer: Authority) -> None:
        self.ca = vault(site)["vault_ca_certificate"]
        foreign = issuing.foreign_authority()
        self.of_site = {name: issue(signer, name) for name in (*PROGRAMS, *MADE_UP)}
        self.of_site |= {
            "nobody": issue(signer, "nobody", dns=["localhost"]),
            "*": issue(signer, "all", dns=["*.lucid.internal"]),
            "below": issue(signer, "below", dns=["x.session-api.lucid.internal"]),
            "by subject": issue(signer, "session-api", dns=["stranger.lucid.internal"]),
        }
        self.no_good = {name: issue(foreign, name) for name in PROGRAMS}
        self.no_good |= {f"{name}, expired": issue(signer, name, life=OVER) for name in PROGRAMS}
        self.answers: dict[tuple[str, str], list[int] | str] = {}
        by_host: dict[str, list[str]] = {}
        for name in MUTUAL:
            by_host.setdefault(site.described.of_group(SERVICES[name].group)[0].name, []).append(name)
        asked: dict[str, Any] = {}
        for host, names in by_host.items():
            address = str(site.described.named(host).address6 or site.described.named(host).address)
            asked[host] = {
                "ca": self.ca,
                "attempts": [
                    attempt(name, address, SERVICES[name].entry.port, identity, PATHS)
                    for name in names
                    for identity in (*self.of_site.values(), *self.no_good.values(), None)
                ],
            }
        who = [*self.of_site, *(f"foreign: {name}" for name in self.no_good), "without"]
        for host, found in probing.on_each(site, "handshakes", asked).items():
            pairs = [(name, each) for name in by_host[host] for each in who]
            self.answers |= dict(zip(pairs, found, strict=True))

    def to(self, service: str) -> dict[str, list[int] | str]:
        return {who: answer for (name, who), answer in self.answers.items() if name == service}


def attempt(
    server: str, address: str, port: int, identity: issuing.Identity | None, paths: list[str]
) -> dict[str, Any]:
    return {
        "server": internal_name(server),
        "address": address,
        "port": port,
        "identity": None if identity is None else (identity.certificate, identity.key),
        "paths": paths,
    }


def refused(answer: list[int] | str) -> bool:
    """Whether the server has ended the connection because of the certificate."""
    return isinstance(answer, str) and ("ALERT" in answer or answer == "ConnectionResetError")


@pytest.fixture(scope="module")
def shown(site: Site, signer: Authority) -> Shown:
    return Shown(site, signer)


@pytest.mark.parametrize("service", MUTUAL)
class TestAService:
    def test_lets_in_its_callers_and_of_observers_what_they_observe(self, shown: Shown, service: str) -> None:
        answers = shown.to(service)
        assert {answers[name] == [200, 200, 200] for name in CATALOG.callers_of(service)} <= {True}
        assert all(answers[name] == [200, 200, 403] for name in CATALOG.observers)

    def test_refuses_programs_of_the_site_that_are_not_its_callers(self, shown: Shown, service: str) -> None:
        others = set(PROGRAMS) - CATALOG.callers_of(service) - set(CATALOG.observers)
        wrong = {name: answer for name in others if (answer := shown.to(service)[name]) != [403, 403, 403]}
        assert not wrong
        assert len(others) > 5

    def test_refuses_names_that_the_catalogue_does_not_know(self, shown: Shown, service: str) -> None:
        made_up = set(shown.of_site) - set(PROGRAMS)
        wrong = {name: answer for name in made_up if (answer := shown.to(service)[name]) != [403, 403, 403]}
        assert not wrong

    def test_ends_the_handshake_with_whom_its_authority_has_not_signed_or_not_for_today(
        self, shown: Shown, service: str
    ) -> None:
        answers = shown.to(service)
        wrong = {who: answer for who, answer in answers.items() if who.startswith("foreign: ")}
        assert len(wrong) == 2 * len(PROGRAMS)
        assert not {who: answer for who, answer in wrong.items() if not refused(answer)}

    def test_ends_the_handshake_with_one_who_shows_nothing(self, shown: Shown, service: str) -> None:
        assert refused(shown.to(service)["without"])


@pytest.mark.parametrize(("caller", "callee"), PAIRS)
async def test_a_client_believes_its_callee_and_no_sibling_at_the_same_address(
    caller: str, callee: str, signer: Authority, tmp_path: Any
) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(issuing.certificate(signer))
    context = client_context(*issue(signer, caller).store(tmp_path, "client"), ca)
    route = Route(callee, "POST", "/proof", Nothing, Nothing, Nothing, "who is there", status=204)
    believed = []
    for name in (*PROGRAMS, *MADE_UP):
        cert, key = issue(signer, name).store(tmp_path, name)
        runner = web.AppRunner(_answering())
        await runner.setup()
        (port,) = free_ports(1)
        server = server_context(TlsConfig(cert, key, ca, "mutual"))
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=server).start()
        client = ServiceClient({callee: f"https://127.0.0.1:{port}"}, context)
        try:
            await client.call(route, NOTHING)
            believed.append(name)
        except Unavailable as error:
            assert "Certificate" in error.message  # noqa: PT017 - which of many refuses is the question
        finally:
            await client.close()
            await runner.cleanup()
    assert believed == [callee]


def _answering() -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/proof", answer)
    return app


def test_no_certificate_of_a_host_is_good_for_another_program_of_it(site: Site) -> None:
    """Clients of MongoDB know it by its host's name; people know the gateway and their listeners by it."""
    for host in site.hosts:
        text = site.on(host, "sh", "-c", _NAMES).stdout
        names = {line.split(" ", 1)[0] for line in text.splitlines() if f"DNS:{host}" in line.split()[1:]}
        programs = {path.rsplit("/", 1)[1].removesuffix(".crt") for path in names}
        assert programs <= {"mongodb", "api-gateway", *CATALOG.listeners}, f"{host}: {programs}"


_NAMES = (
    "for f in /etc/lucid/tls/*/*.crt; do case $f in */ca.crt) continue;; esac;"
    " echo $f $(openssl x509 -in $f -noout -ext subjectAltName | tr ',' ' '); done"
)


class TestStores:
    def test_and_measuring_programs_end_the_handshake_with_strangers(
        self, site: Site, signer: Authority, shown: Shown
    ) -> None:
        own, foreign = issue(signer, "session-api"), issue(issuing.foreign_authority(), "session-api")
        servers = [("data1", "mongodb", 27017), ("data1", "redis", 6379), ("data1", "redis", 26379)]
        servers += [("mon1", "prometheus", port) for port in CATALOG.observers["prometheus"].ports]
        servers += [(h, "node-exporter", CATALOG.exporters["node-exporter"].port) for h in site.hosts]
        asked: dict[str, Any] = {
            host: {
                "ca": shown.ca,
                "attempts": [
                    attempt(server, "127.0.0.1", port, identity, [])
                    for at, server, port in servers
                    if at == host
                    for identity in (own, foreign, None)
                ],
            }
            for host in site.hosts
        }
        for host, answers in probing.on_each(site, "handshakes", asked).items():
            for number in range(0, len(answers), 3):
                server = f"{asked[host]['attempts'][number]['server']} on {host}"
                assert answers[number] == [], server
                assert refused(answers[number + 1]), server
                assert refused(answers[number + 2]), server

    def test_of_documents_give_each_service_its_own_and_nobody_elses(
        self, databases: dict[str, dict[str, str]]
    ) -> None:
        for name, service in SERVICES.items():
            if service.database is None:
                continue
            own = {f"{service.database}.{collection}" for collection in service.collections}
            done = {place for place, outcome in databases[name].items() if outcome == "done/done"}
            assert done == own, name
            refused = {o for place, o in databases[name].items() if place not in own}
            assert refused == {"Unauthorized/Unauthorized"}, name

    def test_of_documents_let_nobody_in_who_has_nothing_there(
        self, databases: dict[str, dict[str, str]]
    ) -> None:
        without = [name for name, service in SERVICES.items() if service.database is None]
        for name in (*without, *MADE_UP, "another's name"):
            assert databases[name] == {"login": "OperationFailure"}, name

    def test_of_documents_tell_nothing_to_one_who_does_not_log_in(
        self, databases: dict[str, dict[str, str]]
    ) -> None:
        assert set(databases["no login"].values()) <= {"Unauthorized/Unauthorized"}

    def test_in_memory_give_a_service_the_keys_of_its_own_name_only(
        self, site: Site, signer: Authority, shown: Shown
    ) -> None:
        passwords = vault(site)["vault_redis_passwords"]
        login = f"AUTH session-pipeline {passwords['session-pipeline']}"
        identity = issue(signer, "session-pipeline")
        conversations: list[tuple[int, list[str]]] = [
            (6379, ["PING"]),
            (6379, ["AUTH session-pipeline wrong"]),
            (6379, [f"AUTH session-pipeline {passwords['replica']}"]),
            (6379, [f"AUTH default {passwords['admin']}"]),
            (6379, [login, "EXISTS lucid:session-pipeline:proof", "EXISTS lucid:session-api:proof"]),
            (6379, [login, "KEYS *", "CONFIG GET *", "ACL LIST", "FLUSHALL", "SHUTDOWN"]),
            (26379, ["PING"]),
            (26379, [login, "SENTINEL REMOVE lucid", "SENTINEL FAILOVER lucid", "SHUTDOWN"]),
        ]
        asked = {
            "ca": shown.ca,
            "identity": (identity.certificate, identity.key),
            "conversations": conversations,
        }
        assert probing.on(site, "data1", "redis", asked) == [
            ["-NOAUTH"],
            ["-WRONGPASS"],
            ["-WRONGPASS"],
            ["-WRONGPASS"],
            ["+OK", ":0", "-NOPERM"],
            ["+OK", *["-NOPERM"] * 5],
            ["-NOAUTH"],
            ["+OK", *["-NOPERM"] * 3],
        ]


@pytest.fixture(scope="module")
def databases(site: Site, signer: Authority, shown: Shown) -> Any:
    """What each certificate can do in MongoDB."""

    def user(name: str, claimed: str | None = None, *, anonymous: bool = False) -> dict[str, Any]:
        identity = issue(signer, name)
        pem = (identity.certificate, identity.key)
        return {"identity": pem, "user": claimed, "anonymous": anonymous}

    members = ",".join(f"{host.name}:27017" for host in site.described.of_group(catalog.Group.DATA))
    places = [f"{s.database}.{c}" for s in SERVICES.values() for c in s.collections]
    asked = {
        "url": f"mongodb://{members}/?replicaSet=lucid",
        "ca": shown.ca,
        "collections": [*places, "admin.system.users", "local.oplog.rs"],
        "users": {name: user(name) for name in (*SERVICES, *MADE_UP)}
        | {
            "another's name": user("stranger", "CN=session-api,OU=services,O=Lucid"),
            "no login": user("session-api", anonymous=True),
        },
    }
    return probing.on(site, "data1", "databases", asked)
