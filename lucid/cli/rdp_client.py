"""The RDP client of this machine: FreeRDP, started so that nothing but the desktop's own host is trusted.

The password goes through standard input: a command line is read by everybody on the machine.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping

from lucid.contracts.rdp_manager import Connection

PROGRAMS = ("xfreerdp3", "xfreerdp")


def find(environment: Mapping[str, str] = os.environ) -> str | None:
    """The client, if there is one and a display to show it on."""
    if not environment.get("DISPLAY"):
        return None
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def command(program: str, connection: Connection) -> list[str]:
    """The command line. What the `.rdp` file leaves off is off here too."""
    host = f"[{connection.address}]" if ":" in connection.address else connection.address
    lines = connection.rdp_file.splitlines()
    return [
        program,
        f"/v:{host}:{connection.port}",
        f"/u:{connection.user}",
        "/d:",
        "/from-stdin:force",
        "/sec:tls",
        f"/cert:fingerprint:sha256:{fingerprint(connection)}",
        f"/size:{connection.session.width}x{connection.session.height}",
        "+clipboard" if "redirectclipboard:i:1" in lines else "-clipboard",
        "/audio-mode:2",
        f"/t:Lucid {connection.session.id}",
        "/log-level:ERROR",
    ]


def show(program: str, connection: Connection) -> int:
    """Shows the desktop until the client ends; its exit code."""
    argv = command(program, connection)
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as client:
        client.communicate(connection.password.encode() + b"\n")
        return client.returncode


def fingerprint(connection: Connection) -> str:
    """The certificate's, as clients show it."""
    digest = connection.certificate_sha256
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
