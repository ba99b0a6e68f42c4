"""IVF, the plainest container that gives each frame its time: what the grabber hands to the encoder.

Source: the format as the Alliance for Open Media describes it for its tools, and as ffmpeg reads it; integers
little-endian. It was made for compressed video. Here each frame is a raw picture, 4 bytes a pixel, under the
tag that ffmpeg has for blue, green, red and an unused byte.
"""

import struct

from lucid.sessions.x11_wire import ScreenSize

BGR0 = b"BGR\0"


def header(size: ScreenSize, frame_rate: int) -> bytes:
    """The file's first 32 bytes; frames' times count in units of ``1 / frame_rate`` seconds."""
    version, header_size, frames_unknown = 0, 32, 0
    return struct.pack(
        "<4s2H4s2H4I", b"DKIF", version, header_size, BGR0, *size, frame_rate, 1, frames_unknown, 0
    )


def frame_header(size: ScreenSize, time: int) -> bytes:
    """What precedes each frame's ``width * height * 4`` bytes."""
    return struct.pack("<IQ", 4 * size.width * size.height, time)
