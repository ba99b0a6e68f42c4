"""Mutants of everything that the verifiers read: they agree on each, and neither crashes or hangs.

Seeded and replayable as `tests.forgeries.fuzzing` says.
"""

from random import Random

import pytest

from tests.evidence.verifying import LOST
from tests.evidence.world import COSIGNED_S, World
from tests.forgeries.forging import members_of
from tests.forgeries.fuzzing import SECONDS, fuzz, has_seen_enough
from tests.forgeries.mutations import mutated_bundle, mutated_bytes, mutated_json, mutated_note
from tests.verifier.both import Verdict, both, trust_of
from tests.verifier.forging import forged

pytestmark = pytest.mark.timeout(SECONDS + 60)

WORLDS = (
    World(chunks=2, sound_chunks=1, anchored=(0, 2)),
    World(chunks=1, sound_chunks=0, validators=1, witnesses=0, anchored=(0, 1), trusting=False),
    World(chunks=3, sound_chunks=0, anchored=(0, 0, 3)),
    World(**LOST, chunks=2, anchored=(0, 2)),
    World(chunks=0, sound_chunks=0, anchored=(0,)),
)
BUNDLES = [world.bundle() for world in WORLDS]
MEMBERS = [members_of(data) for data in BUNDLES]
TRUST_FILES = [trust_of(world) for world in WORLDS]


def described(verdict: Verdict) -> str:
    return verdict.step[1] if verdict.step else str(verdict.exit_code)


def test_they_agree_on_damaged_files() -> None:
    def case(rng: Random) -> str:
        number, donor = rng.randrange(len(WORLDS)), rng.randrange(len(WORLDS))
        mutant = mutated_bundle(rng, MEMBERS[number], MEMBERS[donor])
        return described(both(mutant, TRUST_FILES[number] if rng.random() < 0.8 else None))

    assert has_seen_enough(fuzz(case), kinds=7)


def test_they_agree_on_what_is_wrong_beneath_honest_signatures() -> None:
    def case(rng: Random) -> str:
        number = rng.randrange(len(WORLDS))
        mutant = forged(rng, WORLDS[number])
        return described(both(mutant, TRUST_FILES[number] if rng.random() < 0.8 else None))

    assert has_seen_enough(fuzz(case), kinds=6)


def test_they_agree_on_what_the_auditor_hands_in() -> None:
    def case(rng: Random) -> str:
        number = rng.randrange(len(WORLDS))
        trust: bytes | None = TRUST_FILES[number]
        note, newer_than_ms = (
            WORLDS[number].note,
            rng.choice([None, COSIGNED_S * 1000, COSIGNED_S * 1000 + 1]),
        )
        if rng.random() < 0.5:
            trust = rng.choice([mutated_json, mutated_bytes])(rng, TRUST_FILES[number])
        else:
            note = mutated_note(rng, note)
            trust = trust if rng.random() < 0.7 else None
        return described(both(BUNDLES[number], trust, against=note, newer_than_ms=newer_than_ms))

    assert has_seen_enough(fuzz(case), kinds=4)
