"""The second verifier as its users run it: one file, on its own."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lucid.evidence.steps import STEPS
from tests.evidence.verifying import CLEAN
from tests.evidence.world import World
from tests.verifier.both import trust_of
from verifier import lucid_verify

SOURCE = Path(lucid_verify.__file__)


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A directory with nothing of Lucid in it but the verifier, and with what an auditor has."""
    shutil.copy(SOURCE, tmp_path)
    (tmp_path / "bundle").write_bytes(CLEAN.bundle())
    (tmp_path / "trust").write_bytes(trust_of(CLEAN))
    (tmp_path / "checkpoint").write_bytes(CLEAN.note)
    (tmp_path / "other").write_bytes(World(seed="other").note)
    return tmp_path


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the file by itself: `-I` keeps the directory of this project and the environment out."""
    return subprocess.run(
        [sys.executable, "-I", "-W", "error", "lucid_verify.py", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class TestIndependence:
    def test_it_imports_nothing_but_the_standard_library_cryptography_and_zstandard(self) -> None:
        roots = set()
        for node in ast.walk(ast.parse(SOURCE.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                roots.add(str(node.module).partition(".")[0])
        assert {"cryptography", "zstandard"} <= roots
        assert roots - {"cryptography", "zstandard"} <= sys.stdlib_module_names
        assert not roots & {"importlib", "runpy", "subprocess", "socket", "urllib", "http"}

    def test_its_steps_have_the_numbers_and_names_of_the_formats_but_its_own_words(self) -> None:
        assert list(lucid_verify.MEANINGS) == [step.name for step in STEPS]
        assert not {step.meaning for step in STEPS} & set(lucid_verify.MEANINGS.values())


class TestExitCodes:
    def test_verified_refused_and_not_authenticated(self, alone: Path) -> None:
        verified = run(
            alone, "bundle", "--trust", "trust", "--against", "checkpoint", "--newer-than", "2023-11-14"
        )
        assert (verified.returncode, verified.stderr) == (0, "")
        assert verified.stdout.endswith("\nVERIFIED\n")
        refused = run(alone, "bundle", "--trust", "trust", "--against", "other")
        assert (refused.returncode, refused.stderr) == (1, "")
        assert lucid_verify.MEANINGS["against"] in refused.stdout
        unauthenticated = run(alone, "bundle")
        assert unauthenticated.returncode == 3
        assert unauthenticated.stdout.endswith("\nCONSISTENT NOT AUTHENTICATED\n")

    def test_freshness_in_any_time_zone(self, alone: Path) -> None:
        for moment, code in (
            ("2023-11-14T23:13:20Z", 0),
            ("2023-11-15T00:13:20+01:00", 0),
            ("2023-11-14T23:13:21Z", 1),
        ):
            assert (
                lucid_verify.main(
                    [str(alone / "bundle"), "--trust", str(alone / "trust"), "--newer-than", moment]
                )
                == code
            )

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ([], "required"),
            (["missing"], "missing"),
            (["bundle", "--trust", "checkpoint"], "checkpoint is no trust file to rely on"),
            (["bundle", "--trust", "missing"], "missing"),
            (["bundle", "--newer-than", "yesterday"], "yesterday"),
        ],
    )
    def test_2_for_what_cannot_be_used(self, alone: Path, arguments: list[str], problem: str) -> None:
        done = run(alone, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert problem in done.stderr
        assert "Traceback" not in done.stderr


class TestOutput:
    def test_json_has_the_outcome_and_every_step(self, alone: Path) -> None:
        report = json.loads(run(alone, "bundle", "--trust", "trust", "--json").stdout)
        assert report["outcome"] == "verified"
        assert [step["name"] for step in report["steps"]] == [step.name for step in STEPS]
        assert [step["number"] for step in report["steps"] if step["status"] == "skipped"] == [14, 15]

    def test_a_file_of_another_kind_is_refused_without_reading_all_of_it(self, alone: Path) -> None:
        with (alone / "huge").open("wb") as file:
            file.truncate(1 << 40)
        done = run(alone, "huge")
        assert done.returncode == 1
        assert "1 archive" in done.stdout


class TestLimits:
    def test_memory_does_not_grow_with_the_chunks(self, alone: Path) -> None:
        """100 chunks of 16 MiB with right headers: refused at the first that has no leaf."""
        data = CLEAN.bundle(chunks=[])
        assert data.endswith(bytes(1024))
        header = lucid_verify.tar_header("chunks/0/0", 1 << 24)
        header = lucid_verify.tar_header("chunks/0/0", 1 << 24, b"%06o\0 " % sum(header))
        with (alone / "long").open("wb") as file:
            file.write(data[:-1024])
            for _ in range(100):
                file.write(header)
                file.seek(1 << 24, 1)
            file.write(bytes(1024))
        limited = f"ulimit -v 400000; exec {sys.executable} -I lucid_verify.py long"
        done = subprocess.run(
            ["bash", "-c", limited], cwd=alone, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert f"more chunks than the {len(CLEAN.leaves)} leaves" in done.stdout
