"""Forgeries of what was agreed on: the policy document, and the trust policy in it that the owner signed."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from lucid.evidence import canonical, dsse, policy
from lucid.evidence.policy import Clipboard, Input, Recorded, TrustPolicy
from lucid.evidence.registration import Registration
from tests.evidence.verifying import CLEAN
from tests.evidence.world import World
from tests.forgeries.fields import impossible, replaced, values
from tests.forgeries.forging import (
    Evidence,
    Forgery,
    archive_of,
    clean,
    members_of,
    of,
    of_world,
    with_member,
)
from tests.forgeries.records import canonical_json
from tests.forgeries.spellings import SPELLINGS_OF_JSON

DOCUMENT: dict[str, Any] = json.loads(CLEAN.policy)
AGREED = CLEAN.trust_policy
OWNER, STRANGER = CLEAN.key("owner"), CLEAN.key("a stranger")
LAXER = msgspec.structs.replace(AGREED, clipboard=Clipboard(to_desktop=True, from_desktop=True))
UNSEEN = msgspec.structs.replace(AGREED, record=Recorded(input=True, clipboard=True))
FULL = msgspec.structs.replace(UNSEEN, clipboard=LAXER.clipboard, input=Input(mouse=True, keyboard=True))
BARE = TrustPolicy(name="locked", owner_key=AGREED.owner_key)
OTHER_HASH = "but [0-9a-f]{64} was signed"


def document(**changes: Any) -> bytes:
    return canonical_json(DOCUMENT | changes)


def with_trust(envelope: bytes) -> bytes:
    return document(trust=envelope.decode())


def theirs(found: TrustPolicy) -> TrustPolicy:
    """The same policy, of another owner."""
    key = STRANGER.public_key().public_bytes_raw().hex()
    return msgspec.structs.replace(found, owner_key=key)


def signed(payload: bytes, *, payload_type: str = TrustPolicy.PAYLOAD_TYPE, stranger: bool = False) -> bytes:
    return dsse.sign(payload_type, payload, STRANGER if stranger else OWNER)


def under_the_owners_name(found: TrustPolicy) -> bytes:
    """Signed by a stranger, under the owner's key id."""
    envelope = json.loads(signed(canonical.encode(found), stranger=True))
    envelope["signatures"][0]["keyid"] = AGREED.key_id
    return canonical_json(envelope)


def under_the_old_signature(found: TrustPolicy) -> bytes:
    envelope = json.loads(DOCUMENT["trust"])
    envelope["payload"] = json.loads(signed(canonical.encode(found)))["payload"]
    return canonical_json(envelope)


def agreed_on(data: bytes) -> Evidence:
    """The bundle of a session whose manifest names this document."""
    return of(World(policy_changes=lambda _: data))


def without_a_policy() -> Evidence:
    members = members_of(CLEAN.bundle())
    return Evidence(archive_of(member for member in members if member[0] != "policy.json"))


def with_two_policies() -> Evidence:
    members = members_of(CLEAN.bundle())
    place = [name for name, _ in members].index("policy.json")
    return Evidence(archive_of([*members[:place], members[place], *members[place:]]))


_EXCHANGED: tuple[tuple[str, str, bytes], ...] = (
    ("policy with a channel more, signed by its owner", "agreed on afterwards",
     with_trust(policy.sign(LAXER, OWNER))),
    ("policy with a channel more, under its old signature", "nobody agreed",
     with_trust(under_the_old_signature(LAXER))),
    ("policy that has more recorded, signed by its owner", "as if people had been told",
     with_trust(policy.sign(UNSEEN, OWNER))),
    ("policy of another owner, signed by that one", "somebody else agreed",
     with_trust(policy.sign(theirs(AGREED), STRANGER))),
    ("policy without its trust policy", "as if all had been let in unasked",
     canonical_json({name: value for name, value in DOCUMENT.items() if name != "trust"})),
    ("policy of another session", "a true document about something else", World(seed="other").policy),
    ("policy with another time of keeping", "erased before its time", document(retention_days=1)),
    ("empty policy", "nothing to hold anybody to", b""),
)  # fmt: skip

