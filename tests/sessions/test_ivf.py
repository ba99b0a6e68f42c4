"""What the encoder's reader makes of the grabber's container."""

import subprocess

from lucid.sessions import ivf
from lucid.sessions.x11_wire import ScreenSize


def test_frames_keep_their_pixels_and_times() -> None:
    size = ScreenSize(4, 2)
    colours = [bytes((10, 20, 30, 99)), bytes((250, 0, 7, 0)), bytes((0, 255, 0, 1))]
    stream = ivf.header(size, 15)
    for colour, tick in zip(colours, (0, 8, 23), strict=True):
        stream += ivf.frame_header(size, tick) + colour * 8
    read = ["ffmpeg", "-v", "error", "-f", "ivf", "-c:v", "rawvideo", "-i", "pipe:0"]
    form = ["-fps_mode", "passthrough", "-pix_fmt", "rgb24"]
    pixels = subprocess.run(
        [*read, *form, "-f", "rawvideo", "pipe:1"],
        input=stream,
        stdout=subprocess.PIPE,
        check=True,
        timeout=20,
    ).stdout
    assert pixels == b"".join(colour[2::-1] * 8 for colour in colours)
    times = subprocess.run(
        [*read, *form, "-f", "framehash", "-"], input=stream, stdout=subprocess.PIPE, check=True, timeout=20
    ).stdout.decode()
    assert "#tb 0: 1/15" in times
    rows = [line.split(",") for line in times.splitlines() if not line.startswith("#")]
    assert [int(row[2]) for row in rows] == [0, 8, 23]
