"""Forgeries of agreement: cosignatures that do not count, stale ones, split views, invented worlds."""

import base64
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.evidence import checkpoint
from lucid.evidence.checkpoint import Cosigner
from lucid.evidence.steps import Outcome
from tests.evidence.verifying import CLEAN
from tests.evidence.world import COSIGNED_S, World, public_key
from tests.forgeries.forging import TRUST_FILE, Evidence, Forgery, Row, clean, of_world, relogged

Line = str

TEXT = checkpoint.body(CLEAN.header)
NAMES = CLEAN.validator_names
WITNESS = CLEAN.witness_names[0]
MOMENT_MS = COSIGNED_S * 1000


def line(name: str, *, key: str | None = None, text: str = TEXT, late_s: int = 0) -> Line:
    """A cosignature under this name, by the key of that name unless told otherwise."""
    return checkpoint.cosign(text, name, CLEAN.key(key or name), COSIGNED_S + late_s)


def forged_line(name: str, signed: Callable[[Ed25519PrivateKey], bytes], time_s: int = COSIGNED_S) -> Line:
    """A line under a known key's name and key id, with whatever signature."""
    key = CLEAN.key(name)
    blob = Cosigner(name, public_key(key)).key_id + time_s.to_bytes(8, "big") + signed(key)
    return f"— {name} {base64.b64encode(blob).decode()}\n"


def noted(lines: Sequence[Line]) -> Evidence:
    return clean(checkpoint=checkpoint.write_note(TEXT, lines))


def instead_of_the_third(*lines: Line) -> Evidence:
    """Two validators and the witness cosigned; one more validator is needed, and this is what there is."""
    return noted([line(NAMES[0]), line(NAMES[1]), line(WITNESS), *lines])


def beside_enough(*lines: Line) -> Evidence:
    """Everything needed is there, and this."""
    return noted([line(NAMES[0]), line(NAMES[1]), line(NAMES[2]), line(WITNESS), *lines])


def message(time_s: int = COSIGNED_S) -> bytes:
    return checkpoint.cosigned_message(TEXT, time_s)


FEW = "2 of 4 validators, 3 needed"
SPOILT = "does not cover this checkpoint"

