"""A real ACME authority: Pebble, with a name server to which every name is one host, by default this one."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lucid.dev import ca
from lucid.dev.processes import Process, Processes
from tests.deployment import free_ports

HOST = "127.0.0.1"
DAYS = 90
"""How long what it issues holds."""
_START_SECONDS = 30
_FETCH = """
import ssl, sys, urllib.request
url, ca = sys.argv[1:]
print(urllib.request.urlopen(url, context=ssl.create_default_context(cafile=ca), timeout=5).read().decode())
"""


class Pebble:
    """Started when it is made; it ends with `processes`."""

    def __init__(
        self,
        processes: Processes,
        directory: Path,
        address: str = HOST,
        within: Sequence[str] = (),
        asked: tuple[str, int] | None = None,
    ) -> None:
        """`within`: what to write before a command so that it runs in the network namespace of `address`.

        `asked`: address and port of the host that all names are; by default this one, at a free port.
        """
        self._within = within
        api, management, names, other, free = free_ports(5)
        host, self.http_port = asked or (address, free)
        issued = ca.ensure(
            directory / "tls", ["pebble"], extra_names=["localhost"], extra_addresses=[address]
        )["pebble"]
        self.ca = issued.ca
        """By which its API is believed; what it issues is believed by `root`."""
        named = "localhost" if address == HOST else address
        self.server = f"https://{named}:{api}/dir"
        self._roots = f"https://{named}:{management}/roots/0"
        settings = {
            "listenAddress": f"{address}:{api}",
            "managementListenAddress": f"{address}:{management}",
            "certificate": str(issued.cert),
            "privateKey": str(issued.key),
            "httpPort": self.http_port,
            "tlsPort": 1,
            "certificateValidityPeriod": DAYS * 86400,
        }
        (directory / "pebble.json").write_text(json.dumps({"pebble": settings}))
        nothing_else = [f"-{name}=" for name in ("http01", "https01", "tlsalpn01", "defaultIPv6")]
        self._names = processes.start(
            "names",
            [
                *within,
                "pebble-challtestsrv",
                *nothing_else,
                f"-defaultIPv4={host}",
                f"-dns01={address}:{names}",
                f"-management={address}:{other}",
            ],
            directory / "names.log",
        )
        # Every order is asked about, and at once. No good nonce is refused: certbot tries again but once, and
        # one refusal in twenty, as Pebble has it else, is twice in a row often enough.
        haste = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}
        self.process = processes.start(
            "pebble",
            [
                *within,
                "pebble",
                "-config",
                str(directory / "pebble.json"),
                "-dnsserver",
                f"{address}:{names}",
            ],
            directory / "pebble.log",
            env={"PATH": os.environ["PATH"], **haste},
        )
        self.root = directory / "root.pem"
        self.root.write_text(self._ask_for_root(self.process))

    def _ask_for_root(self, process: Process) -> str:
        command = [*self._within, sys.executable, "-c", _FETCH, self._roots, str(self.ca)]
        until = time.monotonic() + _START_SECONDS
        while True:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
            if done.returncode == 0:
                return done.stdout
            assert process.status is None, process.last_words()
            assert time.monotonic() < until, done.stderr
            time.sleep(0.05)
