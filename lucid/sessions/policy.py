"""What was agreed on for a session before its first frame, in one document; the manifest names its hash."""

import hashlib
from typing import Any

import msgspec

from lucid.evidence import canonical, policy
from lucid.evidence.policy import PolicyDocument

RECORDING = ("frame_rate", "quality", "max_bytes")
"""What decides how a session is recorded."""
POLICY = (*RECORDING, "retention_days")
"""What is agreed on for every session."""


def policy_document(session: dict[str, Any]) -> bytes:
    """The canonical JSON of what was agreed on for the session with this record.

    The record's `trust` is the envelope of its trust policy as its owner signed it; None where it has none.
    """
    trust = session.get("trust")
    agreed = {name: session[name] for name in POLICY}
    return canonical.encode(PolicyDocument(**agreed, trust=msgspec.UNSET if trust is None else trust))


def policy_sha256(session: dict[str, Any]) -> str:
    """SHA-256, in hex, of the session's policy document."""
    return hashlib.sha256(policy_document(session)).hexdigest()


def recorded_events(session: dict[str, Any]) -> tuple[str, ...]:
    """What is recorded beside the picture of the session with this record: nothing without a trust policy.

    Raises EvidenceError: the policy is not as its owner signed it.
    """
    trust = session.get("trust")
    return () if trust is None else policy.recorded(policy.verify(trust.encode()))
