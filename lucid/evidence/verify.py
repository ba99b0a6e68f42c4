"""Verification of a bundle, step by step, with nothing but the bundle and what the auditor was told.

Steps 1 to 10 (`checks`) ask whether the evidence agrees with itself; steps 11 to 15, here, whether it agrees
with the trust file and with what the auditor knows from elsewhere.
"""

from collections.abc import Callable, Sequence
from typing import BinaryIO, ParamSpec, TypeVar

from lucid.evidence import block, checkpoint, checks, merkle
from lucid.evidence.block import Header
from lucid.evidence.bundle import Parts
from lucid.evidence.checkpoint import Note
from lucid.evidence.checks import Finding
from lucid.evidence.errors import EvidenceError, VerificationError
from lucid.evidence.leaf import Leaf
from lucid.evidence.manifest import Manifest, RecordedTrack
from lucid.evidence.policy import SessionPolicy
from lucid.evidence.steps import STEPS, Outcome, Report, StepResult, TrackReport
from lucid.evidence.trust import Trust

P = ParamSpec("P")
T = TypeVar("T")

_NO_TRUST = "no trust file was given"


def verify(
    bundle: BinaryIO,
    trust: Trust | None = None,
    *,
    against: bytes | None = None,
    newer_than_ms: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Report:
    """Verify a bundle and report on each step; whatever the bytes are, this returns a report.

    `trust` is what the auditor believes; without it the outcome is at best CONSISTENT_NOT_AUTHENTICATED.
    `against` is a checkpoint that the auditor has from elsewhere, to find out whether two parties are shown
    different logs. `newer_than_ms` is the time, in milliseconds since the Unix epoch, before which the
    checkpoint must not have been cosigned. `on_progress` is called with the number of bytes read.
    """
    run = _Run()
    try:
        _run_steps(run, bundle, trust, against, newer_than_ms, on_progress)
    except _StepFailedError:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.VERIFIED if trust else Outcome.CONSISTENT_NOT_AUTHENTICATED
    return run.report(outcome)


class _StepFailedError(Exception):
    """The step that just ran failed; its result is in the run."""


class _Run:
    """Runs the steps in order and keeps what the report will say."""

    def __init__(self) -> None:
        self.results: list[StepResult] = []
        self.session: str | None = None
        self.leaves: list[Leaf] = []
        self.manifest: Manifest | None = None
        self.policy: SessionPolicy | None = None
        self.header: Header | None = None

    def step(self, check: Callable[P, Finding[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the next step of the table; return what it established or raise _StepFailedError."""
        number = len(self.results) + 1
        step = STEPS[number - 1]
        try:
            finding = check(*args, **kwargs)
        except EvidenceError as error:
            self.results.append(
                StepResult(
                    number=number,
                    name=step.name,
                    status="failed",
                    detail=_printable(str(error)),
                    meaning=step.meaning,
                )
            )
            raise _StepFailedError from error
        self.results.append(
            StepResult(
                number=number,
                name=step.name,
                status="skipped" if finding.skipped else "ok",
                detail=_printable(finding.detail),
            )
        )
        return finding.value

    def report(self, outcome: Outcome) -> Report:
        return Report(
            outcome=outcome,
            steps=tuple(self.results),
            session=self.session,
            manifest=self.manifest,
            tracks=tuple(_track(track, self.leaves) for track in self.manifest.tracks)
            if self.manifest
            else (),
            policy=self.policy,
            header=self.header,
            plain_size=sum(item.plain_size for item in self.leaves),
            sealed_size=sum(item.sealed_size for item in self.leaves),
        )


def _track(signed: RecordedTrack, leaves: Sequence[Leaf]) -> TrackReport:
    found = [item for item in leaves if item.track == signed.track]
    covered = reached = 0
    for item in found:  # in order of their beginnings
        covered += max(0, item.end_ms - max(item.start_ms, reached))
        reached = max(reached, item.end_ms)
    return TrackReport(
        track=signed.track,
        codec=signed.codec,
        chunks=len(found),
        start_ms=found[0].start_ms if found else None,
        end_ms=reached if found else None,
        covered_ms=covered,
    )


def _run_steps(
    run: _Run,
    bundle: BinaryIO,
    trust: Trust | None,
    against: bytes | None,
    newer_than_ms: int | None,
    on_progress: Callable[[int], None] | None,
) -> None:
    parts, digests = run.step(checks.read_archive, bundle, on_progress)
    run.session = parts.session
    run.leaves = run.step(checks.check_leaves, parts)
    signers = run.step(checks.check_signers, parts)
    run.manifest = run.step(checks.check_manifest, parts, signers)
    tree = run.step(checks.check_completeness, parts, run.manifest, run.leaves)
    run.step(checks.check_anchors, signers, run.manifest, tree)
    run.header, note = run.step(checks.check_checkpoint, parts)
    run.step(checks.check_inclusion, parts, run.header)
    run.step(checks.check_chunks, run.leaves, digests, parts.keys)
    run.policy = run.step(checks.check_policy, parts, run.manifest)
    run.step(_check_genesis, parts, run.header, trust)
    times = run.step(_check_validators, note, trust)
    run.step(_check_witnesses, note, trust)
    run.step(_check_against, note, trust, against)
    run.step(_check_freshness, times, trust, newer_than_ms)


def _printable(text: str) -> str:
    """Escape what a terminal would obey instead of show: parts of the text may be a forger's."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _check_genesis(parts: Parts, header: Header, trust: Trust | None) -> Finding[None]:
    genesis = block.decode(parts.genesis)
    if genesis.height != 0 or genesis.chain != header.chain:
        raise VerificationError(f"genesis.json is not block 0 of {header.chain}")
    merkle.verify_consistency(
        genesis.log_size,
        header.log_size,
        bytes.fromhex(genesis.log_root),
        bytes.fromhex(header.log_root),
        [bytes.fromhex(item) for item in parts.consistency],
    )
    genesis_hash = block.block_hash(genesis)
    if trust is None:
        return Finding(None, f"the log extends its block 0, {genesis_hash[:16]}…; {_NO_TRUST}", skipped=True)
    if trust.origin != header.chain:
        raise VerificationError(f"the bundle is about log {header.chain!r}, you trust {trust.origin!r}")
    if trust.genesis_hash != genesis_hash:
        raise VerificationError(f"block 0 is {genesis_hash}, you trust {trust.genesis_hash}")
    return Finding(None, f"the log extends the trusted block 0, {genesis_hash[:16]}…")


def _check_validators(note: Note, trust: Trust | None) -> Finding[list[int]]:
    """Establish when the validators cosigned, in seconds since the Unix epoch, latest first."""
    if trust is None:
        return Finding([], _NO_TRUST, skipped=True)
    times = checkpoint.verify_cosignatures(note, trust.validators).times
    detail = f"{len(times)} of {len(trust.validators)} validators, {trust.quorum} needed"
    if len(times) < trust.quorum:
        raise VerificationError(detail)
    return Finding(sorted(times.values(), reverse=True), f"{detail}: {', '.join(sorted(times))}")


def _check_witnesses(note: Note, trust: Trust | None) -> Finding[None]:
    if trust is None:
        return Finding(None, _NO_TRUST, skipped=True)
    found = checkpoint.verify_cosignatures(note, trust.validators + trust.witnesses)
    witnesses = [witness.name for witness in trust.witnesses if witness.name in found.times]
    detail = f"{len(witnesses)} of {len(trust.witnesses)} witnesses, {trust.witness_quorum} needed"
    if len(witnesses) < trust.witness_quorum:
        raise VerificationError(detail)
    if found.unknown:
        detail += f"; unknown keys, not counted: {', '.join(found.unknown)}"
    return Finding(None, detail, skipped=not trust.witness_quorum)


def _check_against(note: Note, trust: Trust | None, against: bytes | None) -> Finding[None]:
    """A checkpoint of another size needs a consistency proof, which bundles do not carry: that fails too.

    The auditor asked for a comparison; passing over one that cannot be made would answer it with yes.
    """
    if against is None:
        return Finding(None, "no other checkpoint was given", skipped=True)
    other_note = checkpoint.parse_note(against)
    if trust and not checkpoint.verify_cosignatures(other_note, trust.validators + trust.witnesses).times:
        raise VerificationError("the other checkpoint is not cosigned by anybody in the trust file")
    mine, other = checkpoint.parse_body(note.body), checkpoint.parse_body(other_note.body)
    if mine.origin != other.origin:
        raise VerificationError(f"the other checkpoint is of log {other.origin!r}, not {mine.origin!r}")
    if mine.size != other.size:
        raise VerificationError(
            f"cannot be compared: the other checkpoint has size {other.size}, this one {mine.size}; "
            f"ask for a bundle made at size {other.size}"
        )
    if mine.root != other.root:
        raise VerificationError(
            f"split view: at size {mine.size} one root is {mine.root.hex()}, the other {other.root.hex()}"
        )
    return Finding(None, f"the same log at size {mine.size}")


def _check_freshness(times: list[int], trust: Trust | None, newer_than_ms: int | None) -> Finding[None]:
    if newer_than_ms is None:
        return Finding(None, "no time was given", skipped=True)
    if trust is None:
        raise VerificationError(f"{_NO_TRUST}, so there is no time to believe")
    cosigned_ms = times[trust.quorum - 1] * 1000
    if cosigned_ms < newer_than_ms:
        raise VerificationError(f"a quorum had cosigned by {cosigned_ms} ms, before {newer_than_ms} ms")
    return Finding(None, f"a quorum cosigned at {cosigned_ms} ms or later")
