"""The programs that a capture consists of: what may be asked for, and how each is run.

They are named by kind, with arguments of which each has its form, so that whoever runs them for somebody else
(`capture_host`) runs nothing but these. Only the standard library.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import lucid
from lucid.sessions.recorder_encoder import (
    FRAME_RATES,
    LARGEST_SCREEN,
    SMALLEST_SCREEN,
    Quality,
    ffmpeg_command,
)
from lucid.sessions.recording_errors import CaptureSettingError

ENCODER, GRABBER, LISTENER = "encoder", "grabber", "listener"

_MODULES = {GRABBER: "lucid.sessions.grab", LISTENER: "lucid.sessions.listen"}
_DISPLAYS = range(0x10000)
_QUALITIES: tuple[str, ...] = tuple(each.value for each in Quality)
_ARGUMENTS: Mapping[str, tuple[tuple[str, range | tuple[str, ...]], ...]] = {
    ENCODER: (("quality", _QUALITIES),),
    GRABBER: (
        ("display", _DISPLAYS),
        ("width", range(SMALLEST_SCREEN.width, LARGEST_SCREEN.width + 1)),
        ("height", range(SMALLEST_SCREEN.height, LARGEST_SCREEN.height + 1)),
        ("frame_rate", FRAME_RATES),
    ),
    LISTENER: (("display", _DISPLAYS), ("wanted", ("input", "clipboard", "input,clipboard"))),
}

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One of them: the encoder (quality), the grabber (display, width, height, frames a second), or the
    listener (display, what to listen to, separated by a comma).
    """

    kind: str
    arguments: tuple[str, ...]

    def check(self) -> None:
        """Raises CaptureSettingError: there is no such program, or an argument is not one of its."""
        wanted = _ARGUMENTS.get(self.kind)
        if wanted is None:
            raise CaptureSettingError(
                f"{self.kind[:20]!r} is no part of a capture: {', '.join(_ARGUMENTS)} are"
            )
        if len(self.arguments) != len(wanted):
            names = ", ".join(name for name, _ in wanted)
            raise CaptureSettingError(f"{self.kind} takes {names}, not {len(self.arguments)} arguments")
        for value, (name, allowed) in zip(self.arguments, wanted, strict=True):
            if isinstance(allowed, range):
                fits = value.isascii() and value.isdecimal() and len(value) <= 5 and int(value) in allowed
                said = f"{allowed.start} to {allowed.stop - 1}"
            else:
                fits, said = value in allowed, ", ".join(allowed)
            if not fits:
                raise CaptureSettingError(
                    f"{name} of the {self.kind} is {value[:20]!r}: {said} may be asked for"
                )


def command(job: Job, ffmpeg: str = "ffmpeg") -> list[str]:
    """The whole command line. Raises CaptureSettingError, as `Job.check`.

    Python's programs need nothing but the standard library: no site (-S).
    """
    job.check()
    if job.kind == ENCODER:
        return ffmpeg_command(Quality(job.arguments[0]), ffmpeg)
    return [sys.executable, "-S", "-P", "-m", _MODULES[job.kind], *job.arguments]


def environment(job: Job) -> dict[str, str]:
    """The program's whole environment. No secret is in it, nor on the command line."""
    if job.kind == ENCODER:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    return {"PYTHONPATH": str(Path(lucid.__file__).parents[1])}


def die_with_parent() -> Callable[[], None]:
    """What a child does between fork and exec: have the kernel kill it when its parent dies (prctl(2)).

    The parent may have died before that; the child then leaves at once. Only async-signal-safe calls, and
    no lock that another thread might have held at the fork.
    """
    parent = os.getpid()

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
