"""Which host gets the next desktop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.rdp.placement import MIB, Candidate, Figures, Need, NoRoomError, choose, obstacle

NEED = Need(memory_bytes=512 * MIB, disk_bytes=2048 * MIB)


def host(name: str, **more: object) -> Candidate:
    values: dict[str, object] = {
        "answers": True, "draining": False, "sessions": 0, "starting": 0,
        "figures": figures(),
    }  # fmt: skip
    return Candidate(name=name, **{**values, **more})  # type: ignore[arg-type]  # any field may be given


def figures(cores: int = 2, busy: float = 0.1, memory: int = 4096, disk: int = 10_240) -> Figures:
    return Figures(cores=cores, cpu_busy=busy, memory_free_bytes=memory * MIB, disk_free_bytes=disk * MIB)


class TestTheHost:
    def test_with_the_fewest_desktops_for_its_cores_is_chosen(self) -> None:
        assert choose([host("a", sessions=2), host("b", sessions=1)], NEED) == "b"
        large = host("a", sessions=5, figures=figures(cores=8))
        assert choose([large, host("b", sessions=2)], NEED) == "a"

    def test_that_is_less_busy_decides_between_equals_and_then_the_name(self) -> None:
        assert choose([host("a", figures=figures(busy=0.5)), host("b")], NEED) == "b"
        assert choose([host("b"), host("a")], NEED) == "a"

    def test_whose_processors_are_all_busy_comes_last_but_before_none(self) -> None:
        busy = host("a", figures=figures(busy=0.95))
        assert choose([busy, host("b", sessions=7)], NEED) == "b"
        assert choose([busy], NEED) == "a"

    @pytest.mark.parametrize(
        ("more", "why"),
        [
            ({"answers": False}, "does not answer"),
            ({"draining": True}, "is draining"),
            ({"figures": None}, "does not say how busy it is"),
            ({"figures": figures(memory=511)}, "511 MiB of memory to spare, less than 512"),
            ({"figures": figures(memory=1535), "starting": 2}, "511 MiB of memory"),
            ({"figures": figures(disk=2047)}, "2047 MiB of disk to spare, less than 2048"),
        ],
    )
    def test_that_cannot_take_one_says_why(self, more: dict[str, object], why: str) -> None:
        assert why in (obstacle(host("a", **more), NEED) or "")
        with pytest.raises(NoRoomError, match=why):
            choose([host("a", **more)], NEED)
        assert choose([host("a", **more), host("b", sessions=50)], NEED) == "b"

    def test_must_be_there(self) -> None:
        with pytest.raises(NoRoomError, match="no hosts"):
            choose([], NEED)


@given(st.lists(st.tuples(st.integers(1, 16), st.floats(0, 0.8)), min_size=1, max_size=5), st.integers(1, 60))
def test_desktops_spread_by_cores(hosts: list[tuple[int, float]], desktops: int) -> None:
    """After any number of choices no host has more for each core than another would have with one more."""
    counts = dict.fromkeys(range(len(hosts)), 0)
    for _ in range(desktops):
        chosen = choose(
            [
                host(str(i), sessions=counts[i], figures=figures(cores=cores, busy=busy))
                for i, (cores, busy) in enumerate(hosts)
            ],
            NEED,
        )
        counts[int(chosen)] += 1
    loads = [counts[i] / cores for i, (cores, _) in enumerate(hosts)]
    assert all(
        load <= (counts[i] + 1) / cores + 1 / min(c for c, _ in hosts)
        for load in loads
        for i, (cores, _) in enumerate(hosts)
    )
