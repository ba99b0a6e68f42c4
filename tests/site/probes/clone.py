"""Runs probes inside the sandboxes of units: in copies of their unit files that start the probe instead.

A copy is made from the text that systemd itself reads (`systemctl cat`), so it cannot fall behind. Only what
starts, watches and restarts the program is left out.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

UNITS, SPACE = Path("/run/systemd/system"), Path("/run/lucid-proof")
LEFT_OUT = re.compile(r"(Type|NotifyAccess|ExecStart|ExecReload|WatchdogSec|Restart|RestartSec|Sockets)=")
PRIVATE = (
    "/etc/lucid/credentials",
    "/etc/lucid/firewall",
    "/etc/lucid/tls",
    "/etc/mongodb",
    "/etc/redis",
    "/etc/ssh",
    "/etc/shadow",
    "/home",
    "/root",
    "/run/credentials",
    "/var/lib/lucid",
    "/var/lib/lucid-lab-desktop",
    "/var/lib/mongodb",
    "/var/lib/redis",
)
"""What programs keep for themselves. Files that all may read are passed over."""


def main(asked: dict[str, Any]) -> dict[str, list[Any]]:
    """`asked`: start (what python is to run) and units, by each the probes (program, asked), run in turn.

    A probe is told `private` too, the files that it must not be able to read.
    """
    SPACE.mkdir(mode=0o700, exist_ok=True)
    private = [str(path) for top in PRIVATE for path in _files(Path(top))]
    copies = {}
    try:
        for unit, probes in asked["units"].items():
            for number, probe in enumerate(probes):
                name = f"lucid-proof-{unit.removeprefix('lucid-').removesuffix('.service')}-{number}"
                given = {"program": probe["program"], "asked": probe["asked"] | {"private": private}}
                (SPACE / f"{name}.in").write_text(json.dumps(given))
                (UNITS / f"{name}.service").write_text(_copy(unit, name, asked["start"]))
                copies[name] = unit
        _systemctl("daemon-reload")
        answers: dict[str, list[Any]] = {unit: [] for unit in asked["units"]}
        for name, unit in copies.items():
            _systemctl("start", f"{name}.service")
            answers[unit].append(json.loads((SPACE / f"{name}.out").read_text()))
        return answers
    finally:
        for path in (*SPACE.glob("*"), *UNITS.glob("lucid-proof-*.service")):
            path.unlink()
        SPACE.rmdir()
        _systemctl("daemon-reload")


def _files(top: Path) -> list[Path]:
    """The regular files there that are not for everybody to read, or stand where not everybody may look."""
    if top.is_file():
        return [top]
    found = []
    for directory, _, names in os.walk(top):
        closed = Path(directory).stat().st_mode & 0o005 == 0
        paths = [Path(directory) / name for name in names]
        found += [p for p in paths if p.is_file() and (closed or p.stat().st_mode & 0o004 == 0)]
    return found


def _copy(unit: str, name: str, start: str) -> str:
    text = subprocess.run(["systemctl", "cat", unit], capture_output=True, text=True, check=True).stdout
    section, kept = "", []
    for line in text.splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and not LEFT_OUT.match(line):
            kept.append(line)
    return "\n".join(
        [
            "[Service]",
            *kept,
            "Type=oneshot",
            "RuntimeDirectoryPreserve=yes",  # it is the running service's too, which would lose it
            f'ExecStart=/opt/lucid/current/bin/python -I -X faulthandler -c "{start}"',
            f"StandardInput=file:{SPACE}/{name}.in",
            f"StandardOutput=truncate:{SPACE}/{name}.out",
            "StandardError=journal",
            "",
        ]
    )


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        unit = words[-1]
        log = subprocess.run(
            ["journalctl", "-u", unit, "-n", "20", "-o", "cat"], capture_output=True, text=True, check=False
        )
        raise RuntimeError(f"systemctl {' '.join(words)}: {done.stderr}{log.stdout}")
