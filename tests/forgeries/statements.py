"""Forgeries of who signed and what: registrations, signatures, manifests and anchors."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from lucid.evidence import block, dsse, statements
from lucid.evidence.block import Vote
from lucid.evidence.bundle import Entry
from lucid.evidence.manifest import InterimAnchor
from lucid.evidence.registration import Role
from lucid.evidence.statements import Statement
from tests.evidence.verifying import CLEAN, LOST
from tests.evidence.world import ORIGIN, OTHER_SESSION, World
from tests.forgeries.forging import Evidence, Forgery, Row, clean, of, of_world, relogged, with_line
from tests.forgeries.records import canonical_json

ENTRIES = CLEAN.parts.entries
REGISTRATION, *ANCHORS, MANIFEST = ENTRIES
KINDS = {"registration": (0, "signers"), "anchor": (2, "anchors"), "manifest": (4, "manifest")}
"""For each kind of statement, which of the session's entries is forged, and the step that refuses it."""
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519 (RFC 8032, section 5.1)."""


def fields_of(number: int) -> dict[str, Any]:
    """The envelope of one of the session's entries."""
    found: dict[str, Any] = json.loads(CLEAN.entries[CLEAN.session_entries[number]])
    return found


def logged(number: int, envelope: dict[str, Any]) -> Evidence:
    """The bundle of a log that took another envelope in place of one of the session's."""
    world = World()
    world.entries[world.session_entries[number]] = canonical_json(envelope)
    return of(relogged(world))


def unlogged(number: int, envelope: dict[str, Any]) -> Evidence:
    """The same for an envelope that no log would take; the proof is that of the true one."""
    old = ENTRIES[number]
    line = {"envelope": envelope, "index": old.index, "proof": old.proof}
    return Evidence(with_line(CLEAN.bundle(), "entries.jsonl", number, canonical_json(line)))


def with_signature(number: int, sig: bytes, key: str = "recorder") -> dict[str, Any]:
    signature = {"keyid": CLEAN.key_id(key), "sig": base64.b64encode(sig).decode()}
    return fields_of(number) | {"signatures": [signature]}


def by_recorder(number: int, message: bytes) -> dict[str, Any]:
    """The recorder's own signature, over something else."""
    return with_signature(number, CLEAN.key("recorder").sign(message))


def second_spelling(number: int) -> bytes:
    """Ed25519 signatures have a second form, with S + L for S; strict verifiers refuse it."""
    sig = base64.b64decode(fields_of(number)["signatures"][0]["sig"])
    return sig[:32] + (int.from_bytes(sig[32:], "little") + GROUP_ORDER).to_bytes(32, "little")


def _signatures(kind: str, number: int, step: str) -> Iterator[Forgery]:
    payload_type, body = ENTRIES[number].envelope.payload_type, ENTRIES[number].envelope.body
    pae = dsse.pae(payload_type, body)
    stranger = CLEAN.key("stranger")
    other = "application/vnd.lucid.vote+json"
    no_cover = "does not cover this statement"
    for name, why, envelope, said in (
        ("of zeros", "nobody signed", with_signature(number, bytes(64)), no_cover),
        (
            "by a stranger under the recorder's key id",
            "it looks like the recorder's",
            with_signature(number, stranger.sign(pae)),
            no_cover,
        ),
        (
            "by a stranger",
            "a right signature by the wrong key",
            with_signature(number, stranger.sign(pae), "stranger"),
            "signed by key",
        ),
        (
            "by the recorder under a stranger's key id",
            "the key id is no mere hint",
            with_signature(number, CLEAN.key("recorder").sign(pae), "stranger"),
            "signed by key",
        ),
        (
            "copied from another statement",
            "the recorder did sign this, elsewhere",
            with_signature(number, base64.b64decode(fields_of(1 if number else 4)["signatures"][0]["sig"])),
            no_cover,
        ),
        ("in its second spelling", "two entries of one statement",
         with_signature(number, second_spelling(number)), no_cover),
        ("over the bare statement", "wrong domain: any protocol's bytes",
         by_recorder(number, body), no_cover),
        ("over the statement's hash", "wrong domain",
         by_recorder(number, hashlib.sha256(pae).digest()), no_cover),
        (
            "over another media type",
            "wrong domain: one kind of statement for another",
            by_recorder(number, dsse.pae(other, body)),
            no_cover,
        ),
    ):  # fmt: skip
        yield Forgery(f"{kind}'s signature {name}", why, partial(logged, number, envelope), step, said)
    one = fields_of(number)["signatures"]
    for name, why, signatures, said in (
        ("missing", "nobody signed", [], "length >= 1"),
        ("twice", "which of the two counts?", one * 2, "length <= 1"),
        ("cut by a byte", "no such signature",
         [one[0] | {"sig": base64.b64encode(bytes(63)).decode()}], "64 bytes"),
        ("in other base64", "two entries of one statement",
         [one[0] | {"sig": "A" * 85 + "B=="}], "canonical base64"),
    ):  # fmt: skip
        envelope = fields_of(number) | {"signatures": signatures}
        yield Forgery(f"{kind}'s signature {name}", why, partial(unlogged, number, envelope), "archive", said)


