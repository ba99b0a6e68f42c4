"""The listeners' question: read as xrdp 0.9 sends it, and nothing else."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lucid.rdp import logins
from lucid.rdp.login_server import serve_logins
from lucid.rdp.logins import HEADER_SIZE, Question, QuestionError

CAPTURED = bytes.fromhex("0000000000000019000400056c75636964000673656372657400")[:25]
"""What xrdp 0.9.21 sent for user `lucid` with password `secret`."""


def read(message: bytes) -> Question:
    body = message[HEADER_SIZE:]
    if logins.body_size(message[:HEADER_SIZE]) != len(body):
        raise QuestionError("its size is not what it says")
    return logins.read(body)


def test_reads_what_xrdp_sends() -> None:
    assert read(CAPTURED) == Question(b"lucid", b"secret")
    assert "secret" not in repr(read(CAPTURED))


def test_the_answer_is_as_xrdp_reads_it() -> None:
    assert logins.answer(right=True).hex() == "000000000000000e000400000000"
    assert logins.answer(right=False).hex() == "000000000000000e000400070000"


@given(st.binary(max_size=512), st.binary(max_size=512))
def test_what_is_asked_is_read(user: bytes, password: bytes) -> None:
    assert read(logins.question(Question(user, password))) == Question(user, password)


@given(st.binary(min_size=HEADER_SIZE, max_size=80))
@example(CAPTURED[:-1])
@example(CAPTURED + b"x")
@example(b"\xff" * 40)
def test_anything_else_is_refused(message: bytes) -> None:
    try:
        found = read(message)
    except QuestionError:
        return
    assert logins.question(found) == message


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("0000000100000019", "version 1 is not 0"),
        ("0000000000000008", "8 bytes is not from 9"),
        ("000000007fffffff", "2147483647 bytes is not from 9"),
    ],
)
def test_a_bad_header_is_named(header: str, words: str) -> None:
    with pytest.raises(QuestionError, match=words):
        logins.body_size(bytes.fromhex(header))


async def ask(server: asyncio.Server, message: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        writer.write(message)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_the_server_answers_and_outlives_nonsense() -> None:
    asked = []

    def log_in(found: Question) -> bool:
        asked.append(found)
        return found.password == b"secret"

    async with serve_logins(log_in, port=0) as server:
        assert await ask(server, CAPTURED) == logins.answer(right=True)
        for nonsense in (b"", b"GET / HTTP/1.1\r\n\r\n", CAPTURED[:12], bytes(4000)):
            assert await ask(server, nonsense) == b""
        wrong = logins.question(Question(b"lucid", b"other"))
        assert await ask(server, wrong) == logins.answer(right=False)
    assert [each.password for each in asked] == [b"secret", b"other"]
