"""What hosts get follows from the catalogue."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lucid import catalog
from lucid.deploy import filters, flows, plan, rules, secrets, signing
from lucid.kit import hosts
from tests.deploy.sites import made

CATALOG = catalog.load()


class TestUnits:
    def test_are_those_of_the_host_s_groups_callees_first(self) -> None:
        names = [unit.name for unit in plan.units(CATALOG, made(), made().named("sess1"))]
        assert set(names) == {"session-pipeline", "session-storage", "chunk-processor", "session-api"}
        assert names.index("session-storage") < names.index("chunk-processor") < names.index("session-api")

    def test_know_the_urls_of_their_callees_and_of_no_others(self) -> None:
        units = {unit.name: unit for unit in plan.units(CATALOG, made(), made().named("rdp1"))}
        recorder = units["session-recorder"].environment
        assert {name for name in recorder if name.startswith("LUCID_URL_")} == {
            "LUCID_URL_SESSION_PIPELINE", "LUCID_URL_CHUNK_PROCESSOR", "LUCID_URL_SESSION_ANCHORING",
        }  # fmt: skip
        assert "https://172.20.0.13:8085" in recorder.values()
        assert "MONGODB_URL" not in recorder

    def test_know_every_host_of_a_group_that_may_have_several(self) -> None:
        site = made()
        (api,) = (u for u in plan.units(CATALOG, site, site.named("sess1")) if u.name == "session-api")
        assert hosts.read("session-recorder", api.environment) == {
            "rdp1": "https://172.20.0.14:8084", "rdp2": "https://172.20.0.15:8084",
        }  # fmt: skip
        assert api.environment["LUCID_URL_SESSION_RECORDER"] == "https://172.20.0.14:8084"
        assert [n for n in api.environment if n.startswith("LUCID_URLS_")] == ["LUCID_URLS_SESSION_RECORDER"]

    def test_call_services_of_their_own_host_there(self) -> None:
        """Two of group rdp, one of which calls the other: no call leaves the host that it begins on."""
        caller = msgspec.structs.replace(CATALOG.services["auth-proxy"], group=catalog.Group.RDP,
                                         calls=("session-recorder",))  # fmt: skip
        both = {"session-recorder": CATALOG.services["session-recorder"], "auth-proxy": caller}
        together = msgspec.structs.replace(CATALOG, services=CATALOG.services | both)
        site = made()
        for name in ("rdp1", "rdp2"):
            host = site.named(name)
            (unit,) = (u for u in plan.units(together, site, host) if u.name == "auth-proxy")
            assert unit.environment["LUCID_URL_SESSION_RECORDER"] == f"https://{host.address}:8084"
            for version, address in ((4, host.address), (6, host.address6)):
                text = rules.render(host, site, flows.flows(together, site), version)
                ways = [line for line in text.splitlines() if "--uid-owner lucid-auth-proxy" in line]
                assert any(f"-d {address} -p tcp -m tcp --dport 8084 " in line for line in ways)
                assert "-A INPUT -i lo -j ACCEPT" in text

    def test_know_their_host_by_its_name_in_the_inventory(self) -> None:
        for host in made().hosts:
            for unit in plan.units(CATALOG, made(), host):
                assert unit.environment["HOST_NAME"] == host.name

    def test_hold_no_secret_in_their_environment(self) -> None:
        made_up = secrets.complete(CATALOG, {})
        hidden = [*made_up.vault_redis_passwords.values(), made_up.vault_mongodb_admin_password]
        for host in made().hosts:
            for unit in plan.units(CATALOG, made(), host):
                assert not [word for word in hidden if word in str(unit.environment)]

    def test_that_see_more_of_their_host_than_themselves_are_the_monitor_and_the_recorder(self) -> None:
        seen = {u.name: u.reads for h in made().hosts for u in plan.units(CATALOG, made(), h) if u.reads}
        assert seen == {"resource-monitor": ("host", "connections"), "session-recorder": ("displays",)}

    def test_of_whom_one_has_programs_started_know_where(self) -> None:
        found = {u.name: u for h in made().hosts for u in plan.units(CATALOG, made(), h)}
        assert [name for name, unit in found.items() if unit.units] == ["session-recorder"]
        recorder = found["session-recorder"]
        assert recorder.units == ("lucid-capture.socket",)
        assert recorder.environment["CAPTURE_SOCKET"] == "/run/lucid-capture/socket"

    def test_that_people_may_reach_are_the_gateway_alone(self) -> None:
        public = [u.name for h in made().hosts for u in plan.units(CATALOG, made(), h) if u.public]
        assert public == ["api-gateway"]


class TestSecrets:
    def test_that_exist_are_kept_and_missing_ones_are_added(self) -> None:
        first = secrets.complete(CATALOG, {})
        kept = {name: getattr(first, name) for name in first.__struct_fields__}
        del kept["vault_mongodb_keys"]
        again = secrets.complete(CATALOG, kept)
        assert again.vault_ca_key == first.vault_ca_key
        assert again.vault_credentials == first.vault_credentials
        assert again.vault_mongodb_keys != first.vault_mongodb_keys

    def test_of_services_on_several_hosts_are_another_on_each_and_the_vault_s_on_none(self) -> None:
        """The log takes a recorder's key once, as that of one host."""
        vault = secrets.complete(CATALOG, {})
        given = {
            host: filters.credentials(
                vault.vault_credentials,
                vault.vault_redis_passwords,
                host,
                {"session-recorder": {"recorder_key_previous": "ab" * 32}},
            )
            for host in ("rdp1", "rdp2")
        }
        first, second = (given[host]["session-recorder"] for host in ("rdp1", "rdp2"))
        assert set(first) == {"recorder_key", "recorder_key_previous"}
        original = {*vault.vault_credentials["session-recorder"].values(), "ab" * 32}
        assert len({*first.values(), *second.values()} - original) == 4
        assert all(len(bytes.fromhex(key)) == 32 for key in first.values())
        assert given["rdp1"]["session-api"] == given["rdp2"]["session-api"]
        assert (
            given["rdp1"]["session-api"]["closing_key"]
            == vault.vault_credentials["session-api"]["closing_key"]
        )

    def test_do_not_show_themselves(self) -> None:
        assert repr(secrets.complete(CATALOG, {})) == "Secrets(***)"


