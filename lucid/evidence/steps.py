"""The steps of a verification, each numbered once, and the report that they make up.

`docs/formats.md` repeats this table; a test compares the two.
"""

from enum import Enum
from typing import Literal, NamedTuple

import msgspec

from lucid.evidence.block import Header
from lucid.evidence.manifest import Manifest
from lucid.evidence.policy import SessionPolicy


class Step(NamedTuple):
    """One step: what it checks, and what it means to an auditor when that does not hold."""

    name: str
    checks: str
    meaning: str


STEPS = (
    Step(
        "archive",
        "The file is one canonical archive, complete to its last byte, its index files well formed.",
        "The file was cut off, damaged or edited. It proves nothing; ask for it again.",
    ),
    Step(
        "leaves",
        "Every leaf is canonical, of this session, numbered without a hole in its track, in order of time.",
        "The list of chunks was altered: something was removed, inserted, renumbered or reordered.",
    ),
    Step(
        "signers",
        "The signing keys are registered in entries before the session's first anchor, in fitting roles.",
        "Whoever signed was not a recorder known to the log when the session began.",
    ),
    Step(
        "manifest",
        "The manifest is signed by the recorder, or by a closing key if the recorder was lost.",
        "The statement about the whole session is not by the one who recorded it.",
    ),
    Step(
        "completeness",
        "Count and root of the leaves are the manifest's; every hole in time is a gap that it declares.",
        "The recording is not the one that was signed off: shortened, extended or exchanged in part.",
    ),
    Step(
        "anchors",
        "Each interim anchor, by the recorder, has the root of the first n leaves; for the first, n is 0.",
        "What was recorded was changed after the recorder had anchored it.",
    ),
    Step(
        "checkpoint",
        "The checkpoint is the rendering of the block header in the bundle.",
        "The cosignatures in the bundle belong to another state of the log than its proofs.",
    ),
    Step(
        "inclusion",
        "Every entry's inclusion proof leads to the header's log root.",
        "An anchor, registration or manifest in this bundle is not on the log.",
    ),
    Step(
        "chunks",
        "The sealed chunks, if there are any, are those of the leaves; each disclosed key opens its chunk.",
        "The stored recording was altered, or is not the one that was anchored.",
    ),
    Step(
        "policy",
        "The policy document has the manifest's hash; a trust policy in it is signed by its owner's key.",
        "What the session was allowed to do is not what was agreed on before it began.",
    ),
    Step(
        "genesis",
        "Block 0 is the trusted one, and the log extends it by a consistency proof.",
        "The bundle is about another log than the one you trust, or that log's history was rewritten.",
    ),
    Step(
        "validators",
        "A quorum of the trusted validators cosigned the checkpoint.",
        "The state of the log that the bundle relies on was never agreed on.",
    ),
    Step(
        "witnesses",
        "Enough trusted outside witnesses cosigned the checkpoint.",
        "Nobody outside has confirmed this state of the log; it may have been shown to you only.",
    ),
    Step(
        "against",
        "The checkpoint is the one that you have from elsewhere.",
        "You and somebody else are being shown two different logs, or it cannot be told (see the detail).",
    ),
    Step(
        "freshness",
        "A quorum of validators cosigned no earlier than the time you asked for.",
        "The bundle is stale: later events, such as an erasure, may have been left out.",
    ),
)
"""Step n is `STEPS[n - 1]`."""

Status = Literal["ok", "failed", "skipped"]


class Outcome(Enum):
    """How a verification ended."""

    VERIFIED = "verified"
    """Everything holds and rests on the trust file."""
    REFUSED = "refused"
    """A step failed."""
    CONSISTENT_NOT_AUTHENTICATED = "consistent_not_authenticated"
    """Everything holds together, but without a trust file anybody could have made it."""

    @property
    def exit_code(self) -> int:
        """Exit code of a program that reports this outcome."""
        return {Outcome.VERIFIED: 0, Outcome.REFUSED: 1, Outcome.CONSISTENT_NOT_AUTHENTICATED: 3}[self]


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one step."""

    number: int
    name: str
    status: Status
    detail: str
    """What was found, in words and figures."""
    meaning: str | None = None
    """If the step failed: what that means."""


class TrackReport(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of one track, by the leaves that held."""

    track: int
    codec: str
    """What is in it, by the manifest."""
    chunks: int
    start_ms: int | None
    end_ms: int | None
    """From where to where its chunks reach; None without chunks."""
    covered_ms: int
    """How much of that time is within chunks."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a verification. It ends with the first step that failed; later ones were not tried."""

    outcome: Outcome
    steps: tuple[StepResult, ...]
    session: str | None
    """The session the file says it is about; None if not even that could be read."""
    manifest: Manifest | None
    """The manifest, once its signature held."""
    tracks: tuple[TrackReport, ...]
    """Its tracks; empty before its signature held."""
    policy: SessionPolicy | None
    """What was agreed on for the session, once it was found to be what the manifest names."""
    header: Header | None
    """The block header that the proofs lead to, once the checkpoint was found to render it."""
    plain_size: int
    """Bytes of recording, by the leaves that held."""
    sealed_size: int
    """Bytes stored, by the leaves that held."""

    @property
    def failure(self) -> StepResult | None:
        """The step that failed, if one did."""
        return self.steps[-1] if self.steps and self.steps[-1].status == "failed" else None