_COSIGNERS: tuple[Row, ...] = (
    ("no cosigner that anybody knows", "nobody agreed",
     partial(noted, [line("nobody.example")]), "validators", "0 of 4"),
    ("too few cosigners", "a third may lie, no more", instead_of_the_third, "validators", FEW),
    ("too few cosigners of one", "nobody agreed",
     partial(of_world, validators=1, cosigning_validators=0), "validators", "0 of 1"),
    ("too few cosigners of two", "two have to agree",
     partial(of_world, validators=2, cosigning_validators=1), "validators", "1 of 2"),
    ("too few cosigners of seven", "five have to agree",
     partial(of_world, validators=7, cosigning_validators=4), "validators", "4 of 7"),
    ("unknown cosigner", "anybody has a key",
     partial(instead_of_the_third, line("validator9.lucid.example")), "validators", FEW),
    ("a hundred unknown cosigners", "a crowd is no quorum",
     partial(instead_of_the_third, *(line(f"v{n}") for n in range(100))), "validators", FEW),
    ("duplicate cosigner", "one voice twice",
     partial(instead_of_the_third, line(NAMES[0])), "checkpoint", "two signatures by the same key"),
    ("duplicate cosigner at another time", "one voice twice",
     partial(instead_of_the_third, line(NAMES[0], late_s=1)), "checkpoint", "two signatures by the same key"),
    ("cosigner under another's name", "one voice as two",
     partial(instead_of_the_third, line(NAMES[2], key=NAMES[0])), "validators", FEW),
    ("cosigner under an unknown name", "one voice as two",
     partial(instead_of_the_third, line("x", key=NAMES[0])), "validators", FEW),
    ("impostor under a known name", "another key",
     partial(instead_of_the_third, line(NAMES[2], key="impostor")), "validators", FEW),
    ("witness in a validator's place", "another role",
     partial(noted, [line(name) for name in (*NAMES[:2], WITNESS)]), "validators", FEW),
    ("validator in a witness's place", "another role",
     partial(noted, [line(name) for name in NAMES]), "witnesses", "0 of 1 witnesses"),
    ("impostor in the witness's place", "another key",
     partial(noted, [*map(line, NAMES), line(WITNESS, key="impostor")]), "witnesses", "0 of 1"),
    ("forged cosignature", "the key id is a name, no proof",
     partial(beside_enough, forged_line(NAMES[3], lambda _: bytes(64))), "validators", SPOILT),
    ("forged witness", "as before",
     partial(noted, [*map(line, NAMES), forged_line(WITNESS, lambda _: bytes(64))]), "witnesses", SPOILT),
    ("cosignature of another checkpoint", "it agreed on something else",
     partial(beside_enough, line(NAMES[3], text=TEXT.replace("\n11\n", "\n12\n"))), "validators", SPOILT),
    ("cosignature at another time", "the time is signed too",
     partial(beside_enough, forged_line(NAMES[3], lambda key: key.sign(message()), COSIGNED_S + 9)),
     "validators", SPOILT),
    ("cosignature over the bare text", "wrong domain: a plain signed note",
     partial(beside_enough, forged_line(NAMES[3], lambda key: key.sign(TEXT.encode()))), "validators",
     SPOILT),
    ("cosignature without a signature", "cut off",
     partial(beside_enough, forged_line(NAMES[3], lambda _: b"")), "validators", SPOILT),
    ("cosignature of 63 bytes", "cut off",
     partial(beside_enough, forged_line(NAMES[3], lambda key: key.sign(message())[:-1])), "validators",
     SPOILT),
    ("cosignature of 65 bytes", "two lines, one signature",
     partial(beside_enough, forged_line(NAMES[3], lambda key: key.sign(message()) + b"\0")), "validators",
     SPOILT),
    ("129 cosignatures", "work without end",
     partial(noted, [line(f"v{n}") for n in range(129)]), "checkpoint", "129 signatures; at most 128"),
    ("cosignature in other base64", "a second spelling",
     partial(clean, checkpoint=CLEAN.note.replace(b"==\n", b"\n", 1)), "checkpoint", "not base64"),
    ("cosigner's name with an escape sequence", "the auditor's terminal obeys it",
     partial(clean, checkpoint=CLEAN.note.replace(NAMES[0].encode(), b"v\x1b[2J", 1)), "checkpoint",
     "control character"),
)  # fmt: skip


def forked() -> bytes:
    """The checkpoint of another log of the same size, cosigned by everybody: validators and witness lie."""
    return CLEAN.cosigned(msgspec.structs.replace(CLEAN.header, log_root="1" * 64))


def against(note: bytes, trust_file: bytes | None = TRUST_FILE) -> Evidence:
    return Evidence(CLEAN.bundle(), trust_file, against=note)


def newer_than(evidence: Evidence, time_ms: int) -> Evidence:
    return Evidence(evidence.bundle, evidence.trust_file, newer_than_ms=time_ms)


_LATE = noted([line(name, late_s=1000 if number < 2 else 0) for number, name in enumerate([*NAMES, WITNESS])])
_OTHER_LOG = CLEAN.cosigned(msgspec.structs.replace(CLEAN.header, chain="other.example"))
_COMPARED: tuple[Row, ...] = (
    ("split view", "you are shown one log, somebody else another",
     lambda: against(forked()), "against", "split view"),
    ("split view, seen without a trust file", "as before",
     lambda: against(forked(), None), "against", "split view"),
    ("comparison with another size", "it cannot be told, so it does not pass",
     lambda: against(CLEAN.cosigned(CLEAN._header(9))), "against", "cannot be compared"),
    ("comparison with another log", "as before",
     lambda: against(_OTHER_LOG), "against", "is of log 'other.example'"),
    ("comparison with an invented checkpoint", "nobody trusted cosigned it",
     lambda: against(World(seed="elsewhere").note), "against", "not cosigned by anybody"),
    ("comparison with a copied body", "nobody cosigned it at all",
     lambda: against(checkpoint.write_note(TEXT, [line("x")])), "against", "not cosigned by anybody"),
    ("comparison with no checkpoint", "no answer is not yes", lambda: against(b"hello"), "against", "note"),
    ("comparison with another text", "a note, but of no log",
     lambda: against(checkpoint.write_note("x\n", [line(NAMES[0], text="x\n")])), "against", "four lines"),
    ("stale checkpoint", "an erasure since then is left out",
     lambda: newer_than(clean(), MOMENT_MS + 1), "freshness", "a quorum had cosigned by"),
    ("stale checkpoint with two late cosigners", "a minority makes nothing fresh",
     lambda: newer_than(_LATE, MOMENT_MS + 1000), "freshness", "a quorum had cosigned by"),
    ("freshness without a trust file", "no time to believe",
     lambda: Evidence(CLEAN.bundle(), None, newer_than_ms=1), "freshness", "no trust file"),
)  # fmt: skip


