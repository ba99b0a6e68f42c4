"""An account, as it is kept."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from bson.codec_options import CodecOptions

from lucid.kit.mongo import CODEC_OPTIONS, Document

AWARE: CodecOptions[Document] = CODEC_OPTIONS.with_options(tz_aware=True, tzinfo=UTC)
"""How documents are read here: moments know that they are UTC."""


class SecondFactor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an account's second factor is checked against."""

    seed: bytes | None = None
    """Sealed (`lucid.auth.seeds`); None while there is no second factor."""
    pending: bytes | None = None
    """A sealed seed of which no code has been seen yet."""
    step: int = 0
    """The last step whose code was taken: none up to it is taken again."""
    recovery: tuple[str, ...] = ()
    """Digests of the recovery codes that are left."""

    def __repr__(self) -> str:
        return f"SecondFactor(active={self.seed is not None})"


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document of `lucid.users`."""

    id: str = msgspec.field(name="_id")
    email: str
    """In lower case."""
    role: str
    password: str
    """Argon2id hash, PHC string format."""
    created: datetime
    """UTC, to the millisecond."""
    suspended: bool = False
    wallet: str | None = None
    """The TRON address that may log in, too."""
    mfa: SecondFactor = SecondFactor()

    def __repr__(self) -> str:
        return f"Account(id={self.id!r}, role={self.role!r})"


def to_document(account: Account) -> Document:
    """The account as MongoDB keeps it; what is not set is left out."""
    document: Document = msgspec.to_builtins(account, builtin_types=(datetime, bytes))
    return document


def from_document(document: Mapping[str, Any] | None) -> Account | None:
    """The account of a document, None for None."""
    return None if document is None else msgspec.convert(document, Account)