def with_entries(*entries: Entry) -> Evidence:
    return clean(entries=entries)


def without_the_closers_registration() -> Evidence:
    """The closer signs a manifest as if it were the recorder."""
    world = World(**LOST, manifest_changes={"end_reason": "stopped", "attested_count": 8})
    recorder, _, *rest = world.parts.entries
    return replace(of(world), bundle=world.bundle(entries=(recorder, *rest)))


def backdated_registration() -> Evidence:
    """A recorder that registered after its session had begun; the bundle calls the entry an earlier one."""
    world = World(registered={}, registered_late={"recorder": "recorder"})
    *anchors, registration, manifest = world.parts.entries
    entries = (msgspec.structs.replace(registration, index=1), *anchors, manifest)
    return replace(of(world), bundle=world.bundle(entries=entries))


def registered_twice() -> Evidence:
    world = World()
    world.entries.insert(world.session_entries[0], world.entries[world.session_entries[0]])
    world.session_entries = [world.session_entries[0], *(number + 1 for number in world.session_entries)]
    return of(relogged(world))


def with_another_statement(statement: Statement) -> Evidence:
    """A statement of another kind among the session's, signed and logged."""
    world = World()
    world.entries[world.session_entries[2]] = statements.sign(statement, world.key("recorder"))
    return of(relogged(world))


def with_anchor(**changes: Any) -> Evidence:
    """The last anchor deviates; the recorder signed it."""

    def change(anchor: InterimAnchor) -> InterimAnchor:
        return msgspec.structs.replace(anchor, **changes) if anchor.count == 5 else anchor

    return of_world(anchor_changes=change)


VOTE = Vote(chain=ORIGIN, height=1, block=block.block_hash(CLEAN.header), verdict="accept")
RECORDER_ALONE: dict[str, Role] = {"recorder": "recorder"}
AGAIN = msgspec.structs.replace(MANIFEST, index=50)
NOT_KNOWN, NO_CLOSER = "is not registered as a recorder", "is not registered as a closer"

