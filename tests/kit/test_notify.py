"""Messages to systemd, received on real datagram sockets."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucid.kit.notify import Notifier

pytestmark = pytest.mark.quiet


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """An address as in NOTIFY_SOCKET, and the socket that listens there."""
    name = f"{tmp_path}/notify" if request.param == "path" else f"@lucid-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(name.replace("@", "\0"))
        inbox.settimeout(5)
        yield name, inbox


class TestSending:
    def test_puts_all_assignments_into_one_message(self, manager: tuple[str, socket.socket]) -> None:
        address, inbox = manager
        Notifier(address).send("READY=1", "STATUS=Serving")
        assert inbox.recv(4096) == b"READY=1\nSTATUS=Serving"

    def test_of_a_reload_holds_the_monotonic_time_in_microseconds(
        self, manager: tuple[str, socket.socket]
    ) -> None:
        address, inbox = manager
        before = time.monotonic_ns() // 1000
        Notifier(address).reloading()
        first, second = inbox.recv(4096).decode().splitlines()
        assert first == "RELOADING=1"
        assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000

    def test_outside_of_systemd_does_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        Notifier().send("READY=1")
        assert not caplog.records

    def test_to_nobody_is_logged_and_not_raised(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            Notifier(f"{tmp_path}/gone").send("READY=1")
        assert f"cannot tell systemd READY=1 through {tmp_path}/gone" in caplog.text


class TestEnvironment:
    def test_variables_are_taken_out(self) -> None:
        environ = {
            "NOTIFY_SOCKET": "/run/notify",
            "WATCHDOG_USEC": "2500000",
            "WATCHDOG_PID": str(os.getpid()),
            "HOME": "/",
        }
        assert Notifier.from_environment(environ) == Notifier("/run/notify", 2.5)
        assert environ == {"HOME": "/"}

    def test_without_variables_means_nobody_listens(self) -> None:
        assert Notifier.from_environment({}) == Notifier(None, None)

    def test_a_watchdog_for_another_process_is_not_ours(self) -> None:
        environ = {"NOTIFY_SOCKET": "@name", "WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}
        assert Notifier.from_environment(environ) == Notifier("@name", None)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("NOTIFY_SOCKET", "relative"),
            ("NOTIFY_SOCKET", ""),
            ("WATCHDOG_USEC", "2s"),
            ("WATCHDOG_USEC", "0"),
        ],
    )
    def test_values_that_make_no_sense_are_refused_by_name(self, name: str, value: str) -> None:
        with pytest.raises(ValueError, match=f"{name} must be .*{value!r}"):
            Notifier.from_environment({name: value})
