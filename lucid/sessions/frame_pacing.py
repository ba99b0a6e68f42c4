"""When the grabber takes a frame, as a pure rule over ticks: a run's first frame is tick 0, and there are
``frame_rate`` of them a second.

A tick at which something has changed makes a frame. So does one tick a second in any case, so that the
encoder can put its key frames where they are wanted though nothing moves: the first after
``FIRST_KEY_FRAME_AFTER``, and the others in whole seconds from it.
"""

import math

FIRST_KEY_FRAME_AFTER = 0.5
"""Seconds from a run's first frame: soon something of the recording is durable."""
REPEAT_SECONDS = 1
"""How often a screen is recorded on which nothing changes."""


class FramePacing:
    """Ask it at each tick. ``frame_rate`` in frames a second."""

    def __init__(self, frame_rate: int) -> None:
        self._every = REPEAT_SECONDS * frame_rate
        self._first_repeat = math.ceil(FIRST_KEY_FRAME_AFTER * frame_rate)
        self._repeat_at = 0

    def repeat_due(self, tick: int) -> bool:
        """Whether a frame is wanted even if nothing has changed."""
        return tick >= self._repeat_at

    def taken(self, tick: int) -> None:
        """A frame was taken at this tick."""
        repeats = (tick - self._first_repeat) // self._every + 1
        self._repeat_at = self._first_repeat + max(0, repeats) * self._every
