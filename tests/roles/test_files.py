"""What the module lucid_files leaves behind: all of it, or nothing."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).parents[2] / "plugins/modules/lucid_files.py"
pytest.importorskip("ansible", reason="requirements/deploy.txt is not installed")


def bring(*files: dict[str, Any], **options: bool) -> dict[str, Any]:
    """Runs the module on this machine, as Ansible does on a host; `options` are Ansible's own."""
    own = {f"_ansible_{name}": value for name, value in options.items()}
    mine = {"owner": str(Path.home().owner()), "group": str(Path.home().group())}
    arguments = {"files": [mine | file for file in files], **own}
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


def mode(path: Path) -> str:
    """Permission bits, octal."""
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


class TestFilesAndDirectories:
    def test_come_with_their_modes_and_a_second_run_changes_nothing(self, tmp_path: Path) -> None:
        wanted = (
            {"path": f"{tmp_path}/d", "mode": "0750"},
            {"path": f"{tmp_path}/d/secret", "content": "x\n", "mode": "0400"},
            {"path": f"{tmp_path}/plain", "content": "é\n"},
        )
        first = bring(*wanted)
        assert first["written"] == [item["path"] for item in wanted]
        assert (tmp_path / "d/secret").read_text() == "x\n"
        assert [mode(tmp_path / name) for name in ("d", "d/secret", "plain")] == ["0750", "0400", "0644"]
        assert [bring(*wanted)[key] for key in ("changed", "written")] == [False, []]

    def test_what_is_no_text_is_given_in_base64(self, tmp_path: Path) -> None:
        wanted = {"path": f"{tmp_path}/key", "content": "AP+A", "base64": True, "mode": "0600"}
        assert bring(wanted)["written"] == [wanted["path"]]
        assert (tmp_path / "key").read_bytes() == b"\x00\xff\x80"
        assert bring(wanted)["written"] == []

    def test_only_what_differs_is_named(self, tmp_path: Path) -> None:
        one, other = ({"path": f"{tmp_path}/{name}", "content": "a"} for name in "ab")
        bring(one, other)
        (tmp_path / "a").chmod(0o600)
        assert bring(one, other)["written"] == [one["path"]]
        assert mode(tmp_path / "a") == "0644"

    def test_nothing_changes_in_check_mode_and_the_difference_is_shown(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        answer = bring(
            {"path": f"{tmp_path}/d"},
            {"path": f"{tmp_path}/d/x", "content": ""},
            {"path": f"{tmp_path}/a", "content": "new"},
            check_mode=True,
            diff=True,
        )
        assert [Path(path).name for path in answer["written"]] == ["d", "x", "a"]
        assert [(item["before"], item["after"]) for item in answer["diff"]] == [("", ""), ("old", "new")]
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a").read_text() == "old"

    def test_a_link_is_replaced_and_what_it_pointed_to_stays(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_text("theirs")
        (tmp_path / "a").symlink_to(tmp_path / "target")
        bring({"path": f"{tmp_path}/a", "content": "theirs"})
        assert not (tmp_path / "a").is_symlink()
        assert (tmp_path / "target").read_text() == "theirs"


class TestRefusals:
    def test_one_file_that_is_refused_keeps_all_from_being_written(self, tmp_path: Path) -> None:
        answer = bring(
            {"path": f"{tmp_path}/good", "content": "x"},
            {"path": f"{tmp_path}/bad", "content": "x", "validate": "grep -q y %s"},
        )
        assert answer["failed"]
        assert answer["msg"].startswith(f"{tmp_path}/bad stays as it was: `grep -q y %s` refuses the new one")
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_does_not_become_a_file_nor_a_file_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert "must be a directory" in bring({"path": f"{tmp_path}/file"})["msg"]
        assert "must be a file" in bring({"path": str(tmp_path), "content": ""})["msg"]

    def test_a_validation_without_a_place_for_the_file_is_refused(self, tmp_path: Path) -> None:
        answer = bring({"path": f"{tmp_path}/a", "content": "x", "validate": "true"})
        assert "has no %s" in answer["msg"]
