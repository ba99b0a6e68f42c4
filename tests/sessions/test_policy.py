"""The policy document of a session record."""

import hashlib
from typing import Any

import pytest

from lucid.evidence import policy as trust_policies
from lucid.evidence.policy import Input, TrustPolicy
from lucid.sessions.policy import policy_document, policy_sha256
from tests.evidence.world import private_key, public_key

OWNER = private_key("sessions", "owner")
TRUST = TrustPolicy(name="desk", input=Input(mouse=True), owner_key=public_key(OWNER).hex())
RECORD: dict[str, Any] = {
    "_id": "a session", "name": "not agreed on", "frame_rate": 30, "quality": "high",
    "max_bytes": 2**30, "retention_days": 30,
}  # fmt: skip
PLAIN = b'{"frame_rate":30,"max_bytes":1073741824,"quality":"high","retention_days":30}'


@pytest.mark.parametrize("record", [RECORD, RECORD | {"trust": None}])
def test_is_the_same_for_sessions_from_before_there_were_trust_policies(record: dict[str, Any]) -> None:
    assert policy_document(record) == PLAIN
    assert policy_sha256(record) == hashlib.sha256(PLAIN).hexdigest()


def test_holds_the_trust_policy_as_its_owner_signed_it() -> None:
    envelope = trust_policies.sign(TRUST, OWNER).decode()
    record = RECORD | {"trust": envelope}
    found = trust_policies.read(policy_document(record))
    assert (found.trust_policy, found.frame_rate, found.allowed) == (TRUST, 30, ("input.mouse",))
    assert policy_sha256(record) != policy_sha256(RECORD)


def test_follows_a_change_of_how_it_is_recorded() -> None:
    assert policy_document(RECORD | {"quality": "low"}) == PLAIN.replace(b"high", b"low")
