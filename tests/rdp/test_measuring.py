"""Figures from readings, one after the other."""

import pytest

from lucid.contracts.resource_monitor import Session
from lucid.rdp.cgroups import Slot, Usage
from lucid.rdp.connections import Look
from lucid.rdp.inet_diag import Connection
from lucid.rdp.measuring import HostReading, Measured, Measuring, Reading
from lucid.rdp.proc_files import Memory, Processors

PORT = 13390
NOTHING = Look()


def reading(at: float, *slots: Slot, busy: int = 0, total: int = 0, look: Look | None = NOTHING) -> Reading:
    host = HostReading(
        processors=Processors(2, busy, total),
        memory=Memory(1000, 400),
        load=(0.1, 0.2, 0.3),
        disk_total=10,
        disk_free=5,
        received=7,
        sent=8,
    )
    return Reading(at=at, ms=int(at * 1000), host=host, slots=slots, connections=look)


def slot(identity: int = 1, port: int = PORT, **used: object) -> Slot:
    return Slot(port, (0, identity), Usage(**used))  # type: ignore[arg-type]  # each test's own figures


def only(measured: Measured) -> Session:
    (session,) = measured.sessions.sessions
    assert measured.session(session.port) == session
    return session


def test_shares_are_of_the_time_since_the_look_before() -> None:
    measuring = Measuring()
    first = measuring.enter(reading(10, slot(cpu_seconds=5.0), busy=100, total=1000))
    assert (first.host.cpu_share, first.host.interval_seconds, only(first).cpu_cores) == (None, None, None)
    second = measuring.enter(reading(14, slot(cpu_seconds=11.0), busy=300, total=1800))
    assert (second.host.cpu_share, second.host.interval_seconds) == (0.25, 4)
    assert only(second).cpu_cores == pytest.approx(1.5)
    assert (only(second).since_ms, only(second).measured_ms) == (10_000, 14_000)


def test_a_host_whose_clock_of_idle_time_went_back_is_not_busier_than_it_can_be() -> None:
    measuring = Measuring()
    measuring.enter(reading(1, busy=100, total=1000))
    assert measuring.enter(reading(2, busy=200, total=1050)).host.cpu_share == 1.0
    assert measuring.enter(reading(3, busy=200, total=1050)).host.cpu_share is None


def test_a_session_made_anew_begins_at_nothing() -> None:
    measuring = Measuring()
    open_now = (Connection(1, PORT, 500, 50), Connection(2, PORT, 100, 10))
    measuring.enter(reading(1, slot(1, cpu_seconds=90.0, oom_kills={"": 4}), look=Look(open_now)))
    look = Look((Connection(1, PORT, 900, 90), Connection(3, PORT, 7, 8)), (Connection(2, PORT, 101, 11),))
    session = only(measuring.enter(reading(2, slot(2, cpu_seconds=1.0, oom_kills={"": 0}), look=look)))
    assert (session.cpu_cores, session.oom_kills, session.since_ms) == (None, 0, 2000)
    assert (session.connections, session.received_bytes, session.sent_bytes) == (1, 7, 8)


def test_a_session_that_ended_is_gone_and_its_connections_are_not_the_next_one_s() -> None:
    measuring = Measuring()
    lingering = Look((Connection(1, PORT, 500, 50),))
    measuring.enter(reading(1, slot(1), look=lingering))
    gone = measuring.enter(reading(2, look=lingering))
    assert (gone.sessions.sessions, gone.session(PORT), gone.host.sessions) == ((), None, 0)
    session = only(measuring.enter(reading(3, slot(2), look=lingering)))
    assert (session.connections, session.received_bytes) == (0, 0)


def test_connections_are_those_at_the_session_s_own_port() -> None:
    look = Look((Connection(1, PORT, 5, 6), Connection(2, PORT + 1, 70, 80)))
    measured = Measuring().enter(reading(1, slot(1), slot(2, PORT + 1), look=look))
    assert [each.received_bytes for each in measured.sessions.sessions] == [5, 70]


def test_kills_in_groups_that_are_gone_stay_counted() -> None:
    measuring = Measuring()
    counts = [{"a 1": 0, "b 2": 2}, {"a 1": 1}, {"a 1": 1, "b 3": 1}, {}]
    kills = [
        only(measuring.enter(reading(at, slot(oom_kills=each)))).oom_kills for at, each in enumerate(counts)
    ]
    assert kills == [2, 3, 4, 4]


def test_what_the_host_does_not_count_is_not_told_as_nothing() -> None:
    session = only(Measuring().enter(reading(1, slot(), look=None)))
    told = (session.cpu_seconds, session.cpu_cores, session.memory_bytes, session.oom_kills)
    assert told == (None, None, None, None)
    assert (session.connections, session.received_bytes, session.sent_bytes) == (None, None, None)
