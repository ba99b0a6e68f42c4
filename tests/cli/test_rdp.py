"""Policies and desktops from the command line, through the gateway, at a site with hosts."""

import asyncio
import json
import logging
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from click.testing import Result

from lucid.evidence import policy as trust
from tests.cli.command import invoke
from tests.gateway.conftest import UNLIMITED
from tests.rdp.manager_site import Site, site
from tests.sessions.people import administrator, person

pytestmark = pytest.mark.asyncio(loop_scope="module")

Lucid = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rdp(
    tmp_path_factory: pytest.TempPathFactory, mongodb_url: str, redis_url: str
) -> AsyncIterator[Site]:
    """The services run in this process, where the command's output is caught: they are to be silent."""
    directory = tmp_path_factory.mktemp("site")
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    async with site(directory, mongodb_url, redis_url, "rdp1", "rdp2", **UNLIMITED) as made:
        await made.house.start("api-gateway")
        yield made
    structlog.configure(**before)


@pytest.fixture
def alone(tmp_path: Path) -> Lucid:
    """The command of somebody whom no deployment answers."""
    env = {"XDG_CONFIG_HOME": str(tmp_path), "LUCID_STATE": str(tmp_path), "LUCID_TOKEN": "x"}
    return commands(env | {"LUCID_API": "https://127.0.0.1:9"})


def speaking(rdp: Site, home: Path, token: str) -> Lucid:
    """The `lucid` command of somebody with a token and a home of their own, and no display."""
    home.mkdir()
    address = f"https://127.0.0.1:{rdp.house.ports['api-gateway']}"
    env = {"XDG_CONFIG_HOME": str(home), "DISPLAY": "", "LUCID_CA": str(rdp.house.tls / "ca.crt")}
    env |= {"LUCID_API": address, "LUCID_TOKEN": token, "LUCID_STATE": str(home / "none")}
    return commands(env)


def commands(env: dict[str, str]) -> Lucid:
    """The command in this environment; it is to end with an exit code."""

    async def run(*arguments: str, code: int = 0) -> Result:
        answer = await asyncio.to_thread(invoke, *arguments, env=env)
        assert answer.exit_code == code, (answer.stdout, answer.stderr, answer.exception)
        return answer

    return run


@pytest_asyncio.fixture(loop_scope="module")
async def lucid(rdp: Site, tmp_path: Path) -> Lucid:
    return speaking(rdp, tmp_path / "home", (await person(rdp.house, "anna"))._token)


def written(directory: Path, text: str) -> str:
    path = directory / "policy.toml"
    path.write_text(text)
    return str(path)


