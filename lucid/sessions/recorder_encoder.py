"""What the encoder is told: the capture's settings and the ffmpeg command line made of them."""

from dataclasses import dataclass
from enum import StrEnum

from lucid.sessions.frame_pacing import FIRST_KEY_FRAME_AFTER
from lucid.sessions.recording_errors import CaptureSettingError, DisplayError
from lucid.sessions.x11_wire import ScreenSize

SMALLEST_SCREEN = ScreenSize(320, 240)
LARGEST_SCREEN = ScreenSize(7680, 4320)
FRAME_RATES = range(1, 121)

KEY_FRAME_EVERY = 5  # seconds

# 20 Mbit/s with a buffer of one second bounds a fragment of five seconds to 15 MB, whatever the screen shows,
# so that it always fits into a chunk of 16 MiB. Ordinary desktops stay far below.
_RATE_LIMIT = "20M"


class Quality(StrEnum):
    """How much detail is kept. At "high", text of any size stays legible."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    ULTRA = "ultra"


_CONSTANT_RATE_FACTOR = {Quality.LOW: 36, Quality.MEDIUM: 32, Quality.HIGH: 28, Quality.ULTRA: 20}


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureSettings:
    """``frame_rate`` in frames a second, 1 to 120. ``ffmpeg`` is the program: a name in PATH or a path.

    ``stall_seconds`` is how long the encoder may be silent before it counts as hung; it writes at least
    every ``KEY_FRAME_EVERY`` seconds. ``capture_socket`` is the path of the socket behind which systemd runs
    captures, each as a user of its own, with the ``ffmpeg`` that is there; empty: they are our own children.
    """

    frame_rate: int = 30
    quality: Quality = Quality.HIGH
    ffmpeg: str = "ffmpeg"
    stall_seconds: float = 20.0
    capture_socket: str = ""

    def __post_init__(self) -> None:
        """Raises CaptureSettingError."""
        if self.frame_rate not in FRAME_RATES:
            raise CaptureSettingError(f"frame_rate is {self.frame_rate}: set 1 to 120 frames a second")
        if self.quality not in _CONSTANT_RATE_FACTOR:
            raise CaptureSettingError(f"quality is {self.quality!r}: set one of {', '.join(Quality)}")
        if self.stall_seconds <= KEY_FRAME_EVERY:
            raise CaptureSettingError(
                f"stall_seconds is {self.stall_seconds:g}: set more than {KEY_FRAME_EVERY}, the time between"
                " two key frames"
            )


def check_screen(size: ScreenSize) -> None:
    """Raises DisplayError for a screen outside of 320x240 to 7680x4320."""
    if not (
        SMALLEST_SCREEN.width <= size.width <= LARGEST_SCREEN.width
        and SMALLEST_SCREEN.height <= size.height <= LARGEST_SCREEN.height
    ):
        raise DisplayError(
            f"the screen is {size}: from {SMALLEST_SCREEN} to {LARGEST_SCREEN} can be recorded"
        )


def ffmpeg_command(quality: Quality, ffmpeg: str = "ffmpeg") -> list[str]:
    """The whole command line: take the grabber's frames, write fragmented MP4 to the standard output."""
    # The grabber's header tells all there is to know: no waiting for more frames to guess from.
    known = ("-probesize", "32", "-analyzeduration", "0", "-fpsprobesize", "0")
    return [
        ffmpeg,
        *("-nostdin", "-hide_banner", "-nostats", "-loglevel", "warning"),
        *(*known, "-f", "ivf", "-c:v", "rawvideo", "-i", "pipe:0"),
        *encoding_arguments(quality),
    ]


def encoding_arguments(quality: Quality) -> list[str]:
    """ffmpeg's arguments from the input's frames to the fragmented MP4 on its standard output.

    Motion search with a wide diamond (``me=umh``) keeps scrolling text small at no cost in CPU. ffmpeg's
    own key frames are switched off: only the forced ones remain, and each begins a fragment.
    """
    key_frames = (
        f"expr:if(isnan(prev_forced_t),1,gte(t,if(lt(prev_forced_t,{FIRST_KEY_FRAME_AFTER}),"
        f"{FIRST_KEY_FRAME_AFTER},prev_forced_t+{KEY_FRAME_EVERY})))"
    )
    even_sides = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # yuv420p halves both sides
    return [
        *("-vf", even_sides, "-fps_mode", "vfr"),
        *("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"),
        *("-crf", str(_CONSTANT_RATE_FACTOR[quality]), "-maxrate", _RATE_LIMIT, "-bufsize", _RATE_LIMIT),
        *("-x264-params", "me=umh:merange=64:keyint=infinite:scenecut=0", "-force_key_frames", key_frames),
        *("-movflags", "+empty_moov+default_base_moof+frag_keyframe", "-flush_packets", "1"),
        *("-f", "mp4", "pipe:1"),
    ]
