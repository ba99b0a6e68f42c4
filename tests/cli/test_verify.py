"""`lucid verify`: what it prints, and the exit codes that scripts rely on."""

import contextlib
import json
from pathlib import Path

import pytest
from click.testing import Result

from lucid.evidence import trust
from lucid.evidence.steps import STEPS
from tests.cli.command import invoke
from tests.evidence.world import COSIGNED_S, SESSION, World


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a bundle, its trust file and its checkpoint."""
    world = World()
    (tmp_path / "bundle").write_bytes(world.bundle())
    (tmp_path / "trust").write_bytes(trust.encode(world.trust_file))
    (tmp_path / "checkpoint").write_bytes(world.note)
    return tmp_path


def _verify(directory: Path, *arguments: str) -> Result:
    """Runs the command in the directory of the files."""
    with contextlib.chdir(directory):
        return invoke("verify", *arguments)


class TestExitCodes:
    def test_0_for_a_bundle_that_the_trust_file_vouches_for(self, files: Path) -> None:
        answer = _verify(files, "bundle", "--trust", "trust", "--against", "checkpoint")
        assert answer.exit_code == 0, answer.stdout
        assert "VERIFIED" in answer.stdout
        assert SESSION in answer.stdout
        said = " ".join(answer.stdout.split())
        assert "'office' allows mouse, keyboard, clipboard to the desktop; nothing else" in said
        assert (
            "The client is disconnected after 900 s without input; the session ends after 28800 s;"
            " without a recorder it ends"
        ) in said

    def test_1_for_a_bundle_with_one_changed_byte(self, files: Path) -> None:
        content = bytearray((files / "bundle").read_bytes())
        content[-2048] ^= 1
        (files / "bundle").write_bytes(content)
        answer = _verify(files, "bundle", "--trust", "trust")
        assert answer.exit_code == 1
        assert "REFUSED" in answer.stdout
        assert any(step.meaning in answer.stdout for step in STEPS)

    def test_3_without_a_trust_file(self, files: Path) -> None:
        answer = _verify(files, "bundle")
        assert answer.exit_code == 3
        assert "NOT AUTHENTICATED" in answer.stdout

    def test_2_for_files_that_cannot_be_used(self, files: Path) -> None:
        assert _verify(files, "missing").exit_code == 2
        answer = _verify(files, "bundle", "--trust", "checkpoint")
        assert answer.exit_code == 2
        assert "checkpoint is no trust file" in answer.stderr

    def test_1_for_a_checkpoint_of_another_log(self, files: Path) -> None:
        (files / "other").write_bytes(World(seed="other", chunks=9).note)
        assert _verify(files, "bundle", "--trust", "trust", "--against", "other").exit_code == 1


class TestFreshness:
    def test_accepts_and_refuses_by_the_time_of_the_cosignatures(self, files: Path) -> None:
        # 14 November 2023, 23:13:20 UTC
        assert COSIGNED_S == 1_700_003_600
        for moment, code in (
            ("2023-11-14", 0),
            ("2023-11-14T23:13:20Z", 0),
            ("2023-11-15T00:13:20+01:00", 0),
            ("2023-11-14T23:13:21Z", 1),
            ("yesterday", 2),
        ):
            answer = _verify(files, "bundle", "--trust", "trust", "--newer-than", moment)
            assert answer.exit_code == code, moment


class TestOutput:
    def test_json_has_every_step_in_order(self, files: Path) -> None:
        report = json.loads(_verify(files, "bundle", "--trust", "trust", "--json").stdout)
        assert report["outcome"] == "verified"
        assert report["policy"]["trust_policy"]["name"] == "office"
        assert report["policy"]["allowed"] == ["input.mouse", "input.keyboard", "clipboard.to_desktop"]
        assert [step["name"] for step in report["steps"]] == [step.name for step in STEPS]

    def test_numbers_the_steps_up_to_the_one_that_failed(self, files: Path) -> None:
        (files / "bundle").write_bytes((files / "bundle").read_bytes()[:-1])
        answer = _verify(files, "bundle", "--trust", "trust")
        assert "1 archive" in answer.stdout
        assert f"{len(STEPS) - 1} later step(s) were not tried" in answer.stdout
