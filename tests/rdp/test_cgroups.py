"""What slots use: from captured files of both versions, and from real groups with real processes in them."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucid.rdp import slots
from lucid.rdp.cgroup_files import MICROSECONDS, NANOSECONDS
from lucid.rdp.cgroups import Cgroups, Usage
from tests.rdp import captured, groups

pytestmark = pytest.mark.quiet

PORT = 13390
UNIT = f"lucid-xrdp@{PORT}.service"
TOP = Path(*slots.PARENTS)


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """A host with version 2, and one session with two units."""
    group = tmp_path / TOP / slots.slice_of(PORT)
    groups.write(tmp_path, {"cgroup.controllers": "cpu io memory pids\n"})
    groups.write(tmp_path / TOP / "lucid-resource-monitor.service", captured.V2)
    groups.write(group, captured.V2)
    groups.write(group / UNIT, captured.V2 | {"cgroup.procs": "11\n"})
    groups.write(group / f"lucid-desktop@{PORT}.service", captured.V2 | {"cgroup.procs": "12\n13\n"})
    return tmp_path


@pytest.fixture
def real(tmp_path: Path) -> Iterator[groups.Real]:
    """Real groups of version 1."""
    if reason := groups.why_not():
        pytest.skip(reason)
    with groups.real(tmp_path) as made:
        yield made


def usage(root: Path, own: str = captured.OWN_V1) -> Usage:
    (slot,) = Cgroups(root, own).slots()
    assert slot.port == PORT
    return slot.usage


class TestVersion2:
    def test_counts_a_session_once_and_processes_in_all_its_units(self, v2: Path) -> None:
        assert usage(v2, captured.OWN_V2) == Usage(
            cpu_seconds=5120345 * MICROSECONDS,
            cpu_limit_cores=0.75,
            throttled_seconds=345678 * MICROSECONDS,
            memory_bytes=80 * 1024**2,
            memory_peak_bytes=200 * 1024**2,
            memory_limit_bytes=512 * 1024**2,
            read_bytes=1024001,
            written_bytes=4098,
            processes=3,
            tasks=17,
            task_limit=512,
            oom_kills={"": 2},
        )

    def test_says_nothing_of_controllers_that_are_off(self, v2: Path) -> None:
        group = v2 / TOP / slots.slice_of(PORT)
        for name in captured.V2:
            if name not in {"cpu.stat", "cgroup.procs"}:
                (group / name).unlink()
        found = usage(v2, captured.OWN_V2)
        assert (found.cpu_seconds, found.processes) == (5120345 * MICROSECONDS, 3)
        assert (found.memory_bytes, found.read_bytes, found.tasks, found.oom_kills) == (None, None, None, {})

    def test_names_the_file_that_it_does_not_understand(self, v2: Path) -> None:
        path = v2 / TOP / slots.slice_of(PORT) / "memory.current"
        path.write_text("plenty\n")
        with pytest.raises(ValueError, match=str(path)):
            Cgroups(v2, captured.OWN_V2).slots()

    def test_of_this_machine_is_read(self) -> None:
        mount = next(
            (
                each
                for each in (groups.MOUNT, groups.MOUNT / "unified")
                if (each / "cgroup.controllers").exists()
            ),
            None,
        )
        if mount is None or os.geteuid() != 0:
            pytest.skip("only root makes control groups, and version 2 has to be mounted")
        top = mount / f"lucid-test-{uuid.uuid4().hex}"
        made = groups.Real(top, {"": top})
        try:
            made.unit(PORT, UNIT)
            process = made.run(PORT, UNIT, BURN)
            groups.work(process)
            found = usage(top, "0::/\n")
            assert found.processes == 1
            assert found.cpu_seconds is not None
            assert found.cpu_seconds > 0.1
            assert groups.leave(process) == 0
        finally:
            groups.remove(top)


class TestVersion1:
    def test_is_put_together_from_its_hierarchies(self, tmp_path: Path) -> None:
        for name, files in captured.V1.items():
            place = "cpu,cpuacct" if name in {"cpu", "cpuacct"} else name
            groups.write(tmp_path / place / TOP / slots.slice_of(PORT), files)
        unit = tmp_path / "memory" / TOP / slots.slice_of(PORT) / UNIT
        groups.write(unit, {"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"})
        groups.write(tmp_path / "systemd" / TOP / slots.slice_of(PORT) / UNIT, {"cgroup.procs": "7\n9\n"})
        (tmp_path / "cpu").symlink_to("cpu,cpuacct")
        found = usage(tmp_path)
        assert sum(found.oom_kills.values()) == 3
        assert (found.cpu_seconds, found.cpu_limit_cores) == (5120345678 * NANOSECONDS, 0.75)
        assert found.throttled_seconds == 345678000 * NANOSECONDS
        assert (found.memory_bytes, found.memory_peak_bytes) == (80 * 1024**2, 200 * 1024**2)
        assert (found.memory_limit_bytes, found.task_limit) == (None, None)
        assert (found.read_bytes, found.written_bytes) == (8388608, 12599296)
        assert (found.processes, found.tasks) == (2, 17)

    def test_is_found_beside_this_process_where_a_host_is_in_another_one_s_group(
        self, tmp_path: Path
    ) -> None:
        groups.write(tmp_path / "memory/machines/rdp1" / TOP / slots.slice_of(PORT), captured.V1["memory"])
        groups.write(tmp_path / "memory" / TOP / slots.slice_of(PORT + 1), captured.V1["memory"])
        assert usage(tmp_path, captured.OWN_NESTED).memory_bytes == 80 * 1024**2

    def test_counts_what_real_processes_use(self, real: groups.Real, tmp_path: Path) -> None:
        real.unit(PORT, UNIT)
        (real.slice(real.tops["memory"], PORT) / "memory.limit_in_bytes").write_text(str(256 * 1024**2))
        (real.slice(real.tops["cpu"], PORT) / "cpu.cfs_quota_us").write_text("150000")
        (real.slice(real.tops["pids"], PORT) / "pids.max").write_text("99")
        _count_disk(real, tmp_path)
        process = real.run(PORT, UNIT, BURN + _write(tmp_path / "written"))
        groups.work(process)
        found = usage(real.root)
        assert groups.leave(process) == 0
        assert found.cpu_seconds is not None
        assert 0.1 < found.cpu_seconds < 5
        assert found.memory_bytes is not None
        assert 40 * 1024**2 < found.memory_bytes < 200 * 1024**2
        assert found.memory_peak_bytes is not None
        assert found.memory_peak_bytes >= found.memory_bytes
        assert (found.memory_limit_bytes, found.cpu_limit_cores) == (256 * 1024**2, 1.5)
        assert (found.processes, found.tasks, found.task_limit) == (1, 1, 99)
        assert found.written_bytes is not None
        assert found.written_bytes >= 4 * 1024**2
        assert sum(found.oom_kills.values()) == 0

    def test_counts_processes_that_the_kernel_killed(self, real: groups.Real) -> None:
        real.unit(PORT, UNIT)
        (real.slice(real.tops["memory"], PORT) / "memory.limit_in_bytes").write_text(str(48 * 1024**2))
        process = real.run(PORT, UNIT, "held = b'x' * (200 << 20)")
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(10) == -9
        groups.leave(process)
        assert sum(usage(real.root).oom_kills.values()) == 1

    def test_knows_a_slot_that_was_made_anew_from_the_one_before(self, real: groups.Real) -> None:
        seen = set()
        for _ in range(2):
            real.unit(PORT, UNIT)
            (slot,) = Cgroups(real.root, captured.OWN_V1).slots()
            seen.add(slot.identity)
            real.end(PORT)
            assert Cgroups(real.root, captured.OWN_V1).slots() == []
        assert len(seen) == 2


def test_a_machine_without_slots_has_none(tmp_path: Path) -> None:
    assert Cgroups(tmp_path / "nothing", captured.OWN_V2).slots() == []
    own = Path("/proc/self/cgroup").read_text()
    begin = time.monotonic()
    assert isinstance(Cgroups(groups.MOUNT, own).slots(), list)
    assert time.monotonic() - begin < 1


BURN = """
import time
held, begin = b'x' * (50 << 20), time.process_time()
while time.process_time() - begin < 0.15: pass
"""


def _write(path: Path) -> str:
    return f"""
import os
file = os.open({str(path)!r}, os.O_WRONLY | os.O_CREAT)
os.write(file, os.urandom(4 << 20))
os.fsync(file)
"""


def _count_disk(real: groups.Real, directory: Path) -> None:
    """Newer kernels count bytes of a disk from the first limit on: one that nothing comes near."""
    device = directory.stat().st_dev
    limit = f"{os.major(device)}:{os.minor(device)} {10**12}"
    (real.tops["blkio"] / "blkio.throttle.write_bps_device").write_text(limit)
