"""The state machines of sessions, chunks and pipelines. A transition that is not listed does not exist."""

from collections.abc import Mapping
from dataclasses import dataclass


class TransitionError(Exception):
    """The machine has no such transition; the message names the ones it has."""


@dataclass(frozen=True)
class Machine:
    """States and the transitions between them. `always` may be entered from every state but itself."""

    name: str
    first: str
    transitions: Mapping[str, frozenset[str]]
    always: frozenset[str]

    def targets(self, state: str) -> frozenset[str]:
        """The states that may follow `state`."""
        return (self.transitions[state] | self.always) - {state}

    def sources(self, target: str) -> frozenset[str]:
        """The states that `target` may follow."""
        return frozenset(state for state in self.transitions if target in self.targets(state))

    def beyond(self, state: str) -> frozenset[str]:
        """`state` and all that can follow it by the listed transitions, in any number of steps."""
        found = {state}
        while new := {t for s in found for t in self.transitions[s]} - found:
            found |= new
        return frozenset(found)

    def check(self, state: str, target: str) -> None:
        """Raises TransitionError unless `target` may follow `state`."""
        if target not in self.targets(state):
            allowed = ", ".join(sorted(self.targets(state))) or "nothing"
            raise TransitionError(f"a {self.name} that is {state} cannot become {target}, only {allowed}")


SESSION = Machine(
    "session",
    first="created",
    transitions={
        "created": frozenset({"starting"}),
        "starting": frozenset({"recording"}),
        "recording": frozenset({"paused", "stopped"}),
        "paused": frozenset({"recording", "stopped"}),
        "stopped": frozenset({"processing"}),
        "processing": frozenset({"completed"}),
        "completed": frozenset(),
        "failed": frozenset(),
        "deleted": frozenset(),
    },
    always=frozenset({"failed", "deleted"}),
)
"""created → starting → recording ⇄ paused → stopped → processing → completed; failed, deleted from any."""

CHUNK = Machine(
    "chunk",
    first="recorded",
    transitions={
        "recorded": frozenset({"processing"}),
        "processing": frozenset({"sealed", "recorded"}),
        "sealed": frozenset({"stored"}),
        "stored": frozenset({"anchored"}),
        "anchored": frozenset(),
        "failed": frozenset(),
    },
    always=frozenset({"failed"}),
)
"""recorded → processing → sealed → stored → anchored; back to recorded when sending failed."""

PIPELINE = Machine(
    "pipeline",
    first="inactive",
    transitions={
        "inactive": frozenset({"active"}),
        "active": frozenset({"paused"}),
        "paused": frozenset({"active"}),
        "error": frozenset({"active"}),
        "stopped": frozenset(),
    },
    always=frozenset({"error", "stopped"}),
)
