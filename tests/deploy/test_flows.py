"""What may pass is what the catalogue says, and no packet more."""

import re
from pathlib import Path

from lucid import catalog
from lucid.contracts.xrdp import LOGIN_PORT
from lucid.deploy.flows import ADMITTED, ANYBODY, CONTROL, Flow, flows
from lucid.deploy.picture import draw
from lucid.deploy.rules import render
from lucid.deploy.site import read
from tests.deploy.sites import made

CATALOG = catalog.load()
ROOT = Path(__file__).parents[2]


def between(source: str, destination: str) -> set[tuple[str, int]]:
    return {
        (f.user, f.port) for f in flows(CATALOG, made()) if (f.source, f.destination) == (source, destination)
    }


class TestFlows:
    def test_every_declared_call_is_one_and_no_other_call_is(self) -> None:
        groups = {"core": ["core1"], "sessions": ["sess1"], "rdp": ["rdp1", "rdp2"], "edge": ["edge1"]}
        declared = {
            (source, s.user, destination, CATALOG.services[c].entry.port)
            for s in CATALOG.services.values()
            for c in s.calls
            for source in groups[s.group]
            for destination in groups[CATALOG.services[c].group]
        }
        found = {
            (f.source, f.user, f.destination, f.port)
            for f in flows(CATALOG, made())
            if f.user.startswith("lucid-") and any(f.destination in hosts for hosts in groups.values())
        }
        listening = {(host, "lucid-rdp", host, LOGIN_PORT) for host in groups["rdp"]}
        assert found == declared | listening

    def test_into_the_tron_host_come_ssh_and_the_observer_only_and_nothing_leaves_it(self) -> None:
        found = flows(CATALOG, made())
        assert {(f.source, f.port) for f in found if f.destination == "tron1"} == {
            (CONTROL, 22),
            ("mon1", 9100),
        }
        assert not [f for f in found if f.source == "tron1"]

    def test_a_service_reaches_its_own_stores_only(self) -> None:
        assert between("rdp1", "data1") == {("lucid-rdp-manager", 27017)}
        assert ("lucid-session-pipeline", 6379) in between("sess1", "data1")
        assert ("lucid-session-storage", 6379) not in between("sess1", "data1")

    def test_desktops_are_open_to_whom_the_agent_admits(self) -> None:
        found = [(f.destination, f.port, f.last) for f in flows(CATALOG, made()) if f.source == ADMITTED]
        assert found == [("rdp1", 13389, 14389), ("rdp2", 13389, 14389)]

    def test_members_of_a_store_reach_each_other_and_themselves(self) -> None:
        wanted = {("mongodb", 27017), ("redis", 6379), ("redis", 26379)}
        assert between("data1", "data2") == wanted | {("root", port) for _, port in wanted}
        assert between("data1", "data1") == wanted

    def test_every_host_of_a_group_calls_and_is_called(self) -> None:
        two = made()
        found = {(f.source, f.user, f.destination, f.port) for f in flows(CATALOG, two)}
        for host in ("rdp1", "rdp2"):
            assert ("sess1", "lucid-session-api", host, 8084) in found
            assert (host, "lucid-session-recorder", "sess1", 8083) in found
            assert (host, "lucid-session-recorder", "core1", 8085) in found
        text = render(two.named("sess1"), two, flows(CATALOG, two), 4)
        for address in ("172.20.0.14", "172.20.0.15"):
            assert f"-A LUCID-OUT -d {address} -p tcp -m tcp --dport 8084 -m owner" in text

    def test_people_reach_the_gateway_over_tls_only(self) -> None:
        open_to_all = {(f.destination, f.port) for f in flows(CATALOG, made()) if f.source == ANYBODY}
        assert open_to_all == {("edge1", 8081)}


class TestRules:
    def test_drop_by_default_in_all_three_directions(self) -> None:
        for version in (4, 6):
            text = render(made().named("core1"), made(), flows(CATALOG, made()), version)
            assert re.findall(r"^:(\w+) DROP", text, re.MULTILINE) == ["INPUT", "FORWARD", "OUTPUT"]
            assert text.startswith("*filter\n")
            assert text.endswith("COMMIT\n")

    def test_hold_addresses_of_their_own_version_only(self) -> None:
        text = render(made().named("sess1"), made(), flows(CATALOG, made()), 6)
        assert "fd20::" in text
        assert "172." not in text

    def test_name_the_sender_s_unix_user_in_each_way_out(self) -> None:
        site = made({"core1": {"firewall_outbound": [{"why": "time", "port": 123, "users": ["_chrony"],
                     "to": ["192.0.2.1"], "protocol": "udp"}]}})  # fmt: skip
        text = render(site.named("core1"), site, flows(CATALOG, site), 4)
        ways_out = [line for line in text.splitlines() if line.startswith("-A LUCID-OUT")]
        assert ways_out
        assert all("--uid-owner" in line for line in ways_out)
        assert any("-d 192.0.2.1/32 -p udp -m udp --dport 123" in line for line in ways_out)

    def test_name_the_group_where_users_are_lent(self) -> None:
        text = render(made().named("rdp1"), made(), flows(CATALOG, made()), 4)
        found = [line for line in text.splitlines() if "--gid-owner" in line]
        assert found
        assert all(f"--dport {LOGIN_PORT} -m owner --gid-owner lucid-rdp " in line for line in found)
        assert any("-d 127.0.0.1 " in line for line in found)
        assert "--uid-owner lucid-rdp " not in text

    def test_let_administration_in_from_the_control_network_only(self) -> None:
        text = render(made().named("tron1"), made(), flows(CATALOG, made()), 4)
        found = [line for line in text.splitlines() if "--dport 22 " in line]
        assert len(found) == 1
        assert found[0].startswith("-A LUCID-IN -s 172.22.0.1/32 -p tcp ")


def test_the_picture_holds_a_dot_for_each_flow_and_says_why() -> None:
    found = (Flow("a", "lucid-x", "b", 1, "x calls <y>"), Flow(ANYBODY, "", "a", 2, "people use z"))
    drawn = draw(found)
    assert drawn.count("<circle") == 2
    assert "x calls &lt;y&gt;" in drawn


def test_the_picture_of_the_guide_shows_the_lab_as_it_is() -> None:
    site = read(ROOT / "inventories/lab")
    shown = (ROOT / "docs/operations/firewall.svg").read_text(encoding="utf-8")
    command = "lucid firewall matrix -i inventories/lab --svg docs/operations/firewall.svg"
    assert draw(flows(site.adapted(catalog.shipped()), site)) == shown, f"draw it anew: {command}"
