"""A download is there whole or not at all."""

from pathlib import Path

import pytest

from lucid.cli.download import whole_file


class TestWholeFile:
    def test_has_its_name_only_once_it_is_complete(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        with whole_file(path) as file:
            file.write(b"content")
            assert not path.exists()
        assert path.read_bytes() == b"content"
        assert list(tmp_path.iterdir()) == [path]

    def test_that_fails_leaves_the_old_one_and_no_part(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old")

        def broken_off() -> None:
            with whole_file(path) as file:
                file.write(b"half")
                raise ConnectionError

        with pytest.raises(ConnectionError):
            broken_off()
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]
