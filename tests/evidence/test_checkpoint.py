"""Checkpoints, notes and cosignatures, against C2SP's examples and a checkpoint of a public log."""

import base64
import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lucid.evidence import block, checkpoint
from lucid.evidence.checkpoint import Cosigner
from lucid.evidence.errors import FormatError, SignatureError
from tests.evidence.world import COSIGNED_S, ORIGIN, World, public_key

WORLD = World()
TEXT = checkpoint.body(WORLD.header)
NAMES = WORLD.validator_names
KNOWN = WORLD.trust.validators

# A checkpoint of a public Certificate Transparency log as its witnesses cosigned it in 2026.
PUBLIC_NOTE = """arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbll\
zalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL\
1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHA\
wVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI\
7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/\
zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucg\
Ki7lI7cUiOvKFYe/TmN9DAg==
""".encode()
PUBLIC_WITNESSES = [
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
]

# The example of C2SP's signed-note, and that of tlog-cosignature.
SPEC_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Z"
    "tg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
SPEC_KEY = base64.b64decode("AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
SPEC_COSIGNED = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9n\
To+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqh\
f5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()


def note_of(*names: str, text: str = TEXT) -> bytes:
    lines = [checkpoint.cosign(text, name, WORLD.key(name), COSIGNED_S) for name in names]
    return checkpoint.write_note(text, lines)


class TestPublishedVectors:
    def test_cosignatures_of_public_witnesses_verify(self) -> None:
        known = [checkpoint.parse_vkey(text) for text in PUBLIC_WITNESSES]
        found = checkpoint.verify_cosignatures(checkpoint.parse_note(PUBLIC_NOTE), known)
        assert found.times == {cosigner.name: 0x6A122120 for cosigner in known}
        assert found.unknown == ("arche2025h1.staging.ct.transparency.dev",) * 2
        assert [cosigner.vkey for cosigner in known] == PUBLIC_WITNESSES

    def test_the_same_cosignatures_do_not_verify_for_another_size(self) -> None:
        altered = checkpoint.parse_note(PUBLIC_NOTE.replace(b"1432088532", b"1432088533"))
        for text in PUBLIC_WITNESSES:
            with pytest.raises(SignatureError, match="does not cover"):
                checkpoint.verify_cosignatures(altered, [checkpoint.parse_vkey(text)])

    def test_the_signed_note_example_is_split_into_what_was_signed(self) -> None:
        note = checkpoint.parse_note(SPEC_NOTE)
        [line] = note.signatures
        key = Ed25519PublicKey.from_public_bytes(SPEC_KEY[1:])
        assert line.key_id == hashlib.sha256(b"example.com/foo\n" + SPEC_KEY).digest()[:4]
        key.verify(line.signature, note.body.encode())
        with pytest.raises(InvalidSignature):
            key.verify(line.signature, note.body.encode() + b"\n")

    def test_the_cosignature_example_has_the_time_and_message_of_the_specification(self) -> None:
        note = checkpoint.parse_note(SPEC_COSIGNED)
        line = note.signatures[1]
        assert (line.name, line.key_id.hex()) == ("witness.example.com/w1", "8d66cf3f")
        assert int.from_bytes(line.signature[:8], "big") == 1679315147
        assert checkpoint.cosigned_message(note.body, 1679315147) == (
            b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
            b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        )


class TestBody:
    def test_is_the_rendering_of_a_header(self) -> None:
        found = checkpoint.parse_body(TEXT)
        assert (found.origin, found.size) == (ORIGIN, WORLD.header.log_size)
        assert found.root.hex() == WORLD.header.log_root
        assert found.block == block.block_hash(WORLD.header)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (ORIGIN, "two words"),
            (ORIGIN, ""),
            ("\n11\n", "\n011\n"),
            ("\n11\n", "\n-11\n"),
            ("\n11\n", "\n٣\n"),
            ("\n11\n", "\n9007199254740992\n"),
            ("=\n", "\n"),
            ("\nblock ", "\nblock  "),
            ("\nblock ", "\nextension\nblock "),
        ],
    )
    def test_refuses_anything_else(self, old: str, new: str) -> None:
        assert old in TEXT
        with pytest.raises(FormatError, match="checkpoint"):
            checkpoint.parse_body(TEXT.replace(old, new, 1))

    def test_refuses_a_root_of_another_length(self) -> None:
        with pytest.raises(FormatError, match="the root has 3 bytes"):
            checkpoint.parse_body(f"{ORIGIN}\n1\nAAAA\nblock {'0' * 64}\n")


