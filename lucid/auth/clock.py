"""Moments as they are kept and shown: UTC, to the millisecond."""

from datetime import UTC, datetime


def now() -> datetime:
    """This moment, as MongoDB keeps it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def rfc3339(moment: datetime) -> str:
    """To the second, for example 2026-01-02T03:04:05Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
