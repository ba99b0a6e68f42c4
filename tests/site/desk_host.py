"""What the host of remote desktops shows of them, to root; and how a desktop is seen to its end."""

import asyncio
import base64
import json
import secrets
import shlex
import subprocess
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from lab import person
from lab.account import gateway
from lab.place import here
from lab.workplace import Workplace
from lucid.cli.bundle import fetch_bundle
from lucid.cli.trust import fetch_trust
from lucid.contracts import session_api
from lucid.contracts.rdp_manager import Connection
from lucid.contracts.session_access import BundleQuery
from lucid.evidence import trust
from lucid.evidence.steps import Outcome, Report
from lucid.evidence.verify import verify

SECONDS = 30
HOME = "/var/tmp/home"  # noqa: S108 - as the desktop's unit has it, private to the session


def on(host: str, script: str, *, check: bool = True) -> str:
    """What a shell script says that root runs on a host."""
    command = ["ssh", host, shlex.join(["sudo", "sh", "-c", script])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0 or not check, f"{script}: {done.stdout}{done.stderr}"
    return done.stdout


def inside(connection: Connection, path: str) -> str:
    """A file of a desktop's own, read by root on its host; empty if it is not there."""
    unit = f"lucid-desktop@{connection.port}.service"
    main = f"$(systemctl show --property MainPID --value {unit})"
    return on(connection.session.host, f"cat /proc/{main}/root{HOME}/{path} 2>/dev/null || true")


def put(connection: Connection, path: str, text: str) -> None:
    """Puts a file into a desktop's home, for its user to read."""
    unit = f"lucid-desktop@{connection.port}.service"
    main = f"$(systemctl show --property MainPID --value {unit})"
    coded = base64.b64encode(text.encode()).decode()
    target = f"/proc/{main}/root{HOME}/{path}"
    on(connection.session.host, f"echo {coded} | base64 -d >{target} && chmod 644 {target}")


def told(somebody: person.Person, connection: Connection, command: str) -> str:
    """What a command says that the person types into the desktop's terminal, which has the keyboard."""
    answer = f"told-{secrets.token_hex(4)}.txt"
    somebody.type(f"clear; {{ {command}; echo; }} >told 2>&1 </dev/null; mv told {answer}\n")
    person.eventually(command, SECONDS, lambda: inside(connection, answer) != "")
    return inside(connection, answer).strip()


def probed(somebody: person.Person, connection: Connection, probe: str, asked: object) -> Any:
    """What a program of probes/ finds that the desktop's user runs."""
    program = (Path(__file__).parent / "probes" / f"{probe}.py").read_text()
    put(connection, f"{probe}.py", f"{program}\n\nimport json\nprint(json.dumps(main({asked!r})))\n")
    return json.loads(told(somebody, connection, f"python3 {probe}.py"))


def left(host: str, port: int) -> str:
    """What there is of a slot on its host: processes, units, sockets, files, mounts, firewall entries.

    Processes are those of any desktop and recording: users that systemd lends have these numbers. So are the
    units of recordings, which are not named by port.
    """
    return on(
        host,
        f"""
        ps -eo uid,user,args --no-headers | awk '($1 >= 61184 && $1 <= 65519) || $2 == "lucid-rdp"'
        systemctl list-units --all --no-legend 'lucid-*@{port}*' 'lucid-rdp-{port}*' 'lucid-capture@*'
        ss -Hltn 'sport = :{port}'
        ls -d /run/lucid-rdp/{port} /var/lib/private/*{port}* 2>/dev/null
        ls -d /tmp/systemd-private-*{port}* /var/tmp/systemd-private-*{port}* 2>/dev/null
        ls -d /tmp/systemd-private-*capture@* /var/tmp/systemd-private-*capture@* 2>/dev/null
        ls -d /run/credentials/*@{port}* 2>/dev/null
        grep -E '/{port}( |/)|@{port}' /proc/self/mounts
        ipset list | grep -F 'tcp:{port}'
        true
        """,
    )


async def nothing_left(host: str, port: int) -> None:
    """Waits until a slot has left nothing on its host."""
    until = time.monotonic() + 15
    while found := (await asyncio.to_thread(left, host, port)).strip():
        assert time.monotonic() < until, f"port {port} of {host} has left:\n{found}"
        await asyncio.sleep(0.3)


async def verified(workplace: Workplace, session: str) -> Report:
    """The bundle of a session that has ended, verified by this site's trust file."""
    recording = await workplace.until_anchored(session)
    assert recording.state == "completed", recording
    target, path = gateway(here().state), here().state / f"{session}.lucid"
    await fetch_bundle(target, session_api.BUNDLE, BundleQuery(session), path)
    known = trust.parse(await fetch_trust(target))
    report = await asyncio.to_thread(lambda: verify(BytesIO(path.read_bytes()), known))
    assert report.outcome is Outcome.VERIFIED, report
    return report


async def ended(workplace: Workplace, connection: Connection) -> None:
    """Ends a desktop: nothing of it may be left on its host."""
    host, port = connection.session.host, connection.port
    await workplace.end(connection.session.id)
    await workplace.until(connection.session.id, "ended")
    await nothing_left(host, port)
