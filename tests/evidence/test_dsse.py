"""DSSE envelopes, against the vectors published with the protocol."""

import base64
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from lucid.evidence import dsse
from lucid.evidence.errors import FormatError, SignatureError

# secure-systems-lab/dsse, testvectors/vectors.json: the keys of RFC 8032, 7.1, tests 1 and 2.
KEY_A = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
PUBLIC_A = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
PUBLIC_B = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1"}'
IN_TOTO = "application/vnd.in-toto+json"
SIGNATURE_A = "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="
VECTORS = [
    (IN_TOTO, STATEMENT, SIGNATURE_A),
    (
        IN_TOTO,
        b"\xfb\xff\xbf>?",
        "P+/KHICeR7tI6S/YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU/svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw==",
    ),
    (
        "application/vnd.exämple+json",
        STATEMENT,
        "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw==",
    ),
    (
        IN_TOTO,
        b"",
        "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg==",
    ),
]


class TestPublishedVectors:
    def test_the_encoding_in_the_protocol_document(self) -> None:
        expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        assert dsse.pae("http://example.com/HelloWorld", b"hello world") == expected

    def test_the_signature_in_the_protocol_document_is_over_our_encoding(self) -> None:
        public = ec.EllipticCurvePublicNumbers(
            46950820868899156662930047687818585632848591499744589407958293238635476079160,
            5640078356564379163099075877009565129882514886557779369047442380624545832820,
            ec.SECP256R1(),
        ).public_key()
        raw = base64.b64decode(
            "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
        )
        signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        message = dsse.pae("http://example.com/HelloWorld", b"hello world")
        public.verify(signature, message, ec.ECDSA(SHA256()))
        with pytest.raises(InvalidSignature):
            public.verify(signature, message + b"!", ec.ECDSA(SHA256()))

    @pytest.mark.parametrize(("payload_type", "payload", "signature"), VECTORS)
    def test_ed25519_signatures(self, payload_type: str, payload: bytes, signature: str) -> None:
        envelope = dsse.parse(dsse.sign(payload_type, payload, KEY_A))
        assert envelope.signatures[0].sig == signature
        assert dsse.verify(envelope, payload_type, PUBLIC_A) == payload
        Ed25519PublicKey.from_public_bytes(PUBLIC_A).verify(
            base64.b64decode(signature), dsse.pae(payload_type, payload)
        )


def fields() -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(dsse.sign(IN_TOTO, STATEMENT, KEY_A))
    return decoded


def encoded(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class TestParsing:
    def test_reads_back_what_was_signed(self) -> None:
        envelope = dsse.parse(encoded(fields()))
        assert envelope.body == STATEMENT
        assert envelope.signer == dsse.key_id(PUBLIC_A)

    def test_refuses_any_number_of_signatures_but_one(self) -> None:
        envelope = fields()
        for count in (0, 2):
            with pytest.raises(FormatError, match="signatures"):
                dsse.parse(encoded(envelope | {"signatures": envelope["signatures"] * count}))

    @pytest.mark.parametrize("payload", ["e30", "e31=", "-_-_Pj8=", "e3 0=", "e30=\n", "é"])
    def test_refuses_other_spellings_of_base64(self, payload: str) -> None:
        dsse.parse(encoded(fields() | {"payload": "e30="}))
        with pytest.raises(FormatError, match=r"base64|canonical"):
            dsse.parse(encoded(fields() | {"payload": payload}))

    def test_refuses_a_signature_of_another_length(self) -> None:
        envelope = fields()
        envelope["signatures"][0]["sig"] = "e30="
        with pytest.raises(FormatError, match="64 bytes"):
            dsse.parse(encoded(envelope))

    def test_refuses_another_spelling_of_the_envelope(self) -> None:
        with pytest.raises(FormatError, match="canonical"):
            dsse.parse(json.dumps(fields()).encode())


class TestVerifying:
    def test_refuses_another_payload_type(self) -> None:
        swapped = dsse.parse(encoded(fields() | {"payloadType": "application/vnd.example.other+json"}))
        with pytest.raises(SignatureError, match="holds"):
            dsse.verify(swapped, IN_TOTO, PUBLIC_A)
        with pytest.raises(SignatureError, match="does not cover"):
            dsse.verify(swapped, "application/vnd.example.other+json", PUBLIC_A)

    def test_refuses_another_key_and_a_key_id_that_is_not_the_signers(self) -> None:
        envelope = fields()
        with pytest.raises(SignatureError, match="not by"):
            dsse.verify(dsse.parse(encoded(envelope)), IN_TOTO, PUBLIC_B)
        envelope["signatures"][0]["keyid"] = dsse.key_id(PUBLIC_B)
        with pytest.raises(SignatureError, match="does not cover"):
            dsse.verify(dsse.parse(encoded(envelope)), IN_TOTO, PUBLIC_B)

    def test_refuses_another_payload(self) -> None:
        with pytest.raises(SignatureError, match="does not cover"):
            dsse.verify(dsse.parse(encoded(fields() | {"payload": "e30="})), IN_TOTO, PUBLIC_A)
