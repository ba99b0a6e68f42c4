"""Whose the files are that the module lucid_certificates keeps."""

import grp
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lucid import catalog
from lucid.deploy import secrets

MODULE = Path(__file__).parents[2] / "plugins/modules/lucid_certificates.py"
pytest.importorskip("ansible", reason="requirements/deploy.txt is not installed")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other groups")

AUTHORITY = secrets.complete(catalog.load(), {}).vault_ca_certificate


def look(directory: Path, group: str | None, *, check: bool = False) -> dict[str, Any]:
    """Runs the module on this machine, as Ansible does on a host: one program, whose keys are for a group."""
    program = {"name": "rdp", "unit": "u", "group": group, "dns": ["a.example.org"], "addresses": []}
    arguments = {
        "certificates": [program],
        "ca_certificate": AUTHORITY,
        "directory": str(directory),
        "_ansible_check_mode": check,
    }
    done = subprocess.run(
        [sys.executable, MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def groups(directory: Path) -> set[str]:
    """Of all that a program has."""
    return {grp.getgrgid(path.stat().st_gid).gr_name for path in (directory / "rdp").rglob("*")}


def test_keys_that_are_there_are_given_to_another_group(tmp_path: Path) -> None:
    assert look(tmp_path, "daemon")["regrouped"] == []
    assert groups(tmp_path) == {"daemon"}
    assert look(tmp_path, None, check=True)["regrouped"] == ["rdp"]
    assert groups(tmp_path) == {"daemon"}
    (tmp_path / "rdp/rdp.key").write_text("of an earlier release")
    os.chown(tmp_path / "rdp/rdp.key", 0, grp.getgrnam("daemon").gr_gid)
    (tmp_path / "rdp/rdp.key").chmod(0o640)
    answer = look(tmp_path, None)
    assert (answer["changed"], answer["regrouped"]) == (True, ["rdp"])
    assert groups(tmp_path) == {"root"}
    assert (tmp_path / "rdp/rdp.key").stat().st_mode & 0o777 == 0o640
    assert look(tmp_path, None)["regrouped"] == []
