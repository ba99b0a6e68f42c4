"""Real virtual hosts on this machine: brought up, broken, mended and removed without a trace."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab import cgroups, faults, hosts, inventory, lifecycle, machine, status
from lab.errors import LabError
from lab.inventory import Host
from lab.place import INVENTORY, REPOSITORY, Lab
from lab.run import NETNS, attempt, inside

pytestmark = pytest.mark.timeout(300)  # the first run on a machine builds the base image
CONNECT = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def reached(address):
    try:
        socket.create_connection((address, 22), 1).close()
    except OSError:
        return "no"
    return "yes"

with ThreadPoolExecutor() as pool:
    print(*pool.map(reached, sys.argv[1:]))
"""
HUNGRY = "b'x' * (100 << 20)"


def named(name: str, state: Path) -> Lab:
    """A lab of this test run's own; skips the test where this machine cannot hold one."""
    try:
        machine.check(state)
    except LabError as error:
        pytest.skip(str(error))
    return Lab(name, state, inventory.load(INVENTORY))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """core1 and data1 on one segment, tron1 on the other, behind a router that forwards nothing."""
    made = named(f"t{os.getpid() % 10000}", tmp_path_factory.mktemp("lab"))
    try:
        lifecycle.up(made, made.inventory.find("core1,data1,tron1"), lambda _what, _seconds: None)
        yield made
    finally:
        lifecycle.down(made)


