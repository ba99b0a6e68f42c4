"""The tar subset: others read what we write, and we read nothing else."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.evidence import archive
from lucid.evidence.archive import ArchiveReader
from lucid.evidence.errors import FormatError

Files = dict[str, bytes]
NAMES = st.text("abcdefgh/.-_0123456789", min_size=1, max_size=100)


def written(files: Files) -> bytes:
    pieces = [
        archive.member_header(name, len(data)) + data + archive.padding(len(data))
        for name, data in files.items()
    ]
    return b"".join(pieces) + archive.END


def read(data: bytes, stream: io.BytesIO | None = None) -> Files:
    reader = ArchiveReader(stream or io.BytesIO(data))
    files = {}
    while (member := reader.next_member()) is not None:
        files[member.name] = b"".join(reader.pieces(member))
    return files


class OneByteAtATime(io.BytesIO):
    """A pipe that hands out as little as it may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 1))


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5))
def test_round_trips(files: Files) -> None:
    assert read(written(files)) == files


def test_reads_from_a_slow_pipe_and_reports_progress() -> None:
    data = written({"a": b"hello", "b": bytes(512)})
    seen: list[int] = []
    reader = ArchiveReader(OneByteAtATime(data), seen.append)
    while (member := reader.next_member()) is not None:
        assert len(b"".join(reader.pieces(member))) == member.size
    assert seen == sorted(seen)
    assert seen[-1] == len(data)


def test_pythons_tarfile_reads_it() -> None:
    files = {"lucid-bundle.json": b"{}", "chunks/0/1": bytes(range(256)) * 5}
    with tarfile.open(fileobj=io.BytesIO(written(files)), mode="r:") as tar:
        for info in tar:
            extracted = tar.extractfile(info)
            assert extracted is not None
            assert extracted.read() == files[info.name]
            assert (info.mode, info.uid, info.gid, info.mtime, info.type) == (0o644, 0, 0, 0, tarfile.REGTYPE)


@pytest.mark.skipif(not shutil.which("tar"), reason="needs the tar program")
def test_the_tar_program_unpacks_it_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "x.lucid").write_bytes(written({"a.json": b"{}", "chunks/0/0": b"x" * 700}))
    done = subprocess.run(
        ["tar", "-xf", "x.lucid"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stderr == ""
    assert (tmp_path / "chunks/0/0").read_bytes() == b"x" * 700


def test_a_flip_of_any_byte_of_a_header_is_refused() -> None:
    data = written({"abc": b"x"})
    for position in range(512):
        flipped = bytearray(data)
        flipped[position] ^= 1
        with pytest.raises(FormatError, match="ustar"):
            read(bytes(flipped))


def test_nothing_may_follow_the_end_or_fill_the_padding() -> None:
    data = written({"a": b"x"})
    with pytest.raises(FormatError, match="after its end"):
        read(data + b"\0")
    with pytest.raises(FormatError, match="padding"):
        read(data[:1000] + b"!" + data[1001:])
    with pytest.raises(FormatError, match="lone zero block"):
        read(data[:-1] + b"!")


def test_every_shorter_file_is_cut_off() -> None:
    data = written({"a": b"x" * 600})
    for size in range(0, len(data), 37):
        with pytest.raises(FormatError, match="cut off"):
            read(data[:size])


@pytest.mark.parametrize(
    ("name", "size"), [("", 1), ("x" * 101, 1), ("é", 1), ("a\0b", 1), ("x", 8**11), ("x", -1)]
)
def test_what_does_not_fit_is_not_written(name: str, size: int) -> None:
    with pytest.raises(FormatError):
        archive.member_header(name, size)
