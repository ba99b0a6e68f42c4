"""Files of control groups and of /proc: captured ones, this machine's own, and any text at all."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid.rdp import cgroup_files, proc_files, slots
from tests.rdp import captured

V1, V2 = captured.V1, captured.V2
PARSERS: dict[Callable[[str], object], str] = {
    cgroup_files.number: V2["memory.current"],
    cgroup_files.limit: V2["memory.max"],
    cgroup_files.fields: V2["cpu.stat"],
    cgroup_files.cores: V2["cpu.max"],
    cgroup_files.transferred: V2["io.stat"],
    cgroup_files.transferred_v1: V1["blkio"]["blkio.throttle.io_service_bytes_recursive"],
    cgroup_files.processes: "1\n23\n",
    cgroup_files.own_paths: captured.OWN_V1,
    proc_files.processors: captured.STAT,
    proc_files.memory: captured.MEMINFO,
    proc_files.load: captured.LOADAVG,
    proc_files.network: captured.NET_DEV,
}


class TestFilesOfControlGroups:
    def test_of_limits_say_where_there_is_none(self) -> None:
        assert [cgroup_files.limit(text) for text in ("512\n", "max\n", "9223372036854771712\n")] == [
            512,
            None,
            None,
        ]

    def test_of_quotas_come_to_cores(self) -> None:
        assert cgroup_files.cores("75000 100000\n") == 0.75
        assert cgroup_files.cores("max 100000\n") is None
        assert cgroup_files.cores_v1("250000\n", "100000\n") == 2.5
        assert cgroup_files.cores_v1("-1\n", "100000\n") is None

    def test_of_disks_are_added_up_without_what_was_discarded(self) -> None:
        assert cgroup_files.transferred(V2["io.stat"]) == (1024001, 4098)
        found = cgroup_files.transferred_v1(V1["blkio"]["blkio.throttle.io_service_bytes_recursive"])
        assert found == (8388608, 12599296)

    def test_of_disks_that_nothing_was_counted_for_do_not_say_none(self) -> None:
        assert cgroup_files.transferred_v1("Total 0\n") is None
        assert cgroup_files.transferred("") == (0, 0)

    def test_say_where_a_process_is_in_each_hierarchy(self) -> None:
        paths = cgroup_files.own_paths("3:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/\n")
        assert paths == {"cpu": "/a", "cpuacct": "/a", "systemd": "/b:c", "": "/"}


class TestFilesOfProc:
    def test_tell_time_that_is_busy_from_time_that_is_not(self) -> None:
        found = proc_files.processors(captured.STAT)
        assert (found.cores, found.total - found.busy) == (2, 134934 + 1245)
        assert found.total == 31760 + 12 + 8118 + 134934 + 1245 + 3 + 329 + 88

    def test_tell_memory_load_and_network(self) -> None:
        memory = proc_files.memory(captured.MEMINFO)
        assert (memory.total, memory.available) == (24684084 * 1024, 23868336 * 1024)
        assert proc_files.load(captured.LOADAVG) == (1.52, 1.02, 0.48)
        assert proc_files.network(captured.NET_DEV) == (1101597257 + 10, 1598411 + 20)

    def test_of_this_machine_are_understood(self) -> None:
        proc = Path("/proc")
        found = proc_files.processors((proc / "stat").read_text())
        assert found.cores >= 1
        assert 0 < found.busy <= found.total
        memory = proc_files.memory((proc / "meminfo").read_text())
        assert 0 < memory.available <= memory.total
        assert min(proc_files.load((proc / "loadavg").read_text())) >= 0
        assert min(proc_files.network((proc / "self/net/dev").read_text())) >= 0
        assert cgroup_files.own_paths((proc / "self/cgroup").read_text())


class TestAnyText:
    @pytest.mark.parametrize("parse", PARSERS)
    def test_that_was_captured_is_understood(self, parse: Callable[[str], object]) -> None:
        assert parse(PARSERS[parse]) is not None

    @pytest.mark.parametrize("parse", PARSERS)
    @settings(max_examples=30, deadline=None)
    @given(data=st.data())
    def test_is_understood_or_refused(self, parse: Callable[[str], object], data: st.DataObject) -> None:
        good = PARSERS[parse]
        at = data.draw(st.integers(0, len(good)))
        to = data.draw(st.integers(at, len(good)))
        junk = data.draw(st.text(alphabet=st.sampled_from("0123456789 \n:=-.maxQé\0/"), max_size=20))
        for text in (good[:at] + junk + good[to:], junk, good[:at]):
            with suppress(ValueError):
                parse(text)

    @pytest.mark.parametrize("text", ["", "-1", "1 2", "0x10", "1e3", "１２", "max\nmax"])
    def test_that_is_no_number_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="number"):
            cgroup_files.limit(text)


@pytest.mark.parametrize(
    ("name", "port"),
    [
        ("lucid-rdp-13389.slice", 13389),
        ("lucid-rdp-14389.slice", 14389),
        ("lucid-rdp-14390.slice", None),
        ("lucid-rdp-013389.slice", None),
        ("lucid-rdp-13389.slice.d", None),
        ("lucid-rdp.slice", None),
        ("lucid-resource-monitor.service", None),
    ],
)
def test_slots_are_known_by_their_slices_alone(name: str, port: int | None) -> None:
    assert slots.port_of(name) == port
    assert port is None or slots.slice_of(port) == name