def invented() -> World:
    """Keys, log, session, all by one forger; it lacks nothing but anybody's trust."""
    return World(seed="invented")


def grown_from_the_trusted_genesis(cosigners: int = 0, witnesses: int = 0) -> Evidence:
    """An invented log on the true, public genesis, cosigned by as many true validators as collude."""
    world = invented()
    world.entries[0] = CLEAN.entries[0]
    relogged(world)
    text = checkpoint.body(world.header)
    true = NAMES[:cosigners] + CLEAN.witness_names[:witnesses]
    lines = [checkpoint.cosign(text, name, CLEAN.key(name), COSIGNED_S) for name in true]
    lines += [
        checkpoint.cosign(text, name, world.key(name), COSIGNED_S)
        for name in world.validator_names + world.witness_names
        if name not in true
    ]
    return Evidence(world.bundle(checkpoint=checkpoint.write_note(text, lines)))


def with_copied_cosignatures() -> Evidence:
    """The same under the true cosignatures, which are of another checkpoint."""
    world = invented()
    world.entries[0] = CLEAN.entries[0]
    relogged(world)
    text = checkpoint.body(world.header)
    lines = CLEAN.note.decode().partition("\n\n")[2]
    return Evidence(world.bundle(checkpoint=checkpoint.write_note(text, [lines])))


def seen_from_elsewhere() -> Evidence:
    """All validators and the witness collude; somebody else was shown the true log."""
    fake = grown_from_the_trusted_genesis(cosigners=4, witnesses=1)
    return Evidence(fake.bundle, fake.trust_file, against=CLEAN.note)


_INVENTED: tuple[Row, ...] = (
    ("invented world", "consistent in itself; the trust file is what it cannot invent",
     lambda: Evidence(invented().bundle()), "genesis", "you trust"),
    ("invented world over the true block 0", "its log does not begin there",
     lambda: Evidence(invented().bundle(genesis=CLEAN.parts.genesis)), "genesis", "does not begin with"),
    ("invented log on the true genesis", "its validators are nobody's",
     grown_from_the_trusted_genesis, "validators", "0 of 4"),
    ("invented log under copied cosignatures", "they are of another checkpoint",
     with_copied_cosignatures, "validators", SPOILT),
    ("invented log with two of four validators colluding", "under a quorum",
     partial(grown_from_the_trusted_genesis, 2), "validators", FEW),
    ("invented log with all validators colluding", "the witness did not see it",
     partial(grown_from_the_trusted_genesis, 4), "witnesses", "0 of 1 witnesses"),
    ("invented log with everybody colluding", "whoever has seen the true one can tell",
     seen_from_elsewhere, "against", "split view"),
)  # fmt: skip

COSIGNERS = (
    *(Forgery(*row) for row in (*_COSIGNERS, *_COMPARED, *_INVENTED)),
    Forgery(
        "invented world without a trust file",
        "nothing in it is wrong: the answer says that anybody could have made it",
        lambda: Evidence(invented().bundle(), None),
        None,
        outcome=Outcome.CONSISTENT_NOT_AUTHENTICATED,
    ),
)
