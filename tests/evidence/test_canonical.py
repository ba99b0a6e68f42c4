"""One record, one sequence of bytes."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.evidence import canonical
from lucid.evidence.errors import FormatError
from lucid.evidence.fields import MAX_INTEGER, Count, Digest, Name, Record, SessionId, Text


class Sample(Record, frozen=True, kw_only=True):
    b: Count
    a: str
    inner: tuple[dict[str, str], ...] = ()


class Fields(msgspec.Struct, kw_only=True):
    digest: Digest = "0" * 64
    session: SessionId = "018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27"
    text: Text = "x"
    name: Name = "x"


def decode(data: bytes) -> Sample:
    return canonical.decode(data, Sample, field="sample")


class TestEncoding:
    def test_matches_the_published_string_example_of_rfc_8785(self) -> None:
        text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/"
        expected = '{"a":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/","b":1,"inner":[]}'
        assert canonical.encode(Sample(a=text, b=1)) == expected.encode()

    def test_sorts_keys_by_utf_16_as_the_rfc_8785_example_does(self) -> None:
        keys = {"\u20ac": "", "\r": "", "\ufb33": "", "1": "", "\U0001f600": "", "\u0080": "", "\u00f6": ""}
        data = canonical.encode(Sample(a="", b=0, inner=(keys,)))
        found = list(json.loads(data)["inner"][0])
        assert found == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]

    @given(a=st.text(), b=st.integers(0, MAX_INTEGER))
    def test_round_trips(self, a: str, b: int) -> None:
        record = Sample(a=a, b=b)
        assert decode(canonical.encode(record)) == record

    @pytest.mark.parametrize("b", [-1, MAX_INTEGER + 1, 1.5])
    def test_refuses_to_encode_what_it_would_refuse_to_decode(self, b: int) -> None:
        with pytest.raises(FormatError, match="Sample"):
            canonical.encode(Sample(a="", b=b))

    def test_refuses_a_lone_surrogate(self) -> None:
        with pytest.raises(FormatError, match="UTF-8"):
            canonical.encode(Sample(a="\ud800", b=1))


class TestDecoding:
    @pytest.mark.parametrize(
        "data",
        [
            b'{"b":1,"a":"x","inner":[]}',
            b'{"a":"x","b": 1,"inner":[]}',
            b'{"a":"x","b":1,"inner":[]}\n',
            b'\xef\xbb\xbf{"a":"x","b":1,"inner":[]}',
            b'{"a":"x","a":"x","b":1,"inner":[]}',
            b'{"a":"\\u0078","b":1,"inner":[]}',
            b'{"a":"x","b":1.0,"inner":[]}',
            b'{"a":"x","b":1e0,"inner":[]}',
            b'{"a":"x","b":-0,"inner":[]}',
            b'{"a":"x","b":1}',
            b'{"a":"x","b":1,"c":1,"inner":[]}',
            b'{"a":"x","b":9007199254740992,"inner":[]}',
            b'{"a":"x","b":true,"inner":[]}',
            b'{"a":"\xff","b":1,"inner":[]}',
            b"",
            b"null",
        ],
    )
    def test_refuses_every_other_spelling(self, data: bytes) -> None:
        assert decode(b'{"a":"x","b":1,"inner":[]}') == Sample(a="x", b=1)
        with pytest.raises(FormatError, match=r"^sample: "):
            decode(data)

    def test_refuses_deep_nesting_without_a_crash(self) -> None:
        with pytest.raises(FormatError):
            decode(b'{"a":"x","b":1,"inner":' + b"[" * 30_000 + b"]" * 30_000 + b"}")

    def test_refuses_more_bytes_than_allowed(self) -> None:
        with pytest.raises(FormatError, match="at most 65536"):
            decode(b" " * 65537)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_record_or_a_format_error(self, data: bytes) -> None:
        with contextlib.suppress(FormatError):
            assert canonical.encode(decode(data)) == data


class TestFields:
    @pytest.mark.parametrize(
        "fields",
        [
            {"digest": "0" * 63 + "\n"},
            {"digest": "0" * 64 + "\n"},
            {"digest": "A" * 64},
            {"session": "018F2B6E-7C1D-4B3A-9E52-0C4D8A6F1B27"},
            {"session": "018f2b6e7c1d4b3a9e520c4d8a6f1b27"},
            {"session": "018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b2\n"},
            {"text": ""},
            {"text": "x\n"},
            {"text": "x\ny"},
            {"text": "x" * 256},
            {"name": "a b"},
            {"name": "a+b"},
            {"name": "a\u00a0b"},
            {"name": "a\n"},
        ],
    )
    def test_refuse_what_could_be_read_in_two_ways(self, fields: dict[str, str]) -> None:
        msgspec.json.decode(b"{}", type=Fields)
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(json.dumps(fields), type=Fields)
