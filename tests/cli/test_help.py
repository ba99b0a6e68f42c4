"""Help that teaches, and usage errors that say what is right."""

import pytest

from lucid.cli import COMMANDS, api
from tests.cli.command import invoke


class TestHelp:
    def test_of_lucid_shows_the_journey_and_the_exit_codes(self) -> None:
        answer = invoke("--help")
        assert answer.exit_code == 0
        for text in (
            "lucid dev",
            "lucid record",
            "lucid verify session.lucid --trust trust.json",
            "Exit codes",
        ):
            assert text in answer.stdout

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_each_command_has_an_example(self, command: str) -> None:
        answer = invoke(command, "--help")
        assert answer.exit_code == 0
        assert "Example" in answer.stdout


class TestMisuse:
    def test_of_serve_lists_the_services(self) -> None:
        answer = invoke("serve", "nothing")
        assert answer.exit_code == 2
        assert "session-recorder" in answer.stderr

    @pytest.mark.parametrize("size", ["1280", "x720", "1280x720x24", "0x0"])
    def test_of_record_shows_the_form_of_a_size(self, size: str) -> None:
        answer = invoke("record", "--size", size, "--", "true")
        assert answer.exit_code == 2
        assert "1280x720" in answer.stderr

    def test_without_a_stack_says_how_to_start_one(self) -> None:
        answer = invoke("sessions", env={"LUCID_STATE": "/nowhere"})
        assert answer.exit_code == 4
        assert "lucid dev --detach" in answer.stderr

    def test_of_an_api_that_nobody_serves_is_exit_code_4(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api, "PATIENCE_SECONDS", 1.0)
        answer = invoke("trust", "--api", "https://127.0.0.1:1")
        assert answer.exit_code == 4
        assert "https://127.0.0.1:1 does not answer" in answer.stderr

    def test_of_an_api_without_a_token_says_how_to_give_one(self) -> None:
        answer = invoke("sessions", "--api", "https://127.0.0.1:1")
        assert answer.exit_code == 1
        assert "LUCID_TOKEN" in answer.stderr
