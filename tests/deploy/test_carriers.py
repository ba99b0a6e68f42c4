"""Programs that carry people's connections: who may connect where, and what an inventory may say of them."""

import pytest

from lucid import catalog
from lucid.deploy import checks, plan
from lucid.deploy.errors import SiteError
from lucid.deploy.flows import flows
from lucid.deploy.rules import render
from lucid.deploy.site import Site
from tests.deploy.sites import made

CATALOG = catalog.load()
TOR = {"lucid_carriers": {"tor": ["0.0.0.0/0", "::/0"]}}


def with_tor() -> Site:
    return made({"edge1": TOR})


class TestFlows:
    def test_only_tor_connects_to_the_socket_that_is_for_it(self) -> None:
        found = {(f.source, f.user, f.destination) for f in flows(CATALOG, with_tor()) if f.port == 8079}
        assert found == {("edge1", "debian-tor", "edge1")}

    def test_tor_connects_to_that_and_its_own_ports_only(self) -> None:
        found = {(f.destination, f.port) for f in flows(CATALOG, with_tor()) if f.user == "debian-tor"}
        assert found == {("edge1", port) for port in (8079, 9050, 9051)}

    def test_where_there_is_no_tor_nobody_does(self) -> None:
        assert not [f for f in flows(CATALOG, made()) if f.port in {8079, 9050, 9051}]


class TestPlans:
    def test_the_user_is_there_where_tor_is(self) -> None:
        site = with_tor()
        having = [host.name for host in site.hosts if "debian-tor" in plan.users(CATALOG, host)]
        assert having == ["edge1"]

    def test_the_gateway_finds_out_how_tor_is_only_beside_it(self) -> None:
        for site, wanted in ((with_tor(), "/run/lucid-tor/status.json"), (made(), None)):
            units = plan.units(CATALOG, site, site.named("edge1"))
            gateway = next(unit for unit in units if unit.name == "api-gateway")
            assert gateway.environment.get("TOR_STATUS") == wanted
            assert "127.0.0.1:8079" in {socket.address for socket in gateway.sockets}
            assert not [unit for unit in units if unit is not gateway and "TOR_STATUS" in unit.environment]


class TestInventories:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"i2p": []}, "lucid_carriers names i2p, which is none of tor"),
            (["tor"], "Expected `object`, got `array`; write it as tor: "),
            (
                {"tor": ["anywhere"]},
                "lucid_carriers: 'anywhere' does not appear to be an IPv4 or IPv6 network",
            ),
        ],
    )
    def test_that_make_no_sense_are_refused(self, value: object, words: str) -> None:
        with pytest.raises(SiteError) as caught:
            made({"edge1": {"lucid_carriers": value}})
        assert str(caught.value).startswith("host edge1: lucid_carriers")
        assert words in str(caught.value)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"core1": TOR}, "host core1: lucid_carriers names tor, which belongs to group edge"),
            ({"edge1": TOR, "core1": TOR}, "hosts core1, edge1: lucid_carriers names tor on each of them"),
        ],
    )
    def test_that_cannot_be_are_problems(self, changes: dict[str, dict[str, object]], words: str) -> None:
        assert any(problem.startswith(words) for problem in checks.problems(CATALOG, made(changes)))

    def test_with_tor_on_one_edge_host_are_good(self) -> None:
        assert not checks.problems(CATALOG, with_tor())


class TestAWayOutOnAnyPort:
    @pytest.mark.parametrize("version", [4, 6])
    def test_leads_neither_to_loopback_nor_to_a_host_of_the_site(self, version: int) -> None:
        site = with_tor()
        lines = render(site.named("edge1"), site, flows(CATALOG, site), version).splitlines()
        mine = [line for line in lines if line.startswith("-A LUCID-OUT") and "debian-tor" in line]
        out = next(i for i, line in enumerate(mine) if "/0 -p tcp -m owner" in line)
        stops = [i for i, line in enumerate(mine) if line.endswith("--uid-owner debian-tor -j RETURN")]
        own = [i for i, line in enumerate(mine) if "--dport" in line]
        assert max(own) < min(stops) <= max(stops) < out == len(mine) - 1
        inside = {str(each) for host in site.hosts for each in host.addresses if each.version == version}
        assert {mine[i].split()[3] for i in stops} == inside | {"127.0.0.0/8" if version == 4 else "::1/128"}

    def test_stops_nobody_else(self) -> None:
        site = with_tor()
        text = render(site.named("edge1"), site, flows(CATALOG, site), 4)
        assert all("debian-tor" in line for line in text.splitlines() if line.endswith("-j RETURN"))
