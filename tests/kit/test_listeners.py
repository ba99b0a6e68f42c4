"""Sockets bound, and sockets passed by systemd and matched by name."""

import os
import socket
from pathlib import Path

import aiohttp
import pytest

from lucid.kit.listeners import Listener, ListenerError, open_sockets
from tests.kit.worker_process import free_port, listening, service


class TestBinding:
    def test_opens_one_listening_socket_per_listener_in_order(self) -> None:
        ports = [free_port(), free_port()]
        listeners = [Listener("a", "127.0.0.1", ports[0]), Listener("b", "localhost", ports[1])]
        opened = open_sockets(listeners, {}, backlog=8)
        try:
            assert [each.listener for each in opened] == listeners
            assert str(opened[0]) == f"a http://127.0.0.1:{ports[0]}"
            for port in ports:
                socket.create_connection(("127.0.0.1", port)).close()
        finally:
            for each in opened:
                each.close()

    def test_a_port_in_use_is_named(self) -> None:
        with listening() as other:
            port = other.getsockname()[1]
            with pytest.raises(ListenerError, match=f"'a' cannot listen on 127.0.0.1:{port}: .*in use"):
                open_sockets([Listener("a", "127.0.0.1", port)], {}, backlog=8)

    def test_a_host_that_is_no_address_is_named(self) -> None:
        with pytest.raises(ListenerError, match=r"'a': 127\.0\.0\.999:1 is no usable address"):
            open_sockets([Listener("a", "127.0.0.999", 1)], {}, backlog=8)

    @pytest.mark.parametrize("names", [[], ["a", "a"]])
    def test_names_must_be_distinct(self, names: list[str]) -> None:
        with pytest.raises(ListenerError, match="one distinct name each"):
            open_sockets([Listener(name, "127.0.0.1", 0) for name in names], {}, backlog=8)


class TestPassing:
    """Only what is refused before a descriptor is touched: descriptor 3 of this process is pytest's."""

    @pytest.mark.parametrize(
        ("names", "error"),
        [
            ("a", "passed no socket named 'b'; set FileDescriptorName=b"),
            ("a:c", "passed no socket named 'b'"),
            ("a:b:c", "a socket named 'c', which is no listener of this service; .* one of: a, b"),
            ("a:b:b", "holds a name twice"),
        ],
    )
    def test_names_must_be_those_declared(self, names: str, error: str) -> None:
        environ = {
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(names.count(":") + 1),
            "LISTEN_FDNAMES": names,
        }
        with pytest.raises(ListenerError, match=error):
            open_sockets([Listener("a", "127.0.0.1", 0), Listener("b", "127.0.0.1", 0)], environ, backlog=8)
        assert environ == {}

    @pytest.mark.parametrize(("count", "names"), [("2", "a"), ("", "a"), ("x", "a")])
    def test_count_and_names_must_agree(self, count: str, names: str) -> None:
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": names}
        with pytest.raises(ListenerError, match="need as many LISTEN_FDNAMES"):
            open_sockets([Listener("a", "127.0.0.1", 0)], environ, backlog=8)

    def test_sockets_for_another_process_are_not_ours(self) -> None:
        environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "elsewhere"}
        (opened,) = open_sockets([Listener("a", "127.0.0.1", 0)], environ, backlog=8)
        opened.close()
        assert environ == {}


class TestPassedToAService:
    async def test_are_served_whatever_their_order(self, tmp_path: Path) -> None:
        listeners = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
        with listening() as a, listening() as b:
            async with service(tmp_path, *listeners, sockets={"b": b, "a": a}) as running:
                await running.hears("READY=1")
                assert f"a http://127.0.0.1:{a.getsockname()[1]}" in running.log
                for each in (a, b):
                    url = f"http://127.0.0.1:{each.getsockname()[1]}/"
                    async with aiohttp.ClientSession() as client, client.get(url) as answer:
                        assert (await answer.json())["environment"] == []

    async def test_of_another_kind_stop_the_start(self, tmp_path: Path) -> None:
        with socket.socket() as idle:
            async with service(tmp_path, {"name": "a", "port": 1}, sockets={"a": idle}) as running:
                assert await running.ends() == 1
                assert "cannot start: the socket passed as 'a' is no listening TCP socket" in running.log
