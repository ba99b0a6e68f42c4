"""The screen grabber: a process that writes what an X display shows to its standard output, for the encoder.

``python -m lucid.sessions.grab DISPLAY WIDTH HEIGHT FRAME_RATE``: the connection to the display and its
cookie come over the standard input (`handed_over`). Between two ticks of its clock it sleeps; at each it
asks the server where the pointer is, and hears with the answer whether anything was drawn. Only if so,
and once a second in any case, it copies what has changed and writes a frame (IVF, its time in ticks). A
change is therefore recorded at most one tick after it was visible. On SIGTERM it writes what the screen
shows at that moment, and ends.

Its clock is the monotonic one: setting the machine's time does not disturb a recording. The first line on its
standard error is the first frame's time on that clock, in seconds; all processes of a machine share it.
"""

import mmap
import os
import signal
import sys
import time

from lucid.sessions import handed_over, ivf
from lucid.sessions.desktop_image import DesktopImage
from lucid.sessions.frame_pacing import FramePacing
from lucid.sessions.recording_errors import RecordingError
from lucid.sessions.x11_connection import DisplayLostError, X11Connection
from lucid.sessions.x11_wire import ScreenSize

CUT_OFF = 3
"""Exit status: the X server has ended the connection."""
FAILED = 1

_STOP = {signal.SIGTERM}


def grab(image: DesktopImage, size: ScreenSize, frame_rate: int, output: int) -> None:
    """Write frames until SIGTERM comes, which the caller has blocked. Raises what DesktopImage raises."""
    pacing = FramePacing(frame_rate)
    _write(output, ivf.header(size, frame_rate))
    begin = time.monotonic()
    sys.stderr.write(f"{begin}\n")
    last, stopping = -1, False
    while not stopping:
        now = time.monotonic() - begin
        tick = max(int(now * frame_rate), last + 1)
        stopping = signal.sigtimedwait(_STOP, max(0.0, tick / frame_rate - now)) is not None
        changed, repeat = image.changed(), pacing.repeat_due(tick)
        last = tick
        if changed or repeat or stopping:
            image.update(whole=repeat)
            pacing.taken(tick)
            _write(output, ivf.frame_header(size, tick))
            _write(output, image.pixels)


def _write(output: int, data: bytes | mmap.mmap) -> None:
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.write(output, view[written:])


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    display, width, height, frame_rate = map(int, arguments)
    size = ScreenSize(width, height)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    try:
        connected, cookie = handed_over.receive()
        with X11Connection(display, cookie, connected) as connection:
            grab(DesktopImage(connection, size), size, frame_rate, sys.stdout.fileno())
    except BrokenPipeError:
        return 0  # the encoder has gone; its end is the one to tell of
    except RecordingError as error:
        sys.stderr.write(f"{error}\n")
        return CUT_OFF if isinstance(error, DisplayLostError) else FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
