"""A new Redis host follows the master of the latest failover, whatever the order of the inventory."""

from roles.redis.filter_plugins.lucid_sentinel import sentinel_master

BEFORE = """
sentinel myid 1e37ea91200723c3ce733ae0198b2337c91838be
sentinel monitor lucid 10.0.0.1 6379 2
sentinel config-epoch lucid 9
sentinel current-epoch 12
"""
AFTER = BEFORE.replace("10.0.0.1", "10.0.0.2").replace("lucid 9", "lucid 10")
FIRST_START = "sentinel monitor lucid 10.0.0.3 6379 2\n"


def test_the_latest_failover_counts() -> None:
    assert sentinel_master([BEFORE, AFTER, FIRST_START], "lucid") == {"address": "10.0.0.2", "port": 6379}


def test_a_file_that_sentinel_has_not_yet_rewritten_counts_least() -> None:
    assert sentinel_master([FIRST_START, BEFORE], "lucid") == {"address": "10.0.0.1", "port": 6379}


def test_nobody_knows_a_master_before_the_first_start() -> None:
    assert sentinel_master([], "lucid") == {}
    assert sentinel_master([AFTER], "lucid2") == {}