class TestNote:
    def test_keeps_empty_lines_of_the_text(self) -> None:
        note = checkpoint.parse_note(b"one\n\ntwo\n\n" + note_of(NAMES[0]).split(b"\n\n")[1])
        assert note.body == "one\n\ntwo\n"

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            TEXT.encode(),
            TEXT.encode() + b"\n",
            note_of(NAMES[0])[:-1],
            note_of(NAMES[0]) + b"\n",
            note_of(NAMES[0]).replace("—".encode(), b"-"),
            note_of(NAMES[0]).replace(b"==", b""),
            note_of(NAMES[0]).replace(b"\n\n", b"\r\n\r\n"),
            note_of(NAMES[0]).replace(b"block", b"bl\tck"),
            note_of(NAMES[0]).replace(b"block", b"bl\xffck"),
            note_of(NAMES[0], NAMES[0]),
            TEXT.encode() + "\n— name AAAA\n".encode(),
            b"x" * 65537,
        ],
    )
    def test_refuses_what_is_not_a_signed_note(self, data: bytes) -> None:
        with pytest.raises(FormatError, match="note"):
            checkpoint.parse_note(data)

    def test_refuses_more_signatures_than_anybody_needs(self) -> None:
        names = [f"n{number}" for number in range(129)]
        assert len(checkpoint.parse_note(note_of(*names[:128])).signatures) == 128
        with pytest.raises(FormatError, match="129 signatures"):
            checkpoint.parse_note(note_of(*names))


class TestCosignatures:
    def test_counts_each_known_key_once_and_names_the_unknown(self) -> None:
        note = checkpoint.parse_note(note_of(NAMES[0], "stranger.example", NAMES[2]))
        found = checkpoint.verify_cosignatures(note, KNOWN)
        assert found.times == {NAMES[0]: COSIGNED_S, NAMES[2]: COSIGNED_S}
        assert found.unknown == ("stranger.example",)

    def test_another_key_under_a_known_name_counts_for_nothing(self) -> None:
        line = checkpoint.cosign(TEXT, NAMES[0], WORLD.key("impostor"), COSIGNED_S)
        found = checkpoint.verify_cosignatures(
            checkpoint.parse_note(checkpoint.write_note(TEXT, [line])), KNOWN
        )
        assert (found.times, found.unknown) == ({}, (NAMES[0],))

    @pytest.mark.parametrize("position", [4, 11, 12, 75])
    def test_a_known_key_with_a_bad_signature_spoils_the_note(self, position: int) -> None:
        line = checkpoint.cosign(TEXT, NAMES[0], WORLD.key(NAMES[0]), COSIGNED_S)
        blob = bytearray(base64.b64decode(line.split()[2]))
        blob[position] ^= 1
        bad = f"— {NAMES[0]} {base64.b64encode(blob).decode()}\n"
        short = f"— {NAMES[0]} {base64.b64encode(blob[:20]).decode()}\n"
        for broken in (bad, short):
            note = checkpoint.parse_note(checkpoint.write_note(TEXT, [broken]))
            with pytest.raises(SignatureError, match=NAMES[0]):
                checkpoint.verify_cosignatures(note, KNOWN)


class TestVkeys:
    def test_round_trip(self) -> None:
        cosigner = Cosigner("example.org/w", public_key(WORLD.key("w")))
        assert checkpoint.parse_vkey(cosigner.vkey) == cosigner

    @pytest.mark.parametrize(
        "text",
        [
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            PUBLIC_WITNESSES[0].replace("da77ade7", "da77ade8"),
            PUBLIC_WITNESSES[0].replace("da77ade7", "DA77ADE7"),
            PUBLIC_WITNESSES[0].replace("remora", "remora "),
            PUBLIC_WITNESSES[0][:-4],
            PUBLIC_WITNESSES[0] + "=",
            PUBLIC_WITNESSES[0] + "\n",
            "",
        ],
    )
    def test_refuse_other_types_ids_and_spellings(self, text: str) -> None:
        with pytest.raises(FormatError):
            checkpoint.parse_vkey(text)

    def test_a_name_has_no_space_and_no_plus(self) -> None:
        for name in ("", "a b", "a+b", "a\u2003b", "a\n"):
            with pytest.raises(FormatError, match="name"):
                Cosigner(name, bytes(32))
