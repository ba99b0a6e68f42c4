"""A real ACME authority on loopback: Pebble, with a name server to which every name is this machine."""

import json
import os
import ssl
import time
import urllib.request
from pathlib import Path

from lucid.dev import ca
from lucid.dev.processes import Process, Processes
from tests.deployment import free_ports

HOST = "127.0.0.1"
DAYS = 90
"""How long what it issues holds."""
_START_SECONDS = 30


class Pebble:
    """Started when it is made; it ends with `processes`."""

    def __init__(self, processes: Processes, directory: Path) -> None:
        api, management, names, other, self.http_port = free_ports(5)
        issued = ca.ensure(directory / "tls", ["pebble"], extra_names=["localhost"])["pebble"]
        self.ca = issued.ca
        """By which its API is believed; what it issues is believed by `root`."""
        self.server = f"https://localhost:{api}/dir"
        self._roots = f"https://localhost:{management}/roots/0"
        settings = {
            "listenAddress": f"{HOST}:{api}",
            "managementListenAddress": f"{HOST}:{management}",
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
            ["pebble-challtestsrv", *nothing_else, f"-dns01={HOST}:{names}", f"-management={HOST}:{other}"],
            directory / "names.log",
        )
        # Every order is asked about, and at once.
        haste = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}
        self.process = processes.start(
            "pebble",
            ["pebble", "-config", str(directory / "pebble.json"), "-dnsserver", f"{HOST}:{names}"],
            directory / "pebble.log",
            env={"PATH": os.environ["PATH"], **haste},
        )
        self.root = directory / "root.pem"
        self.root.write_bytes(self._ask_for_root(self.process))

    def _ask_for_root(self, process: Process) -> bytes:
        context = ssl.create_default_context(cafile=self.ca)
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(self._roots, context=context, timeout=5) as answer:  # noqa: S310 - https
                    found: bytes = answer.read()
                    return found
            except OSError:
                assert process.status is None, process.last_words()
                assert time.monotonic() < until, process.last_words()
                time.sleep(0.05)
