"""The PROXY protocol's header: what Tor writes is taken, everything else is refused or waited for."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.kit.proxy_protocol import LONGEST, Header, Malformed, parse

OF_TOR = b"PROXY TCP6 fc00:dead:beef:4dad::ffff:ffff ::1 65535 42\r\n"  # the example of tor(1)
PORTS = st.integers(0, 65535)

REFUSED = {
    "HTTP": b"GET / HTTP/1.1\r\n",
    "nobody": b"PROXY UNKNOWN\r\n",
    "nobody with addresses": b"PROXY UNKNOWN ::1 ::1 1 1\r\n",
    "version 2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    "small letters": b"proxy TCP6 ::1 ::1 1 1\r\n",
    "another family": b"PROXY TCP5 ::1 ::1 1 1\r\n",
    "families mixed": b"PROXY TCP6 ::1 127.0.0.1 1 1\r\n",
    "IPv6 named IPv4": b"PROXY TCP4 ::1 ::1 1 1\r\n",
    "two spaces": b"PROXY TCP6  ::1 ::1 1 1\r\n",
    "a tab": b"PROXY TCP6\t::1 ::1 1 1\r\n",
    "a space at the end": b"PROXY TCP6 ::1 ::1 1 1 \r\n",
    "one port": b"PROXY TCP6 ::1 ::1 1\r\n",
    "three ports": b"PROXY TCP6 ::1 ::1 1 1 1\r\n",
    "a port too large": b"PROXY TCP6 ::1 ::1 65536 1\r\n",
    "a port with a zero before it": b"PROXY TCP6 ::1 ::1 01 1\r\n",
    "a negative port": b"PROXY TCP6 ::1 ::1 -1 1\r\n",
    "a port in hex": b"PROXY TCP6 ::1 ::1 0x1 1\r\n",
    "a scope": b"PROXY TCP6 fe80::1%lo ::1 1 1\r\n",
    "no address": b"PROXY TCP6 ::g ::1 1 1\r\n",
    "an octet too large": b"PROXY TCP4 256.0.0.1 127.0.0.1 1 1\r\n",
    "an octet with a zero before it": b"PROXY TCP4 01.0.0.1 127.0.0.1 1 1\r\n",
    "a line feed alone": b"PROXY TCP6 ::1 ::1 1 1\n" + b"x" * LONGEST,
    "a carriage return alone": b"PROXY TCP6 ::1 ::1 1 1\r" + b"x" * LONGEST,
    "a NUL": b"PROXY TCP6 ::1\0 ::1 1 1\r\n",
    "digits of another script": "PROXY TCP6 ::1 ::1 ١ 1\r\n".encode(),
    "too long": b"PROXY TCP6 " + b"0" * LONGEST + b"::1 ::1 1 1\r\n",
}


class TestGoodHeaders:
    def test_tor_s_own_is_the_number_of_a_circuit(self) -> None:
        found = parse(OF_TOR + b"GET / HTTP/1.1\r\n")
        assert found == Header("fc00:dead:beef:4dad::ffff:ffff", 65535, len(OF_TOR))
        assert found.circuit() == 0xFFFFFFFF

    @given(st.integers(0, 2**32 - 1), PORTS, st.binary())
    def test_every_circuit_is_told_apart_however_much_follows(
        self, number: int, port: int, more: bytes
    ) -> None:
        # As Tor writes it: %x of each half, without zeros before it.
        high, low = number >> 16, number & 0xFFFF
        line = f"PROXY TCP6 fc00:dead:beef:4dad::{high:x}:{low:x} ::1 {low} {port}\r\n"
        found = parse(line.encode() + more)
        assert found is not None
        assert (found.circuit(), found.port, found.size) == (number, low, len(line))

    @given(st.ip_addresses(), st.ip_addresses(), PORTS, PORTS)
    def test_any_two_addresses_of_one_family_make_one(
        self,
        source: ipaddress.IPv4Address | ipaddress.IPv6Address,
        destination: ipaddress.IPv4Address | ipaddress.IPv6Address,
        source_port: int,
        port: int,
    ) -> None:
        line = f"PROXY TCP{source.version} {source} {destination} {source_port} {port}\r\n".encode()
        if source.version != destination.version:
            with pytest.raises(Malformed):
                parse(line)
        else:
            assert parse(line) == Header(str(source), source_port, len(line))

    def test_the_longest_one_is_taken(self) -> None:
        long = ":".join(["ffff"] * 8)
        line = f"PROXY TCP6 {long} {long} 65535 65535\r\n".encode()
        assert len(line) == 104
        assert parse(line) is not None


class TestPieces:
    @pytest.mark.parametrize("size", range(len(OF_TOR)))
    def test_what_may_still_become_a_header_is_waited_for(self, size: int) -> None:
        assert parse(OF_TOR[:size]) is None

    def test_the_first_wrong_byte_is_enough(self) -> None:
        with pytest.raises(Malformed, match="in the first 1 bytes"):
            parse(b"G")

    def test_more_bytes_than_the_longest_has_are_not_waited_for(self) -> None:
        with pytest.raises(Malformed, match="first 107 bytes"):
            parse((b"PROXY TCP6 " + b"1" * LONGEST)[:LONGEST])


class TestAnythingElse:
    @pytest.mark.parametrize("case", REFUSED)
    def test_is_refused(self, case: str) -> None:
        with pytest.raises(Malformed):
            parse(REFUSED[case])

    @pytest.mark.parametrize("source", ["::1", "fc00:dead:beef:4dad:1::", "fc00:dead:beef:4dac::1"])
    def test_from_another_program_is_no_circuit(self, source: str) -> None:
        found = parse(f"PROXY TCP6 {source} ::1 1 80\r\n".encode())
        assert found is not None
        with pytest.raises(Malformed, match="HiddenServiceExportCircuitID haproxy"):
            found.circuit()

    @given(
        st.binary(max_size=2 * LONGEST) | st.binary(max_size=LONGEST).map(lambda rest: b"PROXY TCP6 " + rest)
    )
    def test_never_fails_in_another_way_nor_reads_beyond_the_longest(self, data: bytes) -> None:
        try:
            found = parse(data)
        except Malformed:
            return
        assert found is None or found.size <= LONGEST
        if found is None:
            assert len(data) < LONGEST

    @given(st.integers(0, len(OF_TOR) - 1), st.integers(1, 255))
    def test_one_changed_byte_never_makes_a_header_of_other_length(self, at: int, change: int) -> None:
        changed = bytearray(OF_TOR)
        changed[at] ^= change
        try:
            found = parse(bytes(changed) + b"GET / HTTP/1.1\r\n")
        except Malformed:
            return
        assert found is None or found.size == len(OF_TOR)
