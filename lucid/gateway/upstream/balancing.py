"""Which of a service's replicas gets the next request: the one with the fewest running. Pure.

One that failed several times in a row gets none for a while. If that holds for all of them, they are used all
the same: the service's breaker decides when to stop asking.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EjectionRule:
    """`failures` in a row put a replica out for `seconds`."""

    failures: int = 3
    seconds: float = 30.0


@dataclass(slots=True, eq=False)
class Replica:
    """One address of a service, and how it has been doing."""

    host: str
    port: int
    tls: bool
    running: int = 0
    failures: int = 0
    out_until: float = 0.0

    @property
    def authority(self) -> str:
        """Host and port as in a Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def out_seconds(self, now: float) -> float:
        """For how long it gets no requests any more; 0 while it does."""
        return max(0.0, self.out_until - now)


class Balancer:
    """The replicas of one service; `now` is monotonic, in seconds."""

    def __init__(self, replicas: Iterable[Replica], rule: EjectionRule) -> None:
        self.replicas = list(replicas)
        self._rule = rule

    def pick(self, now: float, avoid: Iterable[Replica] = ()) -> Replica:
        """The replica to ask, rather none that is out or to be avoided. Equals take turns."""
        if len(self.replicas) == 1:
            return self.replicas[0]
        avoided = set(avoid)
        best = min(self.replicas, key=lambda r: (r.out_until > now, r in avoided, r.running))
        self.replicas.remove(best)
        self.replicas.append(best)
        return best

    def succeeded(self, replica: Replica) -> None:
        """It answered."""
        replica.failures = 0
        replica.out_until = 0.0

    def failed(self, replica: Replica, now: float) -> bool:
        """It did not. Returns whether that put it out."""
        replica.failures += 1
        if replica.failures < self._rule.failures:
            return False
        replica.failures = 0
        replica.out_until = now + self._rule.seconds
        return True
