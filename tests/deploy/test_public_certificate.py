"""Which certificate people are shown: what an inventory may say of it, and what follows for the hosts."""

import pytest

from lucid import catalog
from lucid.deploy import checks, filters, plan
from lucid.deploy.errors import SiteError
from lucid.deploy.flows import ANYBODY, flows
from lucid.deploy.public_certificate import LETS_ENCRYPT, Acme, Own, Supplied
from lucid.deploy.rules import render
from lucid.deploy.site import Site
from tests.deploy.sites import HOSTS, made

CATALOG = catalog.load()
NAMES = {"lucid_public_names": ["desktops.example.org", "192.0.2.11"]}
ACME = {**NAMES, "lucid_public_certificate": {"source": "acme"}}
SUPPLIED = {**NAMES, "lucid_public_certificate": {"source": "supplied"}}


def rules_of(site: Site, host: str, version: int = 4) -> list[str]:
    return render(site.named(host), site, flows(CATALOG, site), version).splitlines()


def file_of(site: Site, host: str) -> set[str | None]:
    units = plan.units(CATALOG, site, site.named(host))
    return {unit.environment.get("TLS_PUBLIC_FILE") for unit in units if unit.public}


class TestAnInventory:
    def test_that_says_nothing_has_the_site_s_own(self) -> None:
        assert {host.certificate for host in made().hosts} == {Own()}

    def test_has_the_public_names_covered_and_by_acme_those_that_are_no_addresses(self) -> None:
        assert made({"edge1": SUPPLIED}).named("edge1").certificate == Supplied(
            ("desktops.example.org", "192.0.2.11")
        )
        assert made({"edge1": ACME}).named("edge1").certificate == Acme(("desktops.example.org",))

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"source": "bought"}, "Invalid value 'bought'"),
            ({"source": "supplied", "mail": "a@example.org"}, "unknown field `mail`"),
            ({"source": "acme", "http_port": 0}, "`int` >= 1"),
            ("acme", "Expected `object`, got `str`"),
            ({"source": "acme", "names": ["*.example.org"]}, "names: '*.example.org' is no DNS name"),
            ({"source": "acme", "names": ["192.0.2.11"]}, "names: '192.0.2.11' is no DNS name"),
            ({"source": "acme", "names": ["a.example.org\nserver = https://b"]}, "is no DNS name"),
            ({"source": "acme", "server": "http://acme.example.org"}, "is no https:// URL"),
            ({"source": "acme", "reaches": ["everything"]}, "reaches: 'everything' does not appear to be"),
        ],
    )
    def test_that_makes_no_sense_is_refused(self, value: object, words: str) -> None:
        with pytest.raises(SiteError) as caught:
            made({"edge1": {**NAMES, "lucid_public_certificate": value}})
        assert str(caught.value).startswith("host edge1: lucid_public_certificate: ")
        assert words in str(caught.value)

    @pytest.mark.parametrize("source", ["supplied", "acme"])
    def test_without_names_is_refused(self, source: str) -> None:
        addresses = {"lucid_public_names": ["192.0.2.11"] if source == "acme" else []}
        with pytest.raises(SiteError, match="it has no names; set lucid_public_names"):
            made({"edge1": {**addresses, "lucid_public_certificate": {"source": source}}})

    @pytest.mark.parametrize(
        ("host", "changes", "words"),
        [
            ("core1", ACME, "host core1: lucid_public_certificate is for hosts that people reach"),
            ("core1", SUPPLIED, "host core1: lucid_public_certificate is for hosts that people reach"),
            (
                "edge1",
                {**NAMES, "lucid_public_certificate": {"source": "acme", "http_port": 8080}},
                "host edge1: lucid_public_certificate: http_port 8080 is the port of api-gateway",
            ),
        ],
    )
    def test_that_cannot_be_is_a_problem(self, host: str, changes: dict[str, object], words: str) -> None:
        assert [each for each in checks.problems(CATALOG, made({host: changes})) if each.startswith(words)]

    @pytest.mark.parametrize("good", [{}, SUPPLIED, ACME])
    def test_that_can_be_is_none(self, good: dict[str, object]) -> None:
        assert not checks.problems(CATALOG, made({"edge1": good}))


class TestTheFirewall:
    def test_lets_the_authority_ask_where_certificates_come_from_it_and_nowhere_else(self) -> None:
        found = [flow for flow in flows(CATALOG, made({"edge1": ACME})) if flow.port == 80]
        assert [(flow.source, flow.destination) for flow in found] == [(ANYBODY, "edge1")]
        for others in (made(), made({"edge1": SUPPLIED})):
            assert not [flow for flow in flows(CATALOG, others) if flow.port == 80]

    @pytest.mark.parametrize("version", [4, 6])
    def test_lets_its_user_alone_go_to_the_authority_s_port(self, version: int) -> None:
        place = {"server": "https://acme.example.org:14000/dir", "reaches": ["203.0.113.7/32", "2001:db8::7"]}
        site = made({"edge1": {**NAMES, "lucid_public_certificate": {"source": "acme", **place}}})
        mine = [line for line in rules_of(site, "edge1", version) if "lucid-acme" in line]
        to = {4: "203.0.113.7/32", 6: "2001:db8::7/128"}[version]
        (only,) = mine
        assert only.startswith(
            f"-A LUCID-OUT -d {to} -p tcp -m tcp --dport 14000 -m owner --uid-owner lucid-acme"
        )
        assert not [line for line in rules_of(made(), "edge1", version) if "lucid-acme" in line]


class TestAHost:
    def test_has_the_user_that_asks_only_where_it_asks(self) -> None:
        site = made({"edge1": ACME})
        assert [host.name for host in site.hosts if "lucid-acme" in plan.users(CATALOG, host)] == ["edge1"]
        assert "lucid-acme" not in plan.users(CATALOG, made({"edge1": SUPPLIED}).named("edge1"))

    def test_has_its_gateway_show_the_file_if_that_is_not_its_own(self) -> None:
        assert file_of(made(), "edge1") == {None}
        for changes in (SUPPLIED, ACME):
            site = made({"edge1": changes})
            assert file_of(site, "edge1") == {"/etc/lucid/tls/public/public.pem"}
            environments = [unit.environment for unit in plan.units(CATALOG, site, site.named("edge1"))]
            assert sum("TLS_PUBLIC_FILE" in each for each in environments) == 1


def test_the_role_is_told_what_it_needs() -> None:
    groups: dict[str, list[str]] = {}
    for host, (group, _) in HOSTS.items():
        groups.setdefault(group, []).append(host)
    hostvars = {
        host: {"lucid_address": address, **(ACME if host == "edge1" else {})}
        for host, (_, address) in HOSTS.items()
    }
    assert filters.certificate_for_people("edge1", groups, hostvars) == {
        "source": "acme",
        "names": ["desktops.example.org"],
        "server": LETS_ENCRYPT,
        "lineage": "acme-v02.api.letsencrypt.org",
        "mail": "",
        "authority": "",
        "reaches": ["0.0.0.0/0", "::/0"],
        "http_port": 80,
        "unit": "lucid-api-gateway.service",
        "group": "lucid-api-gateway",
    }
    assert filters.certificate_for_people("core1", groups, hostvars)["unit"] == ""