def on(lab: Lab, host: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as root in a host."""
    first = cgroups.leader(lab, host)
    assert first is not None, f"{host} is off"
    return attempt(*inside(first, *command))


def command(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m lab` as a person does."""
    environment = os.environ | {"LUCID_LAB": lab.name, "LUCID_LAB_STATE": str(lab.state)}
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def reaches(lab: Lab, one: str, other: Host) -> list[str]:
    """Whether a host gets a connection to another: over IPv4, over IPv6, over the management network."""
    addresses = (str(item.ip) for item in (other.address, other.address6, other.management))
    return on(lab, one, "python3", "-c", CONNECT, *addresses).stdout.split()


class TestHostsThatAreUp:
    def test_all_units_of_all_hosts_run_and_memory_is_accounted_for_each(self, lab: Lab) -> None:
        up = [host for host in status.look(lab) if host.state == "on"]
        assert {host.name: (host.health, host.failed) for host in up} == {
            name: ("running", []) for name in ("core1", "data1", "tron1")
        }
        assert all(2 << 20 < host.memory < 200 << 20 for host in up)

    def test_ssh_needs_no_more_than_a_name_and_sudo_no_password(self, lab: Lab) -> None:
        done = command(lab, "exec", "--", "ssh", "-o", "BatchMode=yes", "core1", "sudo id -u; hostname")
        assert (done.stdout.split(), done.returncode) == (["0", "core1"], 0)

    def test_a_command_keeps_its_exit_status(self, lab: Lab) -> None:
        assert command(lab, "shell", "core1", "sh", "-c", "exit 7").returncode == 7

    def test_hosts_of_a_segment_reach_each_other_but_not_by_the_management_network(self, lab: Lab) -> None:
        assert reaches(lab, "core1", lab.inventory.hosts["data1"]) == ["yes", "yes", "no"]

    def test_the_way_out_ends_at_the_proxy_and_it_serves_only_mirrors(self, lab: Lab) -> None:
        proxy = f"http://{lab.inventory.control.ip}:3142"
        asked = on(lab, "core1", "curl", "-s", "-w", "%{http_code}", "-x", proxy, "http://elsewhere.invalid/")
        assert asked.stdout.endswith("403")
        assert on(lab, "core1", "curl", "-s", "-m", "2", "http://192.0.2.1/").returncode

    def test_a_units_memory_limit_is_enforced(self, lab: Lab) -> None:
        limited = ("systemd-run", "--quiet", "--wait", "--collect", "--property=MemoryMax=30M")
        assert on(lab, "core1", *limited, "python3", "-c", "''").returncode == 0
        assert on(lab, "core1", *limited, "python3", "-c", HUNGRY).returncode

    def test_the_router_forwards_what_it_is_told_and_nothing_else(self, lab: Lab) -> None:
        tron = lab.inventory.hosts["tron1"]
        assert reaches(lab, "core1", tron) == ["no", "no", "no"]
        opened = "*filter\n:INPUT DROP\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n"
        lifecycle.up(lab, [tron], lambda _what, _seconds: None, rules=opened)
        assert reaches(lab, "core1", tron) == ["yes", "no", "no"]


class TestFaults:
    def test_a_cut_between_two_hosts_leaves_others_and_ends_with_join(self, lab: Lab) -> None:
        core, data, tron = (lab.inventory.hosts[name] for name in ("core1", "data1", "tron1"))
        faults.cut(lab, core, [data])
        assert faults.cuts(lab) == {"core1": ["data1"], "data1": ["core1"]}
        assert reaches(lab, "core1", data) == ["no", "no", "no"]
        faults.join(lab, core, [data])
        faults.join(lab, core, [tron])  # was never cut: no error
        assert faults.cuts(lab) == {}
        assert reaches(lab, "core1", data) == ["yes", "yes", "no"]

    def test_a_host_cut_off_from_all_keeps_ssh(self, lab: Lab) -> None:
        core, data = (lab.inventory.hosts[name] for name in ("core1", "data1"))
        faults.cut(lab, data)
        try:
            assert reaches(lab, "core1", data) == ["no", "no", "no"]
            assert command(lab, "exec", "--", "ssh", "data1", "true").returncode == 0
        finally:
            faults.join(lab, data)
        assert reaches(lab, "data1", core) == ["yes", "yes", "no"]

    def test_a_reboot_keeps_the_disk_and_forgets_the_firewall(self, lab: Lab) -> None:
        host = lab.inventory.hosts["core1"]
        machine_id = on(lab, "core1", "cat", "/etc/machine-id").stdout
        on(lab, "core1", "iptables", "-A", "INPUT", "-j", "ACCEPT")
        first = cgroups.leader(lab, "core1")
        on(lab, "core1", "systemctl", "reboot")
        deadline = time.monotonic() + 20
        while cgroups.leader(lab, "core1") in {first, None}:
            assert time.monotonic() < deadline, "the host did not reboot"
            time.sleep(0.05)
        hosts.await_up(lab, [host])
        assert on(lab, "core1", "cat", "/etc/machine-id").stdout == machine_id
        assert on(lab, "core1", "iptables", "-S", "INPUT").stdout == "-P INPUT ACCEPT\n"
        assert reaches(lab, "data1", host) == ["yes", "yes", "no"]

    def test_a_killed_host_is_off_until_it_is_started_and_has_its_disk(self, lab: Lab) -> None:
        host = lab.inventory.hosts["data1"]
        on(lab, "data1", "sh", "-c", "echo kept >/srv/kept && sync")
        hosts.kill(lab, host)
        assert {item.name: item.state for item in status.look(lab)}["data1"] == "off"
        assert "data1 is off" in command(lab, "shell", "data1").stderr
        lifecycle.start(lab, host)
        assert on(lab, "data1", "cat", "/srv/kept").stdout == "kept\n"


def traces(lab: Lab) -> set[str]:
    """What there is on this machine that bears the lab's name or lies in its directory, of any kind."""
    marks = (lab.prefix, lab.cgroup, str(lab.state))
    paths = [*NETNS.glob("*"), *Path("/run/systemd/nspawn").glob("*/*"), lab.state]
    paths += [group for root in cgroups.hierarchies() for group in root.glob("lab-*")]
    found = [str(path) for path in paths if path.exists()]
    found += Path("/proc/self/mounts").read_text().splitlines()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            called, member = ((process / name).read_text(errors="replace") for name in ("cmdline", "cgroup"))
            found += [called, member] if called else []  # without one it has ended and is not collected yet
    return {item for item in found if any(mark in item for mark in marks)}


def interfaces() -> set[str]:
    """The network interfaces of this machine itself."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def namespaces_in_use() -> set[int]:
    """The inode numbers of the network namespaces that processes are in."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):
            found.add(link.stat().st_ino)
    return found


class TestDown:
    def test_leaves_no_trace(self, tmp_path: Path) -> None:
        lab = named(f"d{os.getpid() % 10000}", tmp_path / "state")
        outside = interfaces()
        assert command(lab, "up", "--hosts", "core1").returncode == 0
        assert interfaces() == outside
        namespaces = {path.stat().st_ino for path in NETNS.glob(f"{lab.prefix}*")}
        assert len(namespaces) == 4
        assert namespaces & namespaces_in_use()
        assert any(lab.cgroup in trace for trace in traces(lab))
        assert command(lab, "down").returncode == 0
        assert traces(lab) == set()
        assert not namespaces & namespaces_in_use()
        assert interfaces() == outside

    def test_of_a_lab_that_is_not_there_is_no_error(self, tmp_path: Path) -> None:
        assert command(named(f"n{os.getpid() % 10000}", tmp_path / "state"), "down").returncode == 0


class TestMisuse:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("cut", "nosuch"), "nosuch is no host of the inventory"),
            (("up", "--hosts", "nosuch"), "nosuch is neither a host nor a group"),
            (("exec", "--", "true"), "the lab is down"),
        ],
    )
    def test_is_answered_with_what_to_do(
        self, tmp_path: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        done = command(named(f"m{os.getpid() % 10000}", tmp_path / "state"), *arguments)
        assert message in done.stderr
        assert done.returncode == 1

    def test_a_name_that_would_not_fit_interfaces_is_refused(self, tmp_path: Path) -> None:
        done = command(Lab("far-too-long", tmp_path, inventory.load(INVENTORY)), "status")
        assert "LUCID_LAB=far-too-long: a name is 1 to 6 small letters" in done.stderr
