"""A session's record as it begins, and the policy that its recording is bound to, by hash."""

import time
from typing import Any

from lucid.kit.mongo import Document
from lucid.sessions.policy import POLICY, policy_sha256
from lucid.sessions.states import SESSION


def new(session: str, owner: str, name: str, policy: dict[str, Any], **more: Any) -> Document:
    """The record of a session that is created. What it may and must record, and how long, is fixed here."""
    record: Document = {
        "_id": session,
        "name": name,
        "owner": owner,
        "state": SESSION.first,
        "created_ms": time.time_ns() // 1_000_000,
        "started_ms": None,
        "ended_ms": None,
        **{field: policy[field] for field in POLICY},
        "host": None,
        "trust": None,
        "chunks": 0,
        "raw_bytes": 0,
        "end_reason": None,
        "error": None,
        "held": False,
        "erasing_ms": None,
        "erased_ms": None,
        **more,
    }
    return record | {"policy_sha256": policy_sha256(record)}


def is_managed(record: Document) -> bool:
    """Whether the rdp cluster keeps the session: its desktop is recorded for as long as it lives."""
    return record.get("trust") is not None
