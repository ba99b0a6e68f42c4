"""The splitter against real ffmpeg output in pieces of any size, and against malformed boxes."""

import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucid.sessions.fmp4 import Fragment, FragmentSplitter, InitSegment
from lucid.sessions.recorder_encoder import Quality, encoding_arguments
from lucid.sessions.recording_errors import MediaFormatError

SECONDS = 6


@pytest.fixture(scope="module")
def stream() -> bytes:
    """What the recorder's encoder makes of six seconds of a moving test picture with odd sides."""
    source = ["-f", "lavfi", "-i", f"testsrc=size=161x121:rate=15:duration={SECONDS}"]
    command = ["ffmpeg", "-nostdin", "-v", "error", *source, *encoding_arguments(Quality.LOW)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=30).stdout


def box(kind: str, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def moov(*, timescale: int = 1000, version: int = 0) -> bytes:
    times = bytes(16 if version else 8)
    mdhd = box("mdhd", struct.pack(">B3x", version) + times + struct.pack(">I", timescale) + bytes(8))
    trex = box("trex", struct.pack(">6I", 0, 1, 1, 40, 0, 0x1_0000))
    return box("moov", box("trak", box("mdia", mdhd)) + box("mvex", trex))


def moof(tfhd: bytes, trun: bytes, tfdt: bytes = struct.pack(">2I", 0, 7000)) -> bytes:
    return box("moof", box("traf", box("tfhd", tfhd) + box("tfdt", tfdt) + box("trun", trun)))


PLAIN_TFHD = struct.pack(">2I", 0x20000, 1)
TWO_SAMPLES = struct.pack(">2I", 0x4, 2) + bytes(4)
START = box("ftyp", b"isom") + moov()


def only_fragment(data: bytes) -> Fragment:
    fragment = FragmentSplitter().feed(data)[-1]
    assert isinstance(fragment, Fragment)
    return fragment


class TestRealStream:
    def test_is_an_init_segment_then_fragments_on_key_frames(self, stream: bytes) -> None:
        init, *fragments = FragmentSplitter().feed(stream)
        assert isinstance(init, InitSegment)
        assert init.data[4:8] == b"ftyp"
        assert b"moov" in init.data
        assert all(isinstance(fragment, Fragment) and fragment.keyframe for fragment in fragments)

    def test_has_its_times_as_the_key_frames_were_asked_for(self, stream: bytes) -> None:
        times = [
            (segment.start_ms, segment.end_ms)
            for segment in FragmentSplitter().feed(stream)
            if isinstance(segment, Fragment)
        ]
        assert times == [(0, 533), (533, 5533), (5533, 1000 * SECONDS)]

    def test_loses_nothing_but_the_index_at_its_end(self, stream: bytes) -> None:
        splitter = FragmentSplitter()
        kept = b"".join(segment.data for segment in splitter.feed(stream))
        assert stream.startswith(kept)
        assert stream[len(kept) + 4 : len(kept) + 8] == b"mfra"
        assert splitter.unfinished == 0

    @settings(max_examples=30, deadline=None)
    @given(data=st.data())
    def test_splits_the_same_however_it_arrives(self, stream: bytes, data: st.DataObject) -> None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=40)))
        splitter = FragmentSplitter()
        pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        segments = [segment for piece in pieces for segment in splitter.feed(piece)]
        assert segments == FragmentSplitter().feed(stream)

    def test_cut_off_anywhere_tells_how_much_is_unfinished(self, stream: bytes) -> None:
        for end in range(0, len(stream), 997):
            splitter = FragmentSplitter()
            whole = sum(len(segment.data) for segment in splitter.feed(stream[:end]))
            assert whole + splitter.unfinished == end or stream[end:] == b""

    def test_arriving_byte_by_byte_is_the_same(self, stream: bytes) -> None:
        splitter = FragmentSplitter()
        segments = [
            segment for offset in range(len(stream)) for segment in splitter.feed(stream[offset : offset + 1])
        ]
        assert segments == FragmentSplitter().feed(stream)