# The recorder signed the hash of exactly these bytes, or whoever made up the world did.
_AGREED_ON: tuple[tuple[str, str, bytes, str], ...] = (
    ("trust policy signed by a stranger", "a right signature by the wrong key",
     with_trust(signed(canonical.encode(AGREED), stranger=True)), "signed by key"),
    ("trust policy signed by a stranger under the owner's key id", "the key id is no mere hint",
     with_trust(under_the_owners_name(AGREED)), "does not cover this statement"),
    ("trust policy under the signature of another", "the owner signed less",
     with_trust(under_the_old_signature(LAXER)), "does not cover this statement"),
    ("trust policy signed as another kind of statement", "a signature for something else",
     with_trust(signed(canonical.encode(AGREED), payload_type=Registration.PAYLOAD_TYPE)), "envelope holds"),
    ("trust policy without a signature", "nobody signed",
     with_trust(canonical_json(json.loads(DOCUMENT["trust"]) | {"signatures": []})), "envelope: "),
    ("trust policy that is no envelope", "nobody signed",
     with_trust(canonical.encode(AGREED)), "envelope: "),
    ("trust policy beside its envelope's one form", "a second spelling of the same word",
     document(trust=DOCUMENT["trust"] + "\n"), "envelope: "),
    ("trust policy as an object", "a second place for it",
     document(trust=json.loads(DOCUMENT["trust"])), "policy document: "),
    ("trust policy of null", "is that none?", document(trust=None), "policy document: "),
    ("policy document that is a trust policy", "a true word in the wrong place",
     policy.sign(AGREED, OWNER), "policy document: "),
)  # fmt: skip

POLICIES = (
    *(Forgery(name, why, partial(clean, policy=new), "policy", OTHER_HASH) for name, why, new in _EXCHANGED),
    *(Forgery(name, why, partial(agreed_on, data), "policy", said) for name, why, data, said in _AGREED_ON),
    Forgery("trust policy in a session that had none", "as if it had been bound",
            lambda: Evidence(World(trusting=False).bundle(policy=CLEAN.policy)), "policy", OTHER_HASH),
    Forgery("manifest that names another policy", "it was recorded under something else",
            partial(of_world, manifest_changes={"policy_sha256": "0" * 64}), "policy", OTHER_HASH),
    Forgery("no policy", "what was allowed cannot be told",
            without_a_policy, "archive", r"'policy\.json' was expected"),
    Forgery("policy of more than 16 KiB", "memory is claimed before a byte was checked",
            lambda: Evidence(with_member(CLEAN.bundle(), "policy.json", bytes(16 * 1024 + 1))), "archive",
            r"policy\.json: 16385 bytes"),
    Forgery("two policies", "which one was agreed on?",
            with_two_policies, "archive", r"'entries\.jsonl' was expected"),
)  # fmt: skip


def _records(
    what: str, record: bytes, spelled: bytes, put: Callable[[bytes], bytes], limit: int
) -> Iterator[Forgery]:
    """All that can be wrong with a record that everybody agreed on; `spelled` has no field to spare."""

    def made(data: bytes) -> Evidence:
        return agreed_on(put(data))

    for path, value in values(json.loads(record)):
        for name, other in impossible(value).items():
            why = "what is no such record is not guessed at"
            data = replaced(record, path, other)
            yield Forgery(f"{what}: {'/'.join(map(str, path))} is {name}", why, partial(made, data), "policy")
    for name, (why, spelling) in SPELLINGS_OF_JSON.items():
        yield Forgery(f"{what} with {name}", why, partial(made, spelling(spelled, limit)), "policy")


def _channels() -> Iterator[Forgery]:
    """Everything that a reader could take for a channel that is on, or for one that is off."""
    fields = json.loads(canonical.encode(BARE))
    for name, more in {
        "an empty group": {"input": {}},
        "a channel that is off": {"input": {"mouse": False}},
        "a channel that is off beside one that is on": {"input": {"keyboard": True, "mouse": False}},
        "an unknown group": {"drive": {"read": True}},
        "an unknown group that is empty": {"drive": {}},
        "an unknown channel": {"input": {"touch": True}},
        "an unknown channel that is off": {"input": {"touch": False}},
        "a group of null": {"clipboard": None},
        "a group that is on as a whole": {"clipboard": True},
        "a list of channels": {"input": ["mouse"]},
        "nothing recorded beside the picture, spelled out": {"record": {}},
        "input that is not recorded, spelled out": {"record": {"input": False}},
        "an unknown track of events": {"record": {"sound": True}},
        "a time-out of a minute less a second": {"idle_seconds": 59},
        "a session longer than a week": {"session_seconds": 604_801},
        "a name of 101 characters": {"name": "x" * 101},
        "a name of two lines": {"name": "a\nb"},
        "another way of losing a recorder": {"on_recorder_loss": "ignore"},
    }.items():
        data = with_trust(signed(canonical_json(fields | more)))
        why = "there is one spelling, and nothing is guessed at"
        yield Forgery(f"trust policy with {name}", why, partial(agreed_on, data), "policy")


POLICY_RECORDS = {
    "policy document, agreed on": tuple(
        _records(
            "policy document, agreed on", CLEAN.policy, CLEAN.policy, lambda data: data, policy.DOCUMENT_LIMIT
        )
    ),
    "trust policy, agreed on": (
        *_records(
            "trust policy, agreed on",
            canonical.encode(FULL),
            canonical.encode(BARE),
            lambda data: with_trust(signed(data)),
            8 * 1024,
        ),
        *_channels(),
    ),
}
"""For each of the two records, all that can be wrong with it although everybody signed it."""