class TestPolicies:
    async def test_begin_as_a_file_that_allows_nothing_and_are_signed(
        self, lucid: Lucid, tmp_path: Path
    ) -> None:
        file = tmp_path / "office.toml"
        await lucid("policy", "new", str(file))
        assert "exists already" in (await lucid("policy", "new", str(file), code=2)).stderr
        made = await lucid("policy", "set", str(file))
        key = tmp_path / "home/lucid/owner.key"
        assert str(key) in made.stderr
        assert "'office' allows nothing" in made.stderr
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        shown = json.loads((await lucid("policy", "show", "office", "--json")).stdout)
        signed = trust.verify(shown["envelope"].encode())
        assert (shown["id"], shown["sha256"]) == (made.stdout.strip(), trust.digest(signed))
        assert trust.allowed(signed) == trust.recorded(signed) == ()

    async def test_say_what_they_have_recorded_beside_the_picture(self, lucid: Lucid, tmp_path: Path) -> None:
        file = tmp_path / "watched.toml"
        await lucid("policy", "new", str(file))
        text = file.read_text().replace('name = "office"', 'name = "watched"')
        file.write_text(text.replace("input = false ", "input = true "))
        made = await lucid("policy", "set", str(file))
        said = "recorded beside the picture: keys, clicks and movements"
        assert said in " ".join(made.stderr.split())
        shown = " ".join((await lucid("policy", "show", "watched")).stdout.split())
        assert "records the picture, keys, clicks and movements" in shown

    async def test_are_replaced_by_their_id(self, lucid: Lucid, tmp_path: Path) -> None:
        file = written(tmp_path, 'name = "home"\n[input]\nkeyboard = true\n')
        made = (await lucid("policy", "set", file)).stdout.strip()
        assert "for --id" in (await lucid("policy", "set", file, code=1)).stderr
        written(tmp_path, 'name = "home"\n[ends]\nidle_seconds = 60\n[clipboard]\nto_desktop = true\n')
        assert "version 2" in (await lucid("policy", "set", file, "--id", made)).stderr
        shown = (await lucid("policy", "show", made)).stdout
        assert "clipboard to the desktop" in shown
        assert "after 60 s without input" in shown
        assert "clipboard.to_desktop" in (await lucid("policy", "list")).stdout

    async def test_are_deleted_by_their_name(self, lucid: Lucid, tmp_path: Path) -> None:
        await lucid("policy", "set", written(tmp_path, 'name = "old"'))
        assert "deleted old, version 1" in (await lucid("policy", "delete", "old")).stderr
        assert "old" not in (await lucid("policy", "list")).stdout
        assert "no policy" in (await lucid("policy", "delete", "old", code=2)).stderr

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("name = ", "Invalid value"),
            ('name = "x"\n[input]\nmose = true', "mose"),
            ('name = "x"\n[camera]\non = true', "camera"),
            ('name = "x"\n[input]\nmouse = 1', "input.mouse"),
            ('name = "x"\nidle_seconds = 60\n[ends]\nidle_seconds = 70', "stands in it twice"),
            ('name = "x"\nends = 3', "not of the form"),
            ("[input]\nmouse = true", "name"),
        ],
    )
    async def test_at_fault_are_said_to_be_before_anything_is_sent(
        self, alone: Lucid, tmp_path: Path, text: str, words: str
    ) -> None:
        assert words in (await alone("policy", "set", written(tmp_path, text), code=2)).stderr

    async def test_by_another_key_are_refused_with_what_to_do(self, lucid: Lucid, tmp_path: Path) -> None:
        await lucid("policy", "set", written(tmp_path, 'name = "one"'))
        (tmp_path / "home/lucid/owner.key").unlink()
        answer = await lucid("policy", "set", written(tmp_path, 'name = "two"'), code=1)
        assert "owner.key from where you made your first policy" in answer.stderr
        (tmp_path / "home/lucid/owner.key").write_text("no key")
        assert (
            "64 hex digits"
            in (await lucid("policy", "set", written(tmp_path, 'name = "two"'), code=2)).stderr
        )


class TestDesktops:
    async def test_need_a_policy_and_say_how_to_get_one(self, lucid: Lucid, tmp_path: Path) -> None:
        assert "lucid policy new" in (await lucid("rdp", "open", code=2)).stderr
        for name in ("one", "two"):
            await lucid("policy", "set", written(tmp_path, f'name = "{name}"'))
        assert "--policy" in (await lucid("rdp", "open", code=2)).stderr
        assert "yours are: " in (await lucid("rdp", "open", "--policy", "three", code=2)).stderr

    async def test_are_opened_connected_to_again_and_ended(
        self, rdp: Site, lucid: Lucid, tmp_path: Path
    ) -> None:
        await lucid("policy", "set", written(tmp_path, 'name = "office"\n[input]\nmouse = true'))
        file = tmp_path / "desk.rdp"
        opened = await lucid(
            "rdp", "open", "--size", "1600x900", "--save", str(file), "--client", "203.0.113.7"
        )
        told = dict(line.strip().split(None, 1) for line in opened.stdout.splitlines() if line.strip())
        session, password = told["session"], told["password"]
        assert "desktopwidth:i:1600" in file.read_text()
        assert password not in file.read_text()
        (desk,) = [desk for desk in rdp.hosts.values() if session in desk.sessions]
        assert desk.log_in(session, "203.0.113.7", password)
        again = json.loads((await lucid("rdp", "open", "--session", session, "--json")).stdout)
        assert desk.log_in(session, "127.0.0.1", again["password"])
        assert session in (await lucid("rdp", "list")).stdout
        assert "ended: requested" in (await lucid("rdp", "end", session)).stdout
        refused = await lucid("rdp", "open", "--session", session, code=1)
        assert "LUCID_ERR_4007" in refused.stderr

    async def test_are_seen_by_admins_where_they_are(self, rdp: Site, lucid: Lucid, tmp_path: Path) -> None:
        assert "LUCID_ERR_2004" in (await lucid("rdp", "hosts", code=1)).stderr
        admin = speaking(rdp, tmp_path / "admin", (await administrator(rdp.house))._token)
        assert "is draining" in (await admin("rdp", "drain", "rdp1")).stdout
        assert "is draining" in (await admin("rdp", "hosts")).stdout
        assert "takes desktops" in (await admin("rdp", "drain", "rdp1", "--off")).stdout
        assert "the hosts are rdp1, rdp2" in (await admin("rdp", "drain", "rdp9", code=1)).stderr
