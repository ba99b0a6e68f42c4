"""The log: one append-only RFC 9162 tree for everything that is anchored.

An entry is the canonical JSON of one DSSE envelope, byte for byte; entry 0 is the signed genesis. Entries are
never removed or changed; each block's header commits to the log's size and root.
"""

from lucid.evidence import canonical, dsse, merkle


def entry_bytes(envelope: dsse.Envelope) -> bytes:
    """Return the log entry that an envelope is."""
    return canonical.encode(envelope)


def parse_entry(entry: bytes) -> dsse.Envelope:
    """Return the envelope in a log entry, unverified; raise FormatError if the entry is not canonical."""
    return dsse.parse(entry)


def entry_hash(entry: bytes) -> bytes:
    """Return the entry's leaf hash in the log: SHA-256(0x00 || entry)."""
    return merkle.leaf_hash(entry)
