"""TCP connections: the kernel's messages, real ones on loopback, and what is counted of those that ended."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid.rdp import inet_diag, slots
from lucid.rdp.connections import SOCK_DIAG, Connections, Look
from lucid.rdp.inet_diag import Connection
from lucid.rdp.traffic import REMEMBERED, Traffic


class Pair:
    """A connection on loopback: the server's end, at `port`, and the client's."""

    def __init__(self, listener: socket.socket) -> None:
        self.client = socket.create_connection(listener.getsockname()[:2])
        self.server, _ = listener.accept()

    def talk(self, up: int, down: int) -> None:
        """Sends as many bytes to the server, and to the client, and waits until all have arrived."""
        for source, to, size in ((self.client, self.server, up), (self.server, self.client, down)):
            source.sendall(b"x" * size)
            got = 0
            while got < size:
                got += len(to.recv(size))

    def close(self) -> None:
        self.client.close()
        self.server.close()


def listening(family: int, address: str) -> socket.socket:
    """Listens at a port of a slot that nobody else uses."""
    for port in reversed(slots.PORTS):
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.bind((address, port))
            made.listen()
        except OSError:
            made.close()
            continue
        return made
    pytest.fail("every port of a slot is taken")


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with listening(*request.param) as made:
        yield made


def at(look: Look, port: int) -> tuple[list[Connection], list[Connection]]:
    """What is open and what was closed at a port."""
    return [c for c in look.open if c.port == port], [c for c in look.closed if c.port == port]


def told(kernel: Connections, port: int, number: int) -> tuple[list[Connection], list[Connection]]:
    """What is open at a port once so many ends were told, which takes the kernel a moment; and these."""
    closed: list[Connection] = []
    until = time.monotonic() + 5
    while True:
        still, more = at(kernel.look(), port)
        closed += more
        if len(closed) >= number or time.monotonic() > until:
            return still, closed
        time.sleep(0.005)


class TestRealConnections:
    def test_are_counted_while_they_last_and_when_they_ended(self, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        with Connections(slots.PORTS) as kernel:
            pair = Pair(listener)
            pair.talk(up=1000, down=300_000)
            ((seen,), closed) = at(kernel.look(), port)
            assert (seen.received, closed) == (1000, [])
            pair.talk(up=50, down=7)
            pair.close()
            still, (ended,) = told(kernel, port, 1)
            assert (still, ended.cookie) == ([], seen.cookie)
            # SYN and FIN have a place in sequence numbers, so they may count.
            assert 1050 <= ended.received <= 1052
            assert 300_007 <= ended.sent <= 300_009
            assert at(kernel.look(), port) == ([], [])

    def test_that_came_and_went_between_two_looks_are_told(self, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        with Connections(slots.PORTS) as kernel:
            kernel.look()
            for _ in range(20):
                pair = Pair(listener)
                pair.talk(up=10, down=20)
                pair.close()
            traffic = Traffic()
            traffic.see(*told(kernel, port, 20))
            assert traffic.connections == 0
            assert 200 <= traffic.received <= 240
            assert 400 <= traffic.sent <= 440

    def test_at_other_ports_are_not_told_of(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, Connections(slots.PORTS) as kernel:
            port = listener.getsockname()[1]
            assert port not in slots.PORTS
            with ExitStack() as stack:
                for _ in range(50):
                    pair = Pair(listener)
                    stack.callback(pair.close)
                assert at(kernel.look(), port)[0] == []
            look = kernel.look()
            assert {each.port for each in (*look.open, *look.closed)} <= set(slots.PORTS)

    def test_many_fill_more_than_one_datagram(self, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        with Connections(slots.PORTS) as kernel, ExitStack() as stack:
            for _ in range(200):
                stack.callback(Pair(listener).close)
            assert len(at(kernel.look(), port)[0]) == 200

    def test_are_an_error_once_nobody_is_told_any_more(self) -> None:
        with Connections(slots.PORTS) as kernel:
            kernel.look()
        with pytest.raises(OSError, match="Bad file descriptor"):
            kernel.look()

    def test_too_many_at_once_to_be_told_of_are_passed_over(self, listener: socket.socket) -> None:
        """More than the socket's buffer has room for."""
        port = listener.getsockname()[1]
        with Connections(slots.PORTS) as kernel:
            for _ in range(2000):
                Pair(listener).close()
            still, ended = told(kernel, port, 1)
            assert still == []
            assert 0 < len(ended) < 2000
            Pair(listener).close()
            assert told(kernel, port, 1)[1]

    def test_that_the_kernel_refuses_to_list_are_an_error(self) -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, SOCK_DIAG) as kernel:
            kernel.send(inet_diag.request(250, slots.PORTS))
            with pytest.raises(OSError, match="sock_diag refuses"):
                inet_diag.connections(kernel.recv(65536))


