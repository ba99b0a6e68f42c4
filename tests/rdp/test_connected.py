"""Who is connected, told by the kernel."""

import socket
from contextlib import closing

import pytest

from lucid.rdp import connected

V6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 0000000000000000FFFF00000100007F:344D 0000000000000000FFFF00000E0016AC:C2E6 01 00000000:00000000
   1: 00000000000000000000000000000000:344D 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 000080FE00000000FF005450B6AD1DFE:344E 000080FE00000000FF005450B6AD1DFE:C2E6 01 00000000:00000000
"""


def test_reads_the_kernels_table() -> None:
    assert connected.clients([V6]) == {13389: ("172.22.0.14",), 13390: ("fe80::5054:ff:fe1d:adb6",)}


def test_a_table_that_holds_nothing_has_nobody() -> None:
    assert connected.clients(["", "  sl  local_address\n", "a b\n1 2 3\n"]) == {}


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_real_connection_is_seen_while_it_lasts(family: socket.AddressFamily, address: str) -> None:
    def look() -> tuple[str, ...]:
        return connected.clients(table.read_text() for table in connected.TABLES).get(port, ())

    with closing(socket.create_server((address, 0), family=family)) as server:
        port = server.getsockname()[1]
        assert look() == ()
        with closing(socket.create_connection((address, port))) as client, closing(server.accept()[0]):
            assert client.getpeername()[1] == port
            assert look() == (address,)
