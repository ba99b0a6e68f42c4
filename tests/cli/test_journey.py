"""The journey as a person takes it, command by command, on the real stack."""

import json
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lucid.cli.api import ApiError, Target
from lucid.contracts import auth_service
from lucid.dev import operator
from lucid.kit.errors import Code
from lucid.kit.routes import NOTHING
from tests.cli.command import RunningStack, lucid

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def session(stack: RunningStack) -> str:
    """The id of a recording of six seconds, anchored."""
    command = ("record", "--seconds", "6", "--fps", "15", "--size", "640x480", "--name", "journey", "--json")
    answer = stack.lucid(*command, "--", "xclock", "-update", "1", seconds=100)
    assert answer.returncode == 0, answer.stderr
    details = json.loads(answer.stdout)
    assert details["session"]["state"] == "completed"
    assert details["session"]["end_reason"] == "stopped"
    assert details["proof"]["anchored"]
    return str(details["session"]["id"])


@pytest.fixture(scope="module")
def evidence(stack: RunningStack, session: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the bundle and the trust file."""
    directory = tmp_path_factory.mktemp("evidence")
    for command in (("bundle", session, "-o", "bundle"), ("trust", "-o", "trust")):
        answer = stack.lucid(*command[:-1], str(directory / command[-1]))
        assert answer.returncode == 0, answer.stderr
    return directory


class TestARecording:
    def test_is_listed_and_shown_with_its_anchors(self, stack: RunningStack, session: str) -> None:
        assert session in stack.lucid("sessions").stdout
        shown = stack.lucid("sessions", session).stdout
        assert "journey" in shown
        assert "manifest final" in shown

    def test_is_proved_offline(self, stack: RunningStack, evidence: Path) -> None:
        paths = str(evidence / "bundle"), "--trust", str(evidence / "trust")
        answer = stack.lucid("verify", *paths)
        assert answer.returncode == 0, answer.stdout

    def test_with_a_changed_byte_is_refused(
        self, stack: RunningStack, evidence: Path, tmp_path: Path
    ) -> None:
        content = bytearray((evidence / "bundle").read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / "changed").write_bytes(content)
        answer = stack.lucid("verify", str(tmp_path / "changed"), "--trust", str(evidence / "trust"))
        assert answer.returncode == 1

    def test_is_evidence_without_its_chunks_too(
        self, stack: RunningStack, session: str, evidence: Path, tmp_path: Path
    ) -> None:
        small = tmp_path / "small"
        assert stack.lucid("bundle", session, "--no-chunks", "-o", str(small)).returncode == 0
        assert small.stat().st_size < (evidence / "bundle").stat().st_size
        assert stack.lucid("verify", str(small), "--trust", str(evidence / "trust")).returncode == 0

    def test_plays(self, stack: RunningStack, session: str, tmp_path: Path) -> None:
        path = tmp_path / "session.mp4"
        answer = stack.lucid("replay", session, "-o", str(path))
        assert answer.returncode == 0, answer.stderr
        command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
        played = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert 4.0 < float(played) < 10.0


class TestRefusals:
    def test_an_unknown_session_is_named_with_code_and_request_id(self, stack: RunningStack) -> None:
        answer = stack.lucid("sessions", "00000000-0000-4000-8000-000000000000")
        assert answer.returncode == 1
        assert answer.stderr.startswith("lucid: ")
        assert "LUCID_ERR_4001, request id " in answer.stderr

    def test_a_gateway_of_another_authority_is_not_talked_to(self, stack: RunningStack) -> None:
        answer = stack.lucid("trust", "--api", stack.running.api, seconds=20)
        assert answer.returncode == 1
        assert "--ca" in answer.stderr


class TestTokens:
    async def test_that_do_not_hold_any_more_are_replaced_by_logging_in(self, stack: RunningStack) -> None:
        account = operator.load(stack.state.operator.read_bytes())
        target = Target(stack.running.api, Path(stack.running.ca), token="old", operator=account)
        async with target.open() as api:
            assert (await api.call(auth_service.STATUS, NOTHING)).role == "super_admin"

    async def test_are_refused_where_no_other_can_be_had(self, stack: RunningStack) -> None:
        target = Target(stack.running.api, Path(stack.running.ca), token="old")
        async with target.open() as api:
            with pytest.raises(ApiError) as caught:
                await api.call(auth_service.STATUS, NOTHING)
        assert caught.value.code is Code.TOKEN_INVALID


class TestWhatFollowsARecording:
    """In the order of a recording's life: the last test erases it."""

    def test_a_stretch_is_disclosed_proved_and_played_offline(
        self, stack: RunningStack, session: str, evidence: Path, tmp_path: Path
    ) -> None:
        ended = json.loads(stack.lucid("sessions", session, "--json").stdout)["session"]["ended_ms"]
        begin, end = (datetime.fromtimestamp(ended / 1000 - ago, UTC).isoformat() for ago in (2, 1))
        part, film = tmp_path / "part", tmp_path / "part.mp4"
        answer = stack.lucid("bundle", session, "--from", begin, "--to", end, "-o", str(part))
        assert answer.returncode == 0, answer.stderr
        assert stack.lucid("verify", str(part), "--trust", str(evidence / "trust")).returncode == 0
        nowhere = {"LUCID_STATE": str(tmp_path / "nowhere")}
        answer = lucid("replay", "--bundle", str(part), "-o", str(film), env=nowhere)
        assert answer.returncode == 0, answer.stderr
        command = ["ffprobe", "-v", "error", "-count_frames", "-of", "csv=p=0"]
        entries = ["-show_entries", "stream=nb_read_frames:format=duration", str(film)]
        said = subprocess.run([*command, *entries], check=True, capture_output=True, text=True)
        frames, seconds = said.stdout.split()
        # All of the second that was asked for; how many frames depends on what happened on the desktop.
        assert float(seconds) >= 1
        assert int(frames) >= 2

    def test_who_was_given_it_is_listed(self, stack: RunningStack, session: str) -> None:
        rows = json.loads(stack.lucid("access", session, "--json").stdout)["accesses"]
        assert {row["what"] for row in rows} >= {"disclosure", "export"}
        assert "disclosure" in stack.lucid("access", session).stdout

    def test_what_cannot_be_meant_is_refused(self, session: str, evidence: Path, stack: RunningStack) -> None:
        both = ["replay", session, "--bundle", str(evidence / "bundle")]
        half = ["bundle", session, "--from", "2030-01-01"]
        for arguments in (["replay"], both, half, [*half, "--to", "2031-01-01", "--no-chunks"]):
            assert stack.lucid(*arguments).returncode == 2
        answer = stack.lucid("replay", "--bundle", str(evidence / "bundle"))
        assert (answer.returncode, "discloses nothing" in answer.stderr) == (1, True)

    def test_it_is_held_then_erased_and_its_receipt_stays(
        self, stack: RunningStack, session: str, evidence: Path, tmp_path: Path
    ) -> None:
        assert stack.lucid("hold", session, "on", "--reason", "case [7]").stdout == "held\n"
        answer = stack.lucid("erase", session, "--yes")
        assert (answer.returncode, "legal hold" in answer.stderr) == (1, True)
        assert stack.lucid("hold", session, "off", "--reason", "settled").stdout == "not held\n"
        assert stack.lucid("erase", session).returncode == 1
        assert stack.lucid("erase", session, "--yes").returncode == 0
        until = time.monotonic() + 30
        while '"deleted"' not in stack.lucid("sessions", session, "--json").stdout:
            assert time.monotonic() < until
            time.sleep(0.5)
        answer = stack.lucid("replay", session, "-o", str(tmp_path / "none.mp4"))
        assert (answer.returncode, "was erased" in answer.stderr) == (1, True)
        receipt = str(tmp_path / "receipt")
        assert stack.lucid("bundle", session, "--no-chunks", "-o", receipt).returncode == 0
        assert stack.lucid("verify", receipt, "--trust", str(evidence / "trust")).returncode == 0
        assert "case [7]" in stack.lucid("access", session).stdout


class TestAnyRequest:
    def test_prints_what_the_api_answers(self, stack: RunningStack, session: str) -> None:
        answer = stack.lucid("api", "GET", "/sessions", "-q", "limit=1")
        assert answer.returncode == 0, answer.stderr
        assert [each["id"] for each in json.loads(answer.stdout)["sessions"]] == [session]

    def test_takes_a_body(self, stack: RunningStack, tmp_path: Path) -> None:
        body = tmp_path / "new.json"
        body.write_text('{"name": "by hand"}')
        made = stack.lucid("api", "post", "/sessions", "-d", f"@{body}")
        assert made.returncode == 0, made.stderr
        assert json.loads(made.stdout)["name"] == "by hand"

    def test_that_is_refused_says_why_and_fails(self, stack: RunningStack) -> None:
        answer = stack.lucid("api", "GET", "/sessions", "-q", "limit=1000")
        assert answer.returncode == 1
        assert "LUCID_ERR_1004" in answer.stderr

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("GET", "sessions"), "begins with a slash"),
            (("GET", "/sessions", "-q", "limit"), "NAME=VALUE"),
            (("POST", "/sessions", "-d", "{name"), "not JSON"),
            (("POST", "/sessions", "-d", "@/nowhere"), "No such file"),
        ],
    )
    def test_that_cannot_be_sent_is_misuse(
        self, stack: RunningStack, arguments: tuple[str, ...], complaint: str
    ) -> None:
        answer = stack.lucid("api", *arguments)
        assert answer.returncode == 2
        assert complaint in answer.stderr
