"""Every pair of states is either a listed transition or refused."""

import itertools

import pytest

from lucid.sessions.states import CHUNK, PIPELINE, SESSION, Machine, TransitionError

LISTED = {
    "session": {
        ("created", "starting"),
        ("starting", "recording"),
        ("recording", "paused"),
        ("paused", "recording"),
        ("recording", "stopped"),
        ("paused", "stopped"),
        ("stopped", "processing"),
        ("processing", "completed"),
    },
    "chunk": {
        ("recorded", "processing"),
        ("processing", "recorded"),
        ("processing", "sealed"),
        ("sealed", "stored"),
        ("stored", "anchored"),
    },
    "pipeline": {("inactive", "active"), ("active", "paused"), ("paused", "active"), ("error", "active")},
}
FROM_ANY = {"session": {"failed", "deleted"}, "chunk": {"failed"}, "pipeline": {"error", "stopped"}}

PAIRS = [
    pytest.param(machine, source, target, id=f"{machine.name}: {source} to {target}")
    for machine in (SESSION, CHUNK, PIPELINE)
    for source, target in itertools.product(machine.transitions, repeat=2)
]


@pytest.mark.parametrize(("machine", "source", "target"), PAIRS)
def test_a_transition_is_allowed_exactly_when_it_is_listed(
    machine: Machine, source: str, target: str
) -> None:
    from_any = target in FROM_ANY[machine.name] and source != target
    allowed = (source, target) in LISTED[machine.name] or from_any
    assert (source in machine.sources(target)) == allowed
    if allowed:
        machine.check(source, target)
    else:
        with pytest.raises(TransitionError, match=f"{machine.name} that is {source} cannot become {target}"):
            machine.check(source, target)
