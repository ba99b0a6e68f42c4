"""Memory of process groups."""

import os

from lucid.dev import memory


def test_counts_this_process_in_its_group() -> None:
    used = memory.by_group()[os.getpgrp()]
    assert used > 5 * 1024 * 1024
