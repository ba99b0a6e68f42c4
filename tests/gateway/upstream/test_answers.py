"""What is taken for an answer, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.gateway.upstream.answers import MAX_HEAD, AnswerParser
from lucid.gateway.upstream.failures import Broken

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = {
    "by length": OK + b"Content-Length: 5\r\n\r\nhello",
    "in chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n",
    "after an interim one": b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
}
REFUSED = {
    "both framings": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "no framing": OK + b"\r\nhello",
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a length that is none": OK + b"Content-Length: 5x\r\n\r\nhello",
    "a signed length": OK + b"Content-Length: +5\r\n\r\nhello",
    "a bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a chunk longer than it says": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a folded header": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 5\r\n\r\nhello",
    "a header with NUL": OK + b"A: \x00\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a second answer": (OK + b"Content-Length: 0\r\n\r\n") * 2,
    "too many headers": OK + b"A: b\r\n" * 200 + b"Content-Length: 0\r\n\r\n",
    "a header without end": OK + b"A: " + b"a" * (MAX_HEAD + 1),
    "interim answers without end": b"HTTP/1.1 103 Early\r\n\r\n" * 4000,
    "trailers without end": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 200,
}


def fed(data: bytes, cut: int, *, bodyless: bool = False) -> AnswerParser:
    parser = AnswerParser()
    parser.begin(bodyless=bodyless)
    for start in range(0, len(data), cut):
        parser.feed(data[start : start + cut])
    return parser


@pytest.mark.parametrize("name", WHOLE)
@given(cut=st.integers(1, 120))
def test_a_whole_answer_is_read_however_it_is_cut(name: str, cut: int) -> None:
    parser = fed(WHOLE[name], cut)
    assert parser.head is not None
    assert (parser.head.status, b"".join(parser.pieces)) == (200, b"hello")
    assert parser.done
    assert parser.keep


@pytest.mark.parametrize("name", WHOLE)
def test_none_is_done_before_its_last_byte(name: str) -> None:
    parser = AnswerParser()
    parser.begin(bodyless=False)
    for byte in WHOLE[name]:
        assert not parser.done
        parser.feed(bytes([byte]))
    assert parser.done


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("cut", [7, 4096, 1_000_000])
def test_what_could_be_misread_is_refused(name: str, cut: int) -> None:
    with pytest.raises(Broken):
        fed(REFUSED[name], cut)


def test_answers_without_a_body_need_no_length() -> None:
    for head in (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"):
        assert fed(head, 9).done


def test_the_answer_to_head_ends_with_its_head_and_with_its_connection() -> None:
    parser = fed(OK + b"Content-Length: 5000\r\n\r\n", 100, bodyless=True)
    assert parser.done
    assert not parser.keep


def test_a_connection_is_not_kept_that_the_service_will_close() -> None:
    parser = fed(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n", 1000)
    assert parser.done
    assert not parser.keep


def test_what_follows_a_switch_of_protocols_is_left_alone() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    parser = fed(head + b"\x81\x05hello", 1000)
    assert parser.head is not None
    assert parser.head.status == 101
    assert parser.surplus == b"\x81\x05hello"
    assert parser.head.get(b"upgrade") == b"websocket"


@given(data=st.binary(max_size=300), cut=st.integers(1, 50))
def test_any_bytes_are_an_answer_or_refused(data: bytes, cut: int) -> None:
    try:
        parser = fed(OK + data, cut)
    except Broken:
        return
    assert parser.done is False or parser.head is not None
