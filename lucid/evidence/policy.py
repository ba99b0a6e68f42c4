"""What was agreed on before a session's first frame: how it is recorded, and what a client may do in it.

A trust policy denies by default. A channel is on only where the policy says so; what is off is not written
at all, so a policy signed today stays the same bytes, and as strict, when later versions know more channels.
A reader that meets a channel it does not know refuses the policy: it could not say what was allowed.

What the policy has recorded beside the picture is no channel: it lets nothing through. It is off unless the
policy says so, too, and is said in words, for it holds passwords that somebody types.
"""

import hashlib
from typing import Annotated, ClassVar, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.evidence import canonical, dsse, statements
from lucid.evidence.errors import SignatureError
from lucid.evidence.fields import MAX_INTEGER, Digest, Record
from lucid.evidence.statements import Statement

DOCUMENT_LIMIT = 16 * 1024
"""Bytes of a session's policy document, at most."""

PolicyName = Annotated[
    str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,100}$(?!\n)", min_length=1, max_length=100)
]
"""1 to 100 characters of one line, without control characters."""

OnRecorderLoss = Literal["end", "gap"]
"""`end`: no recorder, no session. `gap`: it goes on, and what is not recorded is a gap in the manifest."""

Quality = Literal["low", "medium", "high", "ultra"]


CHANNELS = {
    "input.mouse": "mouse",
    "input.keyboard": "keyboard",
    "clipboard.to_desktop": "clipboard to the desktop",
    "clipboard.from_desktop": "clipboard from the desktop",
}
"""Every channel there is, in words."""


class Channels(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Channels of one group, all off. Off is written by leaving out, and so is a group with nothing on."""


class Input(Channels, frozen=True, kw_only=True):
    """What the client may send to the desktop."""

    mouse: bool = False
    keyboard: bool = False


class Clipboard(Channels, frozen=True, kw_only=True):
    """Text and pictures in either direction; files never."""

    to_desktop: bool = False
    from_desktop: bool = False


EVENTS = {"input": "keys, clicks and movements", "clipboard": "what the clipboard holds"}
"""Everything that can be recorded beside the picture, in words."""


class Recorded(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What is recorded beside the picture, as a track of events. Nothing, unless it is said."""

    input: bool = False
    clipboard: bool = False


class TrustPolicy(Statement, frozen=True, kw_only=True):
    """What a client may do in a session, and for how long. Its owner signs it."""

    PAYLOAD_TYPE: ClassVar[str] = "application/vnd.lucid.trust-policy+json"

    v: Literal[1] = 1
    name: PolicyName
    input: Input = Input()
    clipboard: Clipboard = Clipboard()
    record: Recorded = Recorded()
    idle_seconds: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 900
    """Without any input for so long, the client is disconnected. That does not end the session."""
    session_seconds: Annotated[int, msgspec.Meta(ge=60, le=604_800)] = 28_800
    """So long after its beginning the session ends, whatever happens in it."""
    on_recorder_loss: OnRecorderLoss = "end"
    owner_key: Digest
    """The raw Ed25519 public key in hex of the owner, who signs this."""

    @property
    def key_id(self) -> str:
        """By what name signatures refer to the owner's key."""
        return dsse.key_id(bytes.fromhex(self.owner_key))


class PolicyDocument(Record, frozen=True, kw_only=True):
    """All that was agreed on for one session. The manifest names the SHA-256 of its canonical JSON."""

    frame_rate: Annotated[int, msgspec.Meta(ge=1, le=120)]
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_INTEGER)]
    """The recording ends when it would grow beyond this."""
    quality: Quality
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=365)]
    """For how long after its end the recording is kept."""
    trust: str | msgspec.UnsetType = msgspec.UNSET
    """The trust policy's envelope, exactly as its owner signed it; left out where the session has none."""


class SessionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy document once it was read, with its trust policy opened."""

    frame_rate: int
    max_bytes: int
    quality: str
    retention_days: int
    trust_policy: TrustPolicy | None
    allowed: tuple[str, ...]
    """The channels that the trust policy has on; none without one."""
    words: str
    """What was allowed, for people."""


def sign(policy: TrustPolicy, key: Ed25519PrivateKey) -> bytes:
    """Return the canonical JSON of the policy's envelope, signed by `key`.

    Raise SignatureError unless it is the key that the policy names.
    """
    if key.public_key().public_bytes_raw().hex() != policy.owner_key:
        raise SignatureError("owner_key: the policy names another key than the one that is to sign it")
    return statements.sign(policy, key)


def verify(envelope: bytes) -> TrustPolicy:
    """Return the trust policy in an envelope if the owner that it names signed it.

    Raise FormatError or SignatureError otherwise. Whether that key is the owner's is for the caller to know.
    """
    opened = dsse.parse(envelope)
    statements.require_type(opened, TrustPolicy)
    claimed = statements.read(opened, TrustPolicy)
    return statements.verify(opened, TrustPolicy, bytes.fromhex(claimed.owner_key))


def digest(policy: TrustPolicy) -> str:
    """Return the hash that names a trust policy: SHA-256, in hex, of its canonical JSON."""
    return hashlib.sha256(canonical.encode(policy)).hexdigest()


def allowed(policy: TrustPolicy) -> tuple[str, ...]:
    """Return the channels that are on, each as `group.channel`; all others are off."""
    return tuple(
        f"{group}.{channel}"
        for group in policy.__struct_fields__
        if isinstance(channels := getattr(policy, group), Channels)
        for channel in channels.__struct_fields__
        if getattr(channels, channel)
    )


def recorded(policy: TrustPolicy) -> tuple[str, ...]:
    """Return what is recorded beside the picture, some of `EVENTS`."""
    return tuple(name for name in policy.record.__struct_fields__ if getattr(policy.record, name))


def words(policy: TrustPolicy) -> str:
    """Return what the policy allows, for people, and what it has recorded beside the picture."""
    named = ", ".join(CHANNELS[channel] for channel in allowed(policy))
    beside = " and ".join(EVENTS[name] for name in recorded(policy))
    said = f"{policy.name!r} allows {f'{named}; nothing else' if named else 'nothing'}"
    return f"{said}; recorded beside the picture: {beside}" if beside else said


def read(document: bytes) -> SessionPolicy:
    """Return what a policy document in canonical form says, if its trust policy is signed by its owner.

    Raise FormatError or SignatureError otherwise.
    """
    found = canonical.decode(document, PolicyDocument, field="policy document", limit=DOCUMENT_LIMIT)
    trust = None if found.trust is msgspec.UNSET else verify(found.trust.encode())
    return SessionPolicy(
        frame_rate=found.frame_rate,
        max_bytes=found.max_bytes,
        quality=found.quality,
        retention_days=found.retention_days,
        trust_policy=trust,
        allowed=allowed(trust) if trust else (),
        words=words(trust) if trust else "no trust policy",
    )
