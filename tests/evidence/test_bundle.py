"""Writing and reading bundles."""

import io
import tarfile
from dataclasses import replace
from typing import BinaryIO, cast

import pytest

from lucid.evidence import archive, bundle
from lucid.evidence.bundle import BundleReader, Parts
from lucid.evidence.errors import FormatError
from tests.evidence.world import OTHER_SESSION, SESSION, World

WORLD = World()
PARTS = WORLD.parts


def read_all(data: bytes) -> tuple[Parts, list[tuple[int, int, bytes]]]:
    reader = BundleReader(io.BytesIO(data))
    chunks = [(chunk.track, chunk.index, b"".join(chunk.pieces)) for chunk in reader.chunks()]
    return reader.parts, chunks


class TestRoundTrip:
    def test_with_chunks(self) -> None:
        parts, chunks = read_all(WORLD.bundle())
        assert parts == PARTS
        assert chunks == [(item.track, item.index, data) for item, data in WORLD.chunk_list]

    def test_without_chunks(self) -> None:
        assert read_all(WORLD.bundle(chunks=[])) == (PARTS, [])

    def test_the_same_evidence_is_the_same_file(self) -> None:
        assert WORLD.bundle() == World().bundle()

    def test_a_log_entry_keeps_its_exact_bytes(self) -> None:
        data = WORLD.bundle()
        for index in WORLD.session_entries:
            assert WORLD.entries[index] in data

    def test_the_pieces_for_a_streaming_service_add_up_to_the_same_file(self) -> None:
        out = bundle.metadata(PARTS)
        for item, data in WORLD.chunk_list:
            out += archive.member_header(bundle.chunk_name(item), len(data)) + data
            out += archive.padding(len(data))
        assert out + archive.END == WORLD.bundle()

    def test_the_file_is_named_after_its_session(self) -> None:
        assert bundle.file_name(SESSION) == f"{SESSION}.lucid"

    def test_large_chunks_are_written_piece_by_piece(self) -> None:
        class Counter:
            largest = 0

            def write(self, data: bytes) -> int:
                self.largest = max(self.largest, len(data))
                return len(data)

        out = Counter()
        leaf = WORLD.leaves[0]
        pieces = (bytes(1) for _ in range(leaf.sealed_size))
        bundle.write_bundle(cast("BinaryIO", out), replace(PARTS, leaves=()), [(leaf, pieces)])
        assert out.largest < 40_000


class TestWritingRefuses:
    @pytest.mark.parametrize("data", [b"", b"short"])
    def test_chunks_of_another_size_than_their_leaf(self, data: bytes) -> None:
        with pytest.raises(FormatError, match=f"{len(data)} bytes, but its leaf says"):
            WORLD.bundle(chunks=[(WORLD.leaves[0], data)])

    def test_metadata_that_readers_would_refuse(self) -> None:
        with pytest.raises(FormatError, match="checkpoint: 65537 bytes"):
            WORLD.bundle(checkpoint=bytes(65537))


class TestReadingRefuses:
    def test_any_order_but_one(self) -> None:
        members: list[tuple[str, bytes]] = []
        with tarfile.open(fileobj=io.BytesIO(WORLD.bundle(chunks=[])), mode="r:") as tar:
            for info in tar:
                extracted = tar.extractfile(info)
                assert extracted is not None
                members.append((info.name, extracted.read()))
        for first in range(len(members) - 1):
            swapped = members.copy()
            swapped[first : first + 2] = swapped[first + 1], swapped[first]
            with pytest.raises(FormatError, match="was expected"):
                read_all(_archive(swapped))
            with pytest.raises(FormatError, match="was expected"):
                read_all(_archive(members[:first] + members[first + 1 :]))

    def test_a_chunk_larger_than_any_chunk(self) -> None:
        header = archive.member_header("chunks/0/0", bundle.MAX_SEALED_SIZE + 1)
        with pytest.raises(FormatError, match="at most"):
            read_all(WORLD.bundle(chunks=[])[: -len(archive.END)] + header)

    @pytest.mark.parametrize(("name", "limit"), bundle._LIMITS.items())
    def test_metadata_larger_than_its_limit_before_reading_it(self, name: str, limit: int) -> None:
        data = b""
        for earlier in bundle._LIMITS:
            if earlier == name:
                break
            data += archive.member_header(earlier, 0)
        with pytest.raises(FormatError, match=f"at most {limit}"):
            read_all(data + archive.member_header(name, limit + 1))

    def test_lines_that_are_too_long_or_unfinished(self) -> None:
        with pytest.raises(FormatError, match="a line of 1025 bytes"):
            read_all(WORLD.bundle(chunks=[], leaves=(b"x" * 1025,)))
        data = WORLD.bundle(chunks=[]).replace(PARTS.leaves[-1] + b"\n", PARTS.leaves[-1] + b" ")
        with pytest.raises(FormatError, match="does not end in a newline"):
            read_all(data)

    def test_index_files_that_are_not_canonical(self) -> None:
        data = WORLD.bundle(chunks=[])
        about = b'{"format":"lucid-bundle/v1","session":"' + SESSION.encode() + b'"}'
        assert about in data
        for bad in (about.replace(b"v1", b"v2"), about.replace(SESSION[:8].encode(), b"X" * 8)):
            with pytest.raises(FormatError, match=r"lucid-bundle\.json"):
                read_all(data.replace(about, bad))
        assert read_all(data.replace(SESSION.encode(), OTHER_SESSION.encode(), 1))[0].session == OTHER_SESSION


def _archive(members: list[tuple[str, bytes]]) -> bytes:
    pieces = [
        archive.member_header(name, len(data)) + data + archive.padding(len(data)) for name, data in members
    ]
    return b"".join(pieces) + archive.END
