"""What role xrdp offers as desktops: choices, packages, and the programs that start them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles/xrdp"
PROGRAMS = "/usr/libexec/lucid/"
VARIABLES: dict[str, Any] = yaml.safe_load((ROLE / "vars/main.yml").read_text())
DESKTOPS: dict[str, dict[str, Any]] = VARIABLES["_xrdp_desktops"]


def options() -> dict[str, Any]:
    """What whoever deploys may set."""
    specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())
    found: dict[str, Any] = specs["argument_specs"]["main"]["options"]
    return found


def own(command: str) -> list[str]:
    """The programs of a command that the role itself brings."""
    return re.findall(rf"{PROGRAMS}[\w-]+", command)


def test_the_choices_are_the_desktops_that_the_role_knows() -> None:
    assert set(options()["xrdp_desktop"]["choices"]) == set(DESKTOPS)
    default = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["xrdp_desktop"]
    assert default in DESKTOPS


@pytest.mark.parametrize("name", sorted(DESKTOPS))
def test_programs_that_start_a_desktop_are_written_and_can_be_run(name: str) -> None:
    modes = {file["path"]: file.get("mode") for file in VARIABLES["_xrdp_files"]}
    for program in own(DESKTOPS[name]["command"]):
        assert modes.get(program) == "0755", program
        source = ROLE / "files" / program.lstrip("/")
        assert source.read_text().startswith("#!/bin/sh\n")
        subprocess.run(["sh", "-n", source], check=True, timeout=10)


@pytest.mark.parametrize("name", sorted(DESKTOPS))
def test_a_bus_of_the_session_comes_from_a_package_that_is_installed(name: str) -> None:
    starters = {"dbus-run-session": "dbus-daemon", "dbus-launch": "dbus-x11"}
    first = DESKTOPS[name]["command"].split()[0]
    assert name == "light" or first in starters, "larger desktops do not start without a session bus"
    assert first not in starters or starters[first] in DESKTOPS[name]["packages"]
