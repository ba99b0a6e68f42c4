"""Log entries as the chain reads them: an envelope and what it claims. Nothing is believed by reading it."""

from dataclasses import dataclass
from typing import Literal, cast

from lucid.evidence import log, statements
from lucid.evidence.dsse import Envelope
from lucid.evidence.errors import EvidenceError
from lucid.evidence.life import Access, Erasure, Hold, Violation
from lucid.evidence.manifest import InterimAnchor, Manifest
from lucid.evidence.registration import Registration
from lucid.evidence.statements import Statement

Kind = Literal["registration", "anchor", "manifest", "access", "hold", "erasure", "violation"]
Claim = Registration | InterimAnchor | Manifest | Access | Hold | Erasure | Violation

_KINDS: dict[type[Statement], Kind] = {
    Registration: "registration",
    InterimAnchor: "anchor",
    Manifest: "manifest",
    Access: "access",
    Hold: "hold",
    Erasure: "erasure",
    Violation: "violation",
}
_CLAIMS: dict[str, type[Statement]] = {claim.PAYLOAD_TYPE: claim for claim in _KINDS}


class Refused(Exception):
    """The chain's rules do not allow an entry; the text says why and names the way out."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A well-formed entry."""

    data: bytes
    """The envelope's canonical JSON: what the log hashes."""
    hash: str
    """Leaf hash in hex: the entry's name everywhere."""
    envelope: Envelope
    claim: Claim

    @property
    def kind(self) -> Kind:
        """What sort of claim it is."""
        return _KINDS[type(self.claim)]

    @property
    def signer(self) -> str:
        """The key id that the envelope claims to be signed by."""
        return self.envelope.signer

    @property
    def recorder(self) -> str:
        """Key id of the recorder that it is about; the signer's own where it is about none."""
        return self.claim.recorder if isinstance(self.claim, InterimAnchor | Manifest) else self.signer

    @property
    def session(self) -> str | None:
        """The session it is about; None for a registration."""
        return None if isinstance(self.claim, Registration) else self.claim.session


def entry_hash(data: bytes) -> str:
    """Return the name of an entry, well formed or not: its leaf hash in hex."""
    return log.entry_hash(data).hex()


def parse(data: bytes) -> LogEntry:
    """Return the entry in `data`; raise Refused unless it is canonical and of a kind that the log takes."""
    try:
        envelope = log.parse_entry(data)
        claim = _CLAIMS.get(envelope.payload_type)
        if claim is None:
            raise Refused(f"the log takes no {envelope.payload_type!r}, only {', '.join(_CLAIMS)}")
        return LogEntry(data, entry_hash(data), envelope, cast("Claim", statements.read(envelope, claim)))
    except EvidenceError as error:
        raise Refused(str(error)) from error
