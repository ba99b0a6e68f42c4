"""How long a recording is kept, and what its state allows: pure rules over session records."""

from typing import Any

from lucid.kit.errors import Code, Conflict, NotFound
from lucid.kit.mongo import Document

DAY_MS = 24 * 3600 * 1000
ERASABLE = ("completed", "failed")
"""States in which nothing more is recorded or sent."""
_MAY_BE_ERASED: Document = {"state": {"$in": list(ERASABLE)}, "held": {"$ne": True}, "erasing_ms": None}


def expires_ms(session: Document) -> int:
    """When the session's time is over: `retention_days` after its end, or after its creation if it had none.

    In milliseconds since the Unix epoch.
    """
    begin: int = session["created_ms"] if session["ended_ms"] is None else session["ended_ms"]
    return begin + int(session["retention_days"]) * DAY_MS


def may_be_erased(session: str) -> dict[str, Any]:
    """The MongoDB query for `session` that finds it only while `require_erasable` lets it pass."""
    return {"_id": session, **_MAY_BE_ERASED}


def expired(now_ms: int) -> dict[str, Any]:
    """The MongoDB query for all sessions that may be erased and whose `expires_ms` has come."""
    begin = {"$ifNull": ["$ended_ms", "$created_ms"]}
    end = {"$add": [begin, {"$multiply": ["$retention_days", DAY_MS]}]}
    dated = {"retention_days": {"$type": "number"}}
    return {**_MAY_BE_ERASED, **dated, "$expr": {"$lte": [end, now_ms]}}


def require_erasable(session: Document) -> None:
    """Raises Conflict 4007 unless the recording may be erased now."""
    if session.get("held"):
        raise Conflict(
            f"session {session['_id']} is under a legal hold; an admin has to end it first",
            code=Code.SESSION_STATE,
        )
    if session["state"] not in ERASABLE:
        raise Conflict(
            f"the session is {session['state']}; only one that is completed or failed can be erased",
            code=Code.SESSION_STATE,
            state=session["state"],
        )


def may_be_spooled(session: Document) -> bool:
    """Whether the recorder may have kept chunks: it forgets them once its own manifest is in the log."""
    return bool(session["state"] == "failed" or session["end_reason"] == "recorder_lost")


def require_kept(session: Document) -> None:
    """Raises NotFound once the recording is erased, or is about to be: it is not handed out any more."""
    if session.get("erasing_ms") is not None:
        raise NotFound(
            f"the recording of session {session['_id']} was erased; its receipt, which shows that it existed,"
            f" is at /sessions/{session['_id']}/receipt"
        )
