"""A token bucket in one process, for times when nobody else can be asked. Pure rule."""

from lucid.gateway.limits.tiers import Tier


class Bucket:
    """One key's bucket. Times are monotonic seconds."""

    __slots__ = ("_at", "tokens")

    def __init__(self, tier: Tier, now: float) -> None:
        self.tokens = float(tier.capacity)
        self._at = now

    def take(self, tier: Tier, cost: int, now: float) -> bool:
        """Takes `cost` tokens if they are there (or the tier lets them be owed); a refusal takes none."""
        self.tokens = min(tier.capacity, self.tokens + max(0.0, now - self._at) * tier.rate)
        self._at = now
        if self.tokens - cost < tier.floor:
            return False
        self.tokens -= cost
        return True

    def full(self, tier: Tier, now: float) -> bool:
        """Whether a new bucket would be the same."""
        return self.tokens + max(0.0, now - self._at) * tier.rate >= tier.capacity
