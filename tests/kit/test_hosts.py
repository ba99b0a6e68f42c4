"""Calls to a service on a certain host: how hosts are written, and that it is that one which is asked."""

from collections.abc import AsyncIterator

import pytest

from lucid.dev.servers import free_port
from lucid.kit import hosts, launch, settings
from lucid.kit.client import ServiceClient, variable
from lucid.kit.errors import Unavailable
from lucid.kit.hosts import read, written
from lucid.kit.routes import NOTHING
from tests.kit import parrot
from tests.kit.live import HOST, House
from tests.kit.parrot import COUNTS

URLS = {"rdp1": "https://10.0.0.4:8084", "rdp-2.example": "https://10.0.0.5:8084"}
VARIABLE = hosts.variable("session-recorder")


class TestTheVariable:
    def test_is_read_as_it_was_written(self) -> None:
        assert VARIABLE == "LUCID_URLS_SESSION_RECORDER"
        assert read("session-recorder", {VARIABLE: written(URLS)}) == URLS
        assert read("session-recorder", {VARIABLE: " rdp1 = https://10.0.0.4:8084 "}) == {
            "rdp1": "https://10.0.0.4:8084"
        }
        assert read("session-recorder", {}) == {}

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("rdp1=https://a:1,rdp1=https://b:1", "host rdp1 is named twice"),
            ("rdp1=https://a:1,rdp2=https://a:1", "https://a:1 of rdp2 is the URL of another host too"),
            ("https://a:1", "'https://a:1' is no name of a host"),
            ("=https://a:1", "'' is no name of a host"),
            ("a b=https://a:1", "'a b' is no name of a host"),
            ("rdp1=https://a:1,", "'' is no name of a host"),
            ("rdp1", "'' of rdp1 is no base URL"),
            ("rdp1=a:1", "'a:1' of rdp1 is no base URL"),
            ("rdp1=https://a", "'https://a' of rdp1 is no base URL"),
            ("rdp1=https://a:x", "'https://a:x' of rdp1 is no base URL"),
            ("rdp1=https://a:1/b", "'https://a:1/b' of rdp1 is no base URL"),
            ("rdp1=https://u@a:1", "'https://u@a:1' of rdp1 is no base URL"),
            ("rdp1=ftp://a:1", "'ftp://a:1' of rdp1 is no base URL"),
        ],
    )
    def test_that_is_at_fault_is_named_with_the_fault_and_the_form(self, text: str, reason: str) -> None:
        with pytest.raises(settings.SettingsError) as caught:
            read("session-recorder", {VARIABLE: text})
        assert f"{VARIABLE}: {reason}; write it as rdp1=https://" in str(caught.value)

    def test_that_is_at_fault_stops_the_start(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        for callee in ("session-storage",):
            monkeypatch.setenv(variable(callee), f"https://{HOST}:1")
        monkeypatch.setenv(hosts.variable("session-storage"), "rdp1=nowhere")
        found = settings.Common(state_directory="/s", tls_directory=str(house.directory))
        with pytest.raises(settings.SettingsError, match="LUCID_URLS_SESSION_STORAGE: 'nowhere' of rdp1"):
            launch.service_client(found, parrot.OTHER_CALLER)


@pytest.fixture
def ports() -> dict[str, int]:
    """Three hosts, of which the last is down."""
    return {name: free_port() for name in ("one", "two", "down")}


@pytest.fixture
async def client(house: House, ports: dict[str, int]) -> AsyncIterator[ServiceClient]:
    urls = {name: f"https://{HOST}:{port}" for name, port in ports.items()}
    made = ServiceClient({parrot.SERVICE: urls["one"]}, house.tls(parrot.CALLER), {parrot.SERVICE: urls})
    yield made
    await made.close()


class TestCalls:
    async def test_go_to_the_host_that_is_named_and_to_the_first_where_none_is(
        self, house: House, ports: dict[str, int], client: ServiceClient
    ) -> None:
        one, two = parrot.build(), parrot.build()
        async with (
            house.serve(one, parrot.SERVICE, port=ports["one"]),
            house.serve(two, parrot.SERVICE, port=ports["two"]),
        ):
            for host, counts in ((None, (1, 0)), ("two", (1, 1)), ("one", (2, 1)), ("two", (2, 2))):
                with pytest.raises(Unavailable, match="the disk is away"):
                    await client.call(parrot.DOWN_ONCE, NOTHING, host=host)
                assert tuple(each[COUNTS].get("POST", 0) for each in (one, two)) == counts

    async def test_to_a_host_that_is_down_say_which_and_leave_the_others_alone(
        self, house: House, ports: dict[str, int], client: ServiceClient
    ) -> None:
        one = parrot.build()
        async with house.serve(one, parrot.SERVICE, port=ports["one"]):
            with pytest.raises(Unavailable, match="session-storage on down cannot be reached"):
                await client.call(parrot.DOWN_ONCE, NOTHING, host="down")
            assert one[COUNTS] == {}
            assert (await client.call(parrot.SEEN, NOTHING, host="one")).peer == parrot.CALLER

    async def test_to_a_host_that_is_none_of_its_own_are_unavailable_and_name_those_that_are(
        self, client: ServiceClient
    ) -> None:
        with pytest.raises(Unavailable, match="has no host six; its hosts are one, two, down") as caught:
            await client.call(parrot.SEEN, NOTHING, host="six")
        assert (caught.value.code.number, caught.value.details["host"]) == (5008, "six")

    async def test_can_ask_which_hosts_there_are(self, client: ServiceClient) -> None:
        assert client.hosts(parrot.SERVICE) == ("one", "two", "down")
        assert client.hosts("session-api") == ()

    async def test_believe_a_host_only_by_its_service_s_name(
        self, house: House, ports: dict[str, int], client: ServiceClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lucid.kit.client.FIRST_PAUSE", 0.001)
        stranger = parrot.build()
        async with house.serve(stranger, parrot.STRANGER, port=ports["two"]):
            with pytest.raises(Unavailable, match="ClientConnectorCertificateError"):
                await client.call(parrot.SEEN, NOTHING, host="two")
        assert stranger[COUNTS] == {}
