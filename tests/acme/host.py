"""An edge host as the role `public_certificate` sets it up, under a directory: settings, unit, program."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lucid.deploy import public_certificate
from tests.acme.pebble import HOST

ROLE = Path(__file__).parents[2] / "roles/public_certificate"
UNIT = "lucid-acme.service"
PROGRAM = ROLE / "files/usr/local/libexec/lucid-public-certificate"


class Edge:
    """`write` its files, then `start` the unit as systemd would, as often as the timer would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shown = root / "public"
        self.file = self.shown / "public.pem"
        self.state = root / "state"
        self._program = root / "libexec/lucid-public-certificate"
        for directory in (self.shown, self.state, root / "settings", self._program.parent):
            directory.mkdir(mode=0o750)
        shutil.copy(PROGRAM, self._program)
        self._program.chmod(0o755)

    def write(self, names: list[str], server: str, authority: Path, http_port: int) -> None:
        """What the role would write for these values of lucid_public_certificate."""
        wanted = {"names": names, "server": server, "http_port": http_port}
        found = public_certificate.read("edge1", {"source": "acme", **wanted}, [])
        assert isinstance(found, public_certificate.Acme)
        self.lineage = found.lineage
        variables = wanted | {"lineage": found.lineage, "mail": "", "authority": authority.read_text()}
        settings = self.root / "settings"
        (settings / "authority.pem").write_text(authority.read_text())
        (settings / "certbot.ini").write_text(self._rendered("etc/lucid/acme/certbot.ini", variables))
        self._unit = self._rendered(f"etc/systemd/system/{UNIT}", variables)

    def start(self) -> tuple[int, str]:
        """Runs the unit's commands until one fails; returns its status, and what all have said."""
        status, said = 0, ""
        environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= dict(value.split("=", 1) for value in self._values("Environment"))
        for command in self._values("ExecStart"):
            argv = shlex.split(command)
            if argv[0].endswith("certbot"):
                argv += ["--http-01-address", HOST]
            done = subprocess.run(
                argv, env=environment, capture_output=True, text=True, timeout=100, check=False
            )
            said += done.stdout + done.stderr
            if status := done.returncode:
                break
        return status, said

    def renew_before(self, days: int) -> None:
        """Has certbot renew what holds for fewer than so many days, 30 otherwise."""
        settings = self.state / f"renewal/{self.lineage}.conf"
        line = f"renew_before_expiry = {days} days"
        text, found = re.subn(r"(?m)^(# )?renew_before_expiry = .*$", line, settings.read_text())
        assert found == 1
        settings.write_text(text)

    def _values(self, key: str) -> list[str]:
        return [line.partition("=")[2] for line in self._unit.splitlines() if line.partition("=")[0] == key]

    def _rendered(self, name: str, wanted: dict[str, Any]) -> str:
        variables = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
        variables |= {
            "ansible_managed": "",
            "ansible_facts": {"python": {"version": {"minor": 11}}},
            "public_certificate_wanted": wanted,
            "_public_certificate_user": "nobody",
            "_public_certificate_directory": self.shown,
            "_public_certificate_settings": self.root / "settings",
            "_public_certificate_state": self.state,
            "_public_certificate_logs": self.root / "logs",
            "_public_certificate_program": self._program,
        }
        templates = Environment(  # noqa: S701 - these are no HTML
            loader=FileSystemLoader(ROLE / "templates"), undefined=StrictUndefined, trim_blocks=True
        )
        return templates.get_template(f"{name}.j2").render(variables)
