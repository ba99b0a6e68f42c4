"""The forger's workbench: what every forgery is made of, and how it is put before the auditor.

A forgery is made from a good bundle, with as much skill as its name allows: whatever is not the defect itself
is right, up to signatures by keys that the forger is supposed to hold. So a refusal is due to the defect.
"""

import io
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lucid.evidence import archive, block, log, merkle, trust
from lucid.evidence.steps import Outcome, Report
from lucid.evidence.verify import verify
from tests.evidence.verifying import CLEAN
from tests.evidence.world import World

Members = list[tuple[str, bytes]]
TRUST_FILE = trust.encode(CLEAN.trust_file)


@dataclass(frozen=True)
class Evidence:
    """What an auditor has in hand."""

    bundle: bytes
    trust_file: bytes | None = TRUST_FILE
    against: bytes | None = None
    newer_than_ms: int | None = None

    def verify(self) -> Report:
        known = trust.parse(self.trust_file) if self.trust_file else None
        return verify(io.BytesIO(self.bundle), known, against=self.against, newer_than_ms=self.newer_than_ms)


@dataclass(frozen=True)
class Forgery:
    """One line of the catalogue."""

    name: str
    """The defect."""
    why: str
    """What the forger would gain, or why it must not pass."""
    make: Callable[[], Evidence]
    step: str | None
    """The step that refuses it; None if none can without a trust file."""
    detail: str = ""
    """Regular expression for that step's detail: it was refused for this defect and no other."""
    outcome: Outcome = Outcome.REFUSED


Row = tuple[str, str, Callable[[], Evidence], str, str]
"""A forgery as tables list it: name, why, make, step, detail. Tables are kept in rows by `fmt: skip`."""


def clean(**changes: Any) -> Evidence:
    """The good bundle with other parts (see `World.bundle`)."""
    return Evidence(CLEAN.bundle(**changes))


def of_world(**options: Any) -> Evidence:
    """The bundle of a world that deviates, with that world's own trust file."""
    return of(World(**options))


def of(world: World) -> Evidence:
    return Evidence(world.bundle(), trust.encode(world.trust_file))


def members_of(bundle: bytes) -> Members:
    """The bundle's members, as any tar program reads them."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(bundle), mode="r:") as tar:
        for info in tar:
            data = tar.extractfile(info)
            assert data is not None
            found.append((info.name, data.read()))
    return found


def packed(name: str, data: bytes) -> bytes:
    """A member with the header and padding that the format demands."""
    return archive.member_header(name, len(data)) + data + archive.padding(len(data))


def archive_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    return b"".join(packed(name, data) for name, data in members) + archive.END


def with_member(bundle: bytes, name: str, data: bytes) -> bytes:
    """The bundle with other bytes in one member."""
    return archive_of((found, data if found == name else old) for found, old in members_of(bundle))


def with_line(bundle: bytes, name: str, number: int, line: bytes) -> bytes:
    """The bundle with another line, counted from 0, in one of its `.jsonl` members."""
    lines = dict(members_of(bundle))[name].splitlines(keepends=True)
    lines[number] = line + b"\n"
    return with_member(bundle, name, b"".join(lines))


def relogged(world: World) -> World:
    """Make the log again from `world.entries`, changed since: tree, header, cosignatures and proofs."""
    world.tree = merkle.Tree(log.entry_hash(entry) for entry in world.entries)
    world.genesis = block.genesis_header(world.entries[0])
    world.header = world._header(len(world.entries))
    world.parts = world._parts()
    return world
