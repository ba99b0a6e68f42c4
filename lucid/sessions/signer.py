"""A signing key of the session cluster, and its way into the log: nothing it signs counts before that."""

import asyncio
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.contracts import session_anchoring as anchoring
from lucid.evidence import dsse, statements
from lucid.evidence import log as evidence_log
from lucid.evidence.registration import Registration, Role
from lucid.evidence.statements import Statement
from lucid.kit.client import ServiceClient
from lucid.kit.durable import write_durably
from lucid.kit.errors import Code, LucidError, Unavailable
from lucid.kit.logs import log
from lucid.kit.settings import Secret, SettingsError

POLL_SECONDS = 0.5


class Signer:
    """An Ed25519 key with a role. `directory` keeps the signed registration, so that it is made only once."""

    def __init__(self, seed: Secret, role: Role, host: str, directory: Path) -> None:
        """`seed` holds 32 bytes as 64 hex digits. Raises SettingsError."""
        try:
            self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed.text()))
        except ValueError:
            raise SettingsError(
                f"credential for the {role}'s key: 64 hex digits (32 bytes) are needed"
            ) from None
        self.role: Role = role
        self.host = host
        self.public_key = self._key.public_key().public_bytes_raw()
        self.key_id = dsse.key_id(self.public_key)
        self.registered = False
        self._file = directory / f"registration-{self.key_id[:16]}.json"

    def sign(self, statement: Statement) -> bytes:
        """The statement's DSSE envelope, canonical JSON."""
        return statements.sign(statement, self._key)

    async def register(self, client: ServiceClient) -> None:
        """Returns once the key's registration is in a final block. Raises LucidError where it is refused."""
        envelope = await asyncio.to_thread(self._registration)
        entry = await submit(client, envelope)
        while entry.state == "pending":
            await asyncio.sleep(POLL_SECONDS)
            entry = await client.call(anchoring.STATUS, anchoring.AnchorPath(entry.entry))
        if entry.state == "refused":
            raise LucidError(f"the chain refuses the {self.role}'s key: {entry.reason}")
        self.registered = True
        log.info("key registered", role=self.role, key_id=self.key_id, index=entry.index)

    async def check(self) -> None:
        """Health check: raises while the key is not registered."""
        if not self.registered:
            raise Unavailable(f"the {self.role}'s key is not registered in the log yet")

    def _registration(self) -> bytes:
        if self._file.exists():
            return self._file.read_bytes()
        now_ms = time.time_ns() // 1_000_000
        registration = Registration(
            role=self.role, public_key=self.public_key.hex(), host=self.host, time_ms=now_ms
        )
        envelope = self.sign(registration)
        write_durably(self._file, [envelope])
        return envelope


def entry_name(envelope: bytes) -> str:
    """The leaf hash in hex under which the log knows an envelope."""
    return evidence_log.entry_hash(envelope).hex()


async def submit(client: ServiceClient, envelope: bytes) -> anchoring.Anchor:
    """Hands an envelope to session-anchoring; on return it is stored there durably. May be repeated."""
    anchor = await client.call(
        anchoring.SUBMIT, anchoring.SUBMIT.params(), anchoring.Submit(envelope.decode())
    )
    if anchor.entry != entry_name(envelope):
        raise Unavailable("session-anchoring answered for another entry", code=Code.EXTERNAL)
    return anchor
