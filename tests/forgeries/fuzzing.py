"""The fuzzers' engine: seeded, replayable, bounded in time.

    LUCID_FUZZ_SECONDS   how long each fuzzer runs (default 1.5)
    LUCID_FUZZ_SEED      the seed of an earlier run, or SEED/NUMBER for a single case of it

The seed is printed, and every failure names the case to be replayed.
"""

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count
from random import Random

SECONDS = float(os.environ.get("LUCID_FUZZ_SECONDS", "1.5"))
SEED, _, _ONLY = (os.environ.get("LUCID_FUZZ_SEED") or secrets.token_hex(4)).partition("/")
CASE_LIMIT_S = 5.0
"""Processor time that one case may take; what takes longer is as good as a hang."""


def fuzz(case: Callable[[Random], str]) -> Counter[str]:
    """Run a case again and again, each time with the next random generator; count what became of them."""
    print(f"LUCID_FUZZ_SEED={SEED}")  # noqa: T201 - shown by pytest if the test fails, or with -s
    outcomes: Counter[str] = Counter()
    deadline = time.monotonic() + SECONDS
    numbers: Iterable[int] = [int(_ONLY)] if _ONLY else count()
    for number in numbers:
        if time.monotonic() > deadline:
            break
        started = time.thread_time()
        try:
            outcomes[case(Random(f"{SEED}/{number}"))] += 1  # noqa: S311 - to be replayed, not to be secret
            assert time.thread_time() - started < CASE_LIMIT_S
        except BaseException as error:
            error.add_note(f"To replay this case: LUCID_FUZZ_SEED={SEED}/{number}")
            raise
    return outcomes


def has_seen_enough(outcomes: Counter[str], kinds: int) -> bool:
    """Whether the run was long enough, and reached this many kinds of outcome; always true of a replay."""
    return bool(_ONLY) or outcomes.total() < 500 or len(outcomes) >= kinds
