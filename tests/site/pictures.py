"""What a recording shows, and when: looked at with ffmpeg."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

SECONDS = 120
_SHOWN = re.compile(r"pts_time:([0-9.]+).*?mean:\[(\d+) (\d+) (\d+)\]")


def colours(recording: Path, x: int, y: int) -> list[tuple[float, tuple[int, int, int]]]:
    """Time (seconds from the recording's begin) and mean Y, Cb and Cr of 8x8 pixels, frame by frame."""
    command = [
        *("ffmpeg", "-nostdin", "-hide_banner", "-i", str(recording)),
        *("-vf", f"crop=8:8:{x}:{y},showinfo", "-fps_mode", "passthrough", "-f", "null", "-"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    return [(float(at), (int(y), int(b), int(r))) for at, y, b, r in _SHOWN.findall(done.stderr)]


def changes(recording: Path, x: int, y: int) -> list[float]:
    """When that place took on another colour, in seconds from the recording's begin."""
    seen = colours(recording, x, y)
    return [
        at
        for (_, before), (at, after) in pairwise(seen)
        if sum(abs(a - b) for a, b in zip(before, after, strict=True)) > 40
    ]


def likeness(recording: Path, picture: Path) -> float:
    """PSNR (dB) of the recording's last frame to that part of a picture; from 30 it is hard to tell apart."""
    last = picture.with_name(f"{picture.stem}-last.png")
    take = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-sseof", "-2", "-i", str(recording)]
    subprocess.run([*take, "-update", "1", str(last)], check=True, timeout=SECONDS, capture_output=True)
    compare = [
        *("ffmpeg", "-nostdin", "-hide_banner", "-i", str(last), "-i", str(picture)),
        *(
            "-lavfi",
            "[1:v]crop=1280:720:0:0[seen];[0:v]crop=1280:720:0:0[kept];[kept][seen]psnr",
            "-f",
            "null",
            "-",
        ),
    ]
    done = subprocess.run(compare, capture_output=True, text=True, timeout=SECONDS, check=True)
    found = re.search(r"average:(inf|[0-9.]+)", done.stderr)
    assert found, done.stderr[-500:]
    return float(found[1])