_SIGNERS: tuple[Row, ...] = (
    ("unregistered recorder", "anybody has a key", partial(of_world, registered={}), "signers", NOT_KNOWN),
    ("recorder registered after the session began", "a key made up afterwards",
     partial(of_world, registered={}, registered_late={"recorder": "recorder"}), "signers",
     "after the session began"),
    ("registration dated back", "its place on the log is proven",
     backdated_registration, "inclusion", "the inclusion proof"),
    ("recorder registered as a closer", "another role",
     partial(of_world, registered={"recorder": "closer"}), "signers", NOT_KNOWN),
    ("somebody else's registration", "a recorder, not this one",
     partial(of_world, registered={"somebody": "recorder"}), "signers", NOT_KNOWN),
    ("session signed by another recorder", "registered is not enough",
     partial(of_world, recorder_name="somebody"), "signers", NOT_KNOWN),
    ("one registration more than signers", "who else had a hand in it?",
     partial(of_world, registered={"recorder": "recorder", "somebody": "recorder"}), "signers",
     "2 registrations, not those of the signers alone"),
    ("recorder registered twice", "no entry without a purpose",
     registered_twice, "signers", "2 registrations"),
    ("closer unregistered", "anybody could end it",
     partial(of_world, end_reason="recorder_lost"), "signers", NO_CLOSER),
    ("closer registered as a recorder", "a recorder calls another one lost",
     partial(of_world, **LOST | {"registered": {"recorder": "recorder", "closer": "recorder"}}), "signers",
     NO_CLOSER),
    ("closer registered after the session began", "a key made up afterwards",
     partial(of_world, **LOST | {"registered": RECORDER_ALONE, "registered_late": {"closer": "closer"}}),
     "signers", "after the session began"),
    ("closer speaks although the recorder was not lost", "it would vouch for what it never saw",
     partial(of_world, **LOST, manifest_changes={"end_reason": "stopped", "attested_count": 8}), "signers",
     "2 registrations"),
    ("closer signs as if it were the recorder", "as before",
     without_the_closers_registration, "manifest", "signed by key"),
    ("closer attests more than was anchored", "it vouches in the recorder's name",
     partial(of_world, **LOST, manifest_changes={"attested_count": 6}), "anchors",
     "6 leaves are called attested"),
    ("closer attests less than was anchored", "what was vouched for is put in doubt",
     partial(of_world, **LOST, manifest_changes={"attested_count": 2}), "anchors",
     "2 leaves are called attested"),
    ("manifest of another session", "a true word about something else",
     partial(of_world, manifest_changes={"session": OTHER_SESSION}), "manifest", "is of session"),
    ("manifest of another host", "this desk, that desk",
     partial(of_world, manifest_changes={"host": "elsewhere"}), "manifest", "says host 'elsewhere'"),
    ("manifest of another recorder", "a true recorder's name under another's work",
     partial(of_world, manifest_changes={"recorder": CLEAN.key_id("a stranger")}), "signers", NOT_KNOWN),
)  # fmt: skip

_ENTRIES: tuple[tuple[str, str, Callable[[], Evidence], str], ...] = (
    ("no log entries", "no word of anybody", with_entries, "0 manifests"),
    ("no manifest", "an end that nobody signed", partial(with_entries, *ENTRIES[:-1]), "0 manifests"),
    ("two manifests", "which is the last word?", partial(with_entries, *ENTRIES, AGAIN), "2 manifests"),
    ("no anchor", "nothing opened the session",
     partial(with_entries, REGISTRATION, MANIFEST), "no anchor opens"),
    ("anchors in another order", "first it grew, then it shrank",
     partial(with_entries, REGISTRATION, *ANCHORS[::-1], MANIFEST), "comes after"),
    ("an anchor twice", "no entry without a purpose",
     partial(with_entries, *ENTRIES[:2], *ENTRIES[1:]), "comes after"),
    ("an anchor after the manifest", "it went on",
     partial(with_entries, *ENTRIES, msgspec.structs.replace(ENTRIES[2], index=50)), "as the last log entry"),
    ("no registration", "no key to check by", partial(with_entries, *ENTRIES[1:]), NOT_KNOWN),
    ("a vote among the entries", "a signed word, but not about a session",
     partial(with_another_statement, VOTE), "is a 'application/vnd.lucid.vote"),
)  # fmt: skip

_ANCHORS: tuple[tuple[str, str, Callable[[], Evidence], str], ...] = (
    ("interim anchor with another root", "not its prefix",
     partial(with_anchor, root="0" * 64), "another root"),
    ("interim anchor over fewer leaves", "the root is that of five",
     partial(with_anchor, count=4), "another root"),
    ("interim anchor over more leaves", "the root is that of five",
     partial(with_anchor, count=6), "another root"),
    ("interim anchor over more than there are", "something was taken away",
     partial(with_anchor, count=9), "counts 9 leaves"),
    ("interim anchor of another session", "another session's proof",
     partial(with_anchor, session=OTHER_SESSION), "of another session"),
    ("interim anchor of another recorder", "somebody else's word",
     partial(with_anchor, recorder="0" * 64), "of another session or recorder"),
    ("session that does not begin with nothing", "what came before?",
     partial(of_world, anchored=(1, 5)), "already counts 1"),
    ("session that shrinks", "leaves were taken back",
     partial(of_world, anchored=(0, 5, 2)), "counts 2 leaves after 5"),
)  # fmt: skip

STATEMENTS = (
    *(forgery for kind, (number, step) in KINDS.items() for forgery in _signatures(kind, number, step)),
    *(Forgery(*line) for line in _SIGNERS),
    *(Forgery(name, why, make, "signers", said) for name, why, make, said in _ENTRIES),
    *(Forgery(name, why, make, "anchors", said) for name, why, make, said in _ANCHORS),
)
