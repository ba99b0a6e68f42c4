"""Logging in to a deployment, and being somebody there for the commands that follow."""

import json
import stat
from pathlib import Path

import msgspec
import pytest

from lucid.cli.saved import Saved
from lucid.dev import operator
from tests.cli.command import RunningStack, invoke, lucid

pytestmark = pytest.mark.stack


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody on a machine where no stack runs."""
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "LUCID_STATE": str(tmp_path / "no-stack")}


@pytest.fixture
def kept(home: dict[str, str]) -> Path:
    """Where the login is kept."""
    return Path(home["XDG_CONFIG_HOME"]) / "lucid/login.json"


@pytest.fixture
def logged_in(stack: RunningStack, home: dict[str, str], tmp_path: Path) -> str:
    """The operator's mail address, logged in with the password."""
    account = operator.load(stack.state.operator.read_bytes())
    password = tmp_path / "password"
    password.write_text(account.password + "\n")
    running = stack.running
    answer = lucid(
        *("login", "--api", running.api, "--ca", running.ca),
        *("--email", account.email, "--password-file", str(password)),
        env=home,
    )
    assert answer.returncode == 0, answer.stderr
    return account.email


class TestALogin:
    def test_is_what_later_commands_act_as(self, home: dict[str, str], logged_in: str) -> None:
        answer = lucid("whoami", "--json", env=home)
        assert answer.returncode == 0, answer.stderr
        found = json.loads(answer.stdout)
        assert (found["user"]["email"], found["user"]["role"]) == (logged_in, "super_admin")
        assert lucid("sessions", env=home).returncode == 0

    def test_is_readable_by_its_owner_alone(self, kept: Path, logged_in: str) -> None:
        assert logged_in
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700

    def test_renews_itself(self, home: dict[str, str], kept: Path, logged_in: str) -> None:
        before = msgspec.json.decode(kept.read_bytes(), type=Saved)
        kept.write_bytes(msgspec.json.encode(msgspec.structs.replace(before, access_token="too.old.now")))
        answer = lucid("whoami", env=home)
        assert answer.returncode == 0, answer.stderr
        assert logged_in in answer.stdout
        after = msgspec.json.decode(kept.read_bytes(), type=Saved)
        assert after.refresh_token != before.refresh_token
        assert lucid("whoami", env=home).returncode == 0

    def test_is_over_after_logging_out(self, home: dict[str, str], kept: Path, logged_in: str) -> None:
        assert logged_in
        saved = kept.read_bytes()
        assert lucid("logout", env=home).returncode == 0
        assert not kept.exists()
        kept.write_bytes(saved)
        answer = lucid("whoami", env=home)
        assert answer.returncode == 1
        assert "LUCID_ERR_20" in answer.stderr


class TestMisuse:
    def test_without_a_login_logout_says_so(self, home: dict[str, str]) -> None:
        answer = invoke("logout", env=home)
        assert answer.exit_code == 1
        assert "nobody is logged in" in answer.stderr

    def test_without_a_deployment_whoami_says_how_to_get_one(self, home: dict[str, str]) -> None:
        answer = invoke("whoami", env=home)
        assert answer.exit_code == 4
        assert "lucid login" in answer.stderr
