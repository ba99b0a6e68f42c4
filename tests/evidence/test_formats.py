"""`docs/formats.md` says what the code does: its steps are the code's, its examples are recomputed."""

import base64
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.evidence import archive, block, checkpoint, dsse, leaf, log, merkle, sealing, statements
from lucid.evidence import trust as trust_files
from lucid.evidence.checkpoint import Cosigner
from lucid.evidence.leaf import ChunkId
from lucid.evidence.manifest import InterimAnchor
from lucid.evidence.registration import Genesis, Validator
from lucid.evidence.steps import STEPS
from lucid.evidence.trust import TrustFile
from lucid.evidence.wrapping import derive_kek
from tests.evidence.world import SESSION, public_key

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"<!-- example: (.+?) -->\n\n```\n(.*?)```\n", re.DOTALL)
LITERAL = {"checkpoint", "trust file"}

RECORDER = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
VALIDATOR = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
)
START_MS = 1_700_000_000_000
SALT = bytes(range(64, 96))


def examples() -> dict[str, str]:
    """Every example of the page, computed, in the page's order."""
    chunk = ChunkId(SESSION, 0, 0)
    session_key, raw_nonce = bytes(range(32)), bytes(range(32, 64))
    sealed = sealing._seal_with_salt(session_key, chunk, b"Hello, Lucid.", raw_nonce, SALT)
    item = sealed.leaf(start_ms=START_MS, end_ms=START_MS + 10_000)
    chunk_key = sealing.chunk_key(session_key, sealed.data)
    cipher_key, commitment = sealing._chunk_keys(chunk_key, chunk)
    kek = derive_kek("correct horse", bytes(range(16)))
    anchor = InterimAnchor(
        session=SESSION,
        recorder=dsse.key_id(public_key(RECORDER)),
        count=1,
        root=merkle.root([leaf.leaf_hash(item)]).hex(),
        time_ms=START_MS + 10_500,
    )
    envelope = statements.sign(anchor, RECORDER)
    body = log.parse_entry(envelope).body
    genesis = Genesis(
        origin="log.example",
        time_ms=START_MS - 1000,
        block_time_ms=5000,
        validators=(Validator(name="validator.example", public_key=public_key(VALIDATOR).hex()),),
    )
    entry = statements.sign(genesis, VALIDATOR)
    header = block.genesis_header(entry)
    text = checkpoint.body(header)
    line = checkpoint.cosign(text, "validator.example", VALIDATOR, START_MS // 1000)
    trust = TrustFile(
        format="lucid-trust/v1",
        origin="log.example",
        genesis_hash=block.block_hash(header),
        validators=(Cosigner("validator.example", public_key(VALIDATOR)).vkey,),
        quorum=1,
    )
    return {
        "chunk id": chunk.packed().hex(),
        "raw commitment": sealed.raw_commitment,
        "chunk key": chunk_key.hex(),
        "K": cipher_key.hex(),
        "C": commitment.hex(),
        "additional data": sealing._additional_data(chunk, "none", 13).hex(),
        "sealed": sealed.data.hex(),
        "KEK of the password `correct horse` and the salt 00 to 0f": kek.key.hex(),
        "KEK id": kek.id,
        "leaf": leaf.encode(item).decode(),
        "leaf hash, and root of this one leaf": leaf.leaf_hash(item).hex(),
        "recorder's key id": dsse.key_id(public_key(RECORDER)),
        "interim anchor": body.decode(),
        "its pre-authentication encoding": dsse.pae(InterimAnchor.PAYLOAD_TYPE, body).decode(),
        "its envelope, a log entry": envelope.decode(),
        "the entry's leaf hash": log.entry_hash(envelope).hex(),
        "genesis entry": entry.decode(),
        "header of block 0": block.encode(header).decode(),
        "genesis hash": block.block_hash(header),
        "checkpoint": checkpoint.write_note(text, [line]).decode(),
        "trust file": trust_files.encode(trust).decode(),
        "archive header of the chunk, in base64 without its zero bytes at the end": base64.b64encode(
            archive.member_header("chunks/0/0", len(sealed.data)).rstrip(b"\0")
        ).decode(),
    }


def on_page() -> dict[str, str]:
    found = dict(EXAMPLE.findall(PAGE))
    return {name: text if name in LITERAL else text.replace("\n", "") for name, text in found.items()}


@pytest.mark.parametrize(("name", "expected"), examples().items())
def test_an_example_is_true(name: str, expected: str) -> None:
    assert on_page()[name] == expected


def test_every_example_on_the_page_is_checked() -> None:
    assert list(on_page()) == list(examples())


def test_the_table_of_steps_is_the_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (str(number), step.name, step.checks, step.meaning) for number, step in enumerate(STEPS, 1)
    ]
