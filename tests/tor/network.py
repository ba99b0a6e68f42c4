"""A private Tor network on one address: real directory authorities, relays, and whoever joins it.

Three authorities agree on a new view of the network every twenty seconds; with seven relays beside them an
onion service is found within half a minute (with four it is slow and flaky). About 60 MiB for each node.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lucid.dev.processes import Process, Processes
from tests.deployment import free_ports

AUTHORITIES, RELAYS = 3, 7
_VOTING = [
    "AuthoritativeDirectory 1",
    "V3AuthoritativeDirectory 1",
    "TestingV3AuthInitialVotingInterval 20",
    "TestingV3AuthInitialVoteDelay 4",
    "TestingV3AuthInitialDistDelay 4",
    "V3AuthVotingInterval 20",
    "V3AuthVoteDelay 4",
    "V3AuthDistDelay 4",
    "TestingDirAuthVoteExit *",
    "TestingDirAuthVoteHSDir *",
    "TestingDirAuthVoteGuard *",
]


_HASTE = [
    "LearnCircuitBuildTimeout 0",
    "CircuitBuildTimeout 5",  # seconds; otherwise one that gets stuck is given sixty
    "TestingClientMaxIntervalWithoutRequest 1",
]


class NetworkError(Exception):
    """The keys of the network cannot be made; the message says why."""


class Network:
    """`start` it, then let others `join`: who comes later finds the way at once. All end with `processes`."""

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        address: str = "127.0.0.1",
        within: Sequence[str] = (),
    ) -> None:
        """`within`: what to write before a command so that it runs in a network namespace."""
        self._processes = processes
        self._within = within
        self._directory = directory
        self._address = address
        self.options: list[str] = []
        """The lines of torrc that make a Tor part of this network and of no other."""

    def start(self) -> None:
        """Starts authorities and relays. Raises NetworkError."""
        ports = iter(free_ports(2 * AUTHORITIES + RELAYS))
        authorities = [(f"authority{n}", next(ports), next(ports)) for n in range(AUTHORITIES)]
        self.options = ["TestingTorNetwork 1", *_HASTE, *(self._authority(*each) for each in authorities)]
        for name, port, directory_port in authorities:
            listens = f"DirPort {self._address}:{directory_port}"
            self._run(name, [*self._relay(name, port), listens, *_VOTING])
        for number, port in enumerate(ports):
            self._run(f"relay{number}", self._relay(f"relay{number}", port))

    def join(self, name: str, torrc: Sequence[str]) -> Process:
        """Starts a Tor with these lines, which name its DataDirectory, and the network's own."""
        path = self._directory / f"{name}.torrc"
        path.write_text("\n".join([*torrc, *self.options, ""]))
        log = self._directory / f"{name}.log"
        return self._processes.start(name, [*self._within, "tor", "-f", str(path)], log)

    def data(self, name: str) -> Path:
        """A directory for a node's data, with the mode that Tor asks for."""
        directory = self._directory / name
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    def _authority(self, name: str, port: int, directory_port: int) -> str:
        """Makes an authority's keys; returns the line by which everybody knows it."""
        data, place = self.data(name), f"{self._address}:{directory_port}"
        keys = data / "keys"
        keys.mkdir(mode=0o700)
        certify = ["tor-gencert", "--create-identity-key", "-m", "12", "-a", place, "--passphrase-fd", "0"]
        _finish(certify, keys)
        certificate = (keys / "authority_certificate").read_text()
        identity = re.search(r"^fingerprint (\w{40})$", certificate, re.MULTILINE)
        torrc = self._directory / f"{name}.fingerprint"
        torrc.write_text("\n".join([*self._relay(name, port), f"DataDirectory {data}", ""]))
        said = _finish(["tor", "--quiet", "-f", str(torrc), "--list-fingerprint"], data)
        own = re.search(rf"^{name} ((?:\w{{4}} ?){{10}})$", said, re.MULTILINE)
        if identity is None or own is None:
            raise NetworkError(f"{name} has no fingerprint: {said}")
        return f"DirAuthority {name} orport={port} v3ident={identity[1]} {place} {own[1].replace(' ', '')}"

    def _relay(self, name: str, port: int) -> list[str]:
        return [
            f"Nickname {name}",
            f"Address {self._address}",
            f"ORPort {self._address}:{port}",
            "SocksPort 0",
            "AssumeReachable 1",
            "ExitRelay 0",
        ]

    def _run(self, name: str, lines: Sequence[str]) -> None:
        self.join(name, [*lines, f"DataDirectory {self.data(name)}"])


def _finish(command: Sequence[str], directory: Path) -> str:
    done = subprocess.run(
        command, cwd=directory, input="throwaway\n", capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise NetworkError(f"{command[0]} ended with status {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout
