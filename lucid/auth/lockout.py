"""Lockout: after five failures within fifteen minutes nobody gets another try for fifteen minutes.

Failures are counted for the account that is tried, be there one or not, and for the address that tries. An
attempt counts from its beginning, so that no more than five can be under way at once, however fast they come.
"""

from lucid.auth.opaque import digest

FAILURES = 5
SECONDS = 15 * 60
"""How long failures count after the last of them, and so how long a lock lasts."""
BUSY_SECONDS = 1
"""When to come again where attempts still under way leave no room."""


def account_key(name: str) -> str:
    """The counter of an account, by mail address or wallet. Hashed: people type passwords there, too."""
    return "account:" + digest(name)


def client_key(client: str) -> str:
    """The counter of an address or onion circuit."""
    return "client:" + digest(client)