def captured() -> bytes:
    """The kernel's own answer about a connection of this process."""
    with listening(socket.AF_INET, "127.0.0.1") as listener:
        pair = Pair(listener)
        pair.talk(up=5, down=6)
        port = listener.getsockname()[1]
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, SOCK_DIAG) as kernel:
            kernel.send(inet_diag.request(socket.AF_INET, range(port, port + 1)))
            answer = kernel.recv(65536)
        pair.close()
        return answer


ANSWER = captured()


class TestMessages:
    def test_of_the_kernel_are_understood(self) -> None:
        ((connection,), _) = inet_diag.connections(ANSWER)
        assert (connection.received, connection.sent) == (5, 6)
        assert connection.port in slots.PORTS

    @pytest.mark.parametrize("length", [1, 15, 16, 40, 90, 200])
    def test_that_are_cut_are_refused(self, length: int) -> None:
        with pytest.raises(ValueError, match=r"bytes|shorter"):
            inet_diag.connections(ANSWER[:length])

    def test_without_counters_are_passed_over(self) -> None:
        bare = struct.pack("=IHHII", 16 + 72, 20, 0, 1, 0) + bytes(72)
        assert inet_diag.connections(bare) == ([], False)

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_that_are_anything_at_all_are_understood_or_refused(self, data: st.DataObject) -> None:
        changed = bytearray(ANSWER)
        for _ in range(data.draw(st.integers(1, 6))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        for message in (bytes(changed), data.draw(st.binary(max_size=200))):
            with suppress(ValueError, OSError):
                inet_diag.connections(message)


def seen(cookie: int, received: int, sent: int = 0) -> Connection:
    return Connection(cookie, 13390, received, sent)


class TestTraffic:
    def test_is_that_of_open_and_of_ended_connections(self) -> None:
        traffic = Traffic()
        traffic.see([seen(1, 10, 1), seen(2, 5, 2)], [])
        traffic.see([seen(2, 6, 3)], [seen(1, 30, 4)])
        assert (traffic.connections, traffic.received, traffic.sent) == (1, 36, 7)

    def test_counts_once_what_is_listed_and_told_of_at_the_same_look(self) -> None:
        traffic = Traffic()
        traffic.see([seen(1, 10)], [seen(1, 12)])
        traffic.see([], [])
        assert (traffic.connections, traffic.received) == (0, 12)

    def test_counts_as_last_seen_what_vanished_untold_and_corrects_it_when_told(self) -> None:
        traffic = Traffic()
        traffic.see([seen(1, 10)], [])
        traffic.see([], [])
        assert (traffic.connections, traffic.received) == (0, 10)
        traffic.see([], [seen(1, 17)])
        assert traffic.received == 17

    def test_leaves_out_what_belonged_to_the_slot_before(self) -> None:
        traffic = Traffic(foreign={1, 2})
        traffic.see([seen(1, 1000), seen(3, 5)], [seen(2, 1000)])
        assert (traffic.connections, traffic.received) == (1, 5)
        traffic.see([seen(3, 6)], [seen(1, 2000)])
        assert traffic.received == 6

    def test_keeps_its_totals_and_not_every_connection(self) -> None:
        traffic = Traffic()
        for cookie in range(5 * REMEMBERED):
            traffic.see([seen(cookie, 3)], [])
        traffic.see([], [])
        assert traffic.received == 15 * REMEMBERED
        assert len(traffic.cookies) == REMEMBERED
