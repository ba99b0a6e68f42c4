"""Randomness that can be repeated: LUCID_SEED=n makes a run choose as the one that printed n."""

import os
import random
import secrets


def seeded(name: str) -> random.Random:
    """A generator for the test `name`; its seed is printed, and pytest shows that when the test fails."""
    seed = int(os.environ.get("LUCID_SEED") or secrets.randbelow(2**32))
    print(f"{name}: LUCID_SEED={seed} repeats this run's choices")  # noqa: T201 - the tester must see it
    return random.Random(f"{name} {seed}")  # noqa: S311 - chooses moments and victims, guards nothing
