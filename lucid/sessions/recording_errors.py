"""Everything that can go wrong on the media side of the recorder, as one tree."""


class RecordingError(Exception):
    """Any failure between the X display and the spool."""


class MediaFormatError(RecordingError):
    """The encoder's byte stream is not the fragmented MP4 that Lucid records."""


class FragmentTooLargeError(MediaFormatError):
    """One fragment alone exceeds what a chunk may hold."""


class XauthorityError(RecordingError):
    """An Xauthority file is malformed, or holds no cookie for the display."""


class CaptureSettingError(RecordingError, ValueError):
    """A capture setting is out of its range; the message names it and the range."""


class DisplayError(RecordingError):
    """The X server cannot be reached, refuses the cookie, or has a screen that cannot be recorded."""


class CaptureStartError(RecordingError):
    """The encoder could not be started."""


class SpoolError(RecordingError):
    """The spool cannot do what was asked."""


class SpoolBusyError(SpoolError):
    """Another process holds the spool directory."""


class SpoolFullError(SpoolError):
    """The quota or the disk is full; nothing was written."""


class SpoolDamagedError(SpoolError):
    """A file that was durable is missing or no longer what it was."""
