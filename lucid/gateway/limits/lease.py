"""What one worker holds of one bucket: tokens taken from the shared one in advance, for a second. Pure rules.

A lease is as large as what the worker has lately used in a fifth of a second; the shared bucket cuts it
down to a sixteenth of what is left. So busy keys cost few round trips, and the last tokens go one by one to
whoever asks.
"""

import msgspec

from lucid.gateway.limits.bucket import Bucket
from lucid.gateway.limits.tiers import Tier

LEASE_SECONDS = 1.0
"""How long tokens may be held. The shared bucket counts on it: see `lucid.gateway.limits.script`."""
AHEAD_SECONDS = 0.2
"""A lease is to last about this long."""
REFUSED_SECONDS = 0.1
"""A refusal is remembered for so long at most: tokens that others give back can be had by then."""
_SHORTEST = 0.01


class Ask(msgspec.Struct, frozen=True):
    """What a shared bucket is asked and told."""

    tier: Tier
    key: str
    need: int
    """Tokens that are used at once."""
    more: int = 0
    """Tokens beyond these that would be welcome."""
    back: int = 0
    """Tokens that were taken and not used."""
    settled: int = 0
    """Tokens taken beyond need that are not in hand any more."""
    second: int = 0
    """When these were taken, as the bucket said then."""


class Answer(msgspec.Struct, frozen=True):
    """What a shared bucket says."""

    need: int
    granted: int
    left: float
    """Tokens in it; a debt is negative."""
    second: int


class Lease:
    """The worker's state of one key. Times are monotonic seconds."""

    __slots__ = (
        "_beyond", "_second", "_since", "_used", "back", "key", "left", "local", "refused_cost",
        "refused_until", "seen", "tier", "tokens", "until",
    )  # fmt: skip

    def __init__(self, tier: Tier, key: str, now: float) -> None:
        self.tier = tier
        self.key = key
        self.tokens = 0
        """In hand, to be used before `until`."""
        self.until = 0.0
        self.back = 0
        """To be given back."""
        self.left = float(tier.capacity)
        """In the shared bucket when it was last asked."""
        self.refused_until = 0.0
        self.refused_cost = 0
        self.local: Bucket | None = None
        """Stands in for the shared bucket while that cannot be asked."""
        self.seen = now
        self._since = now
        self._used = 0
        self._beyond = self._second = 0
        """Of the lease in hand: tokens beyond what was needed, and when they were taken."""

    def use(self, cost: int, now: float) -> bool:
        """Takes `cost` tokens from those in hand, if there are as many."""
        if self.tokens < cost or now >= self.until:
            return False
        self.tokens -= cost
        self._used += cost
        self.seen = now
        return True

    def refuses(self, cost: int, now: float) -> bool:
        """Whether it is known that the shared bucket would refuse as much."""
        return now < self.refused_until and cost >= self.refused_cost

    def wanted(self, now: float) -> int:
        """How many tokens the next lease should have."""
        demand = self._used / max(now - self._since, _SHORTEST)
        return int(demand * AHEAD_SECONDS)

    def ask(self, need: int, now: float) -> Ask:
        """The next question to the shared bucket. It ends the lease in hand and gives back its rest."""
        back, self.tokens, self.back = self.tokens + self.back, 0, 0
        self.left += back
        settled, self._beyond = self._beyond, 0
        return Ask(self.tier, self.key, need, self.wanted(now) if need else 0, back, settled, self._second)

    def receive(self, answer: Answer, asked: float, now: float) -> None:
        """Takes in the answer to what was asked at `asked`."""
        self.tokens = answer.granted
        self.until = asked + LEASE_SECONDS
        self.left = answer.left
        self._beyond, self._second = max(0, answer.granted - answer.need), answer.second
        self.seen = self._since = now
        self._used = 0

    def trim(self) -> None:
        """Gives back what was granted to be used at once and was not, since that is not counted as leased."""
        surplus = max(0, self.tokens - self._beyond)
        self.tokens -= surplus
        self.back += surplus

    def end(self) -> None:
        """Gives back all of it."""
        self.back += self.tokens
        self.tokens = 0

    def refuse(self, cost: int, now: float) -> None:
        """Remembers a refusal for as long as it surely holds."""
        if not self.refuses(cost, now):
            self.refused_cost = cost
        wait = self.tier.seconds_until(self.tier.floor + cost, self.left)
        self.refused_until = now + min(wait, REFUSED_SECONDS)

    @property
    def standing(self) -> float:
        """Tokens that are left, here and in the shared bucket when it was last asked."""
        return self.left + self.tokens + self.back

    def stand_in(self, now: float) -> Bucket:
        """The bucket that counts while the shared one cannot be asked: a full one at first."""
        if self.local is None:
            self.local = Bucket(self.tier, now)
        return self.local

    def overdue(self, now: float) -> bool:
        """Whether it holds something that it can no longer use."""
        return bool(self.back or (self.tokens and now >= self.until))

    def idle(self, now: float, seconds: float) -> bool:
        """Whether nobody has asked for it so long, and there is nothing in it that would be missed."""
        if self.tokens or self.back or now - self.seen <= seconds:
            return False
        return self.local is None or self.local.full(self.tier, now)