class TestCertificates:
    def test_are_for_every_program_of_the_host(self) -> None:
        names = {each.name for each in plan.certificates(CATALOG, made().named("data1"))}
        assert names == {"mongodb", "redis", "node-exporter", "lucid-probe"}
        assert "prometheus" in {each.name for each in plan.certificates(CATALOG, made().named("mon1"))}

    def test_name_their_host_only_where_clients_know_the_program_by_it(self) -> None:
        found = plan.certificates(CATALOG, made().named("data1"))
        assert {each.name for each in found if "data1" in each.dns} == {"mongodb"}
        assert {
            each.name for each in plan.certificates(CATALOG, made().named("edge1")) if "edge1" in each.dns
        } == {"api-gateway"}

    def test_say_what_the_control_machine_knows_whatever_the_host_asks(self) -> None:
        made_up = secrets.complete(CATALOG, {})
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        wanted = plan.Certificate(
            name="session-api",
            unit="services",
            group="g",
            dns=("session-api.lucid.internal",),
            addresses=("::1",),
        )
        requests = [
            {
                "certificate": {k: getattr(wanted, k) for k in wanted.__struct_fields__},
                "public_key": public.decode(),
            }
        ]
        issued = signing.sign(requests, made_up.vault_ca_certificate, made_up.vault_ca_key, 90)
        cert = x509.load_pem_x509_certificate(issued["session-api"].encode())
        cert.verify_directly_issued_by(x509.load_pem_x509_certificate(made_up.vault_ca_certificate.encode()))
        assert cert.subject.rfc4514_string() == "CN=session-api,OU=services,O=Lucid"
        assert cert.public_key() == key.public_key()
        assert cert.not_valid_after_utc - datetime.now(UTC) < timedelta(days=91)

    def test_of_a_foreign_key_pair_are_refused(self) -> None:
        one, other = secrets.complete(CATALOG, {}), secrets.complete(CATALOG, {})
        with pytest.raises(ValueError, match="not the certificate's"):
            signing.sign([], one.vault_ca_certificate, other.vault_ca_key, 90)