class TestSampleTables:
    def test_take_duration_and_flags_from_the_track_extends_box_by_default(self) -> None:
        fragment = only_fragment(START + moof(PLAIN_TFHD, struct.pack(">2I", 0, 3)) + box("mdat"))
        assert (fragment.duration, fragment.keyframe) == (120, False)

    def test_take_them_from_the_fragment_header_before_that(self) -> None:
        tfhd = struct.pack(">2IQ5I", 0x3B, 1, 99, 1, 50, 9, 0, 0)[:-4]
        fragment = only_fragment(START + moof(tfhd, struct.pack(">2I", 0, 3)) + box("mdat"))
        assert (fragment.duration, fragment.keyframe) == (150, True)

    def test_take_them_from_the_samples_before_all(self) -> None:
        trun = struct.pack(">2I", 0xF01, 2) + bytes(4)
        trun += struct.pack(">4I", 11, 1, 0, 0) + struct.pack(">4I", 12, 1, 0x1_0000, 0)
        fragment = only_fragment(START + moof(PLAIN_TFHD, trun) + box("mdat"))
        assert (fragment.duration, fragment.keyframe) == (23, True)

    def test_let_the_first_sample_flags_overrule(self) -> None:
        trun = struct.pack(">2I", 0x4, 1) + struct.pack(">I", 0)
        assert only_fragment(START + moof(PLAIN_TFHD, trun) + box("mdat")).keyframe

    def test_read_long_times(self) -> None:
        tfdt = struct.pack(">IQ", 1 << 24, 2**40)
        start = box("ftyp") + moov(timescale=8000, version=1)
        fragment = only_fragment(start + moof(PLAIN_TFHD, TWO_SAMPLES, tfdt) + box("mdat"))
        assert (fragment.decode_time, fragment.timescale) == (2**40, 8000)
        assert fragment.start_ms == 2**40 // 8

    def test_accept_a_media_box_with_a_long_size(self) -> None:
        mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + 3) + b"abc"
        assert only_fragment(START + moof(PLAIN_TFHD, TWO_SAMPLES) + mdat).data.endswith(b"abc")


class TestRefuses:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (moov(), "'moov' after 'nothing': expected ftyp"),
            (START + box("sidx"), "'sidx' after 'moov': expected moof or mfra"),
            (START + box("mdat"), "'mdat' after 'moov'"),
            (START + moof(PLAIN_TFHD, TWO_SAMPLES) + box("moof"), "'moof' after 'moof': expected mdat"),
            (START + box("mfra") + box("moof"), "expected the end of the stream"),
            (struct.pack(">I4s", 7, b"ftyp"), "declares 7 bytes"),
            (struct.pack(">I4s", 0, b"ftyp"), "declares 0 bytes"),
            (struct.pack(">I4sQ", 1, b"ftyp", 15), "declares 15 bytes"),
            (box("ftyp") + box("moov"), "'moov' holds 0 boxes 'trak'"),
            (box("ftyp") + moov(timescale=0), "timescale of 0"),
            (START + moof(PLAIN_TFHD[:6], TWO_SAMPLES) + box("mdat"), "'tfhd' is cut short"),
            (START + moof(PLAIN_TFHD, struct.pack(">2I", 0, 0)) + box("mdat"), "no samples"),
            (START + moof(PLAIN_TFHD, struct.pack(">2I", 0x100, 9)) + box("mdat"), "its 9 samples"),
            (START + moof(PLAIN_TFHD, struct.pack(">2I", 0xF00, 2**32 - 1)) + box("mdat"), "samples"),
            (START + box("moof", box("traf") * 2) + box("mdat"), "'moof' holds 2 boxes 'traf'"),
            (START + box("moof", b"\0\0\0\x20traf") + box("mdat"), "where 8 are left"),
            (START + box("moof", b"\0\0\0") + box("mdat"), "inside the header"),
        ],
    )
    def test_what_lucids_encoder_does_not_write(self, data: bytes, words: str) -> None:
        with pytest.raises(MediaFormatError, match=words):
            FragmentSplitter().feed(data)

    def test_a_box_larger_than_allowed_from_its_header_alone(self) -> None:
        splitter = FragmentSplitter(max_box=1000)
        with pytest.raises(MediaFormatError, match="allowed are 8 to 1000"):
            splitter.feed(struct.pack(">I4s", 1001, b"ftyp"))

    @given(st.binary(max_size=300))
    def test_nothing_with_any_other_error(self, noise: bytes) -> None:
        splitter = FragmentSplitter()
        try:
            splitter.feed(START + moof(PLAIN_TFHD, noise) + box("mdat"))
        except MediaFormatError:
            return
        assert splitter.unfinished == 0
