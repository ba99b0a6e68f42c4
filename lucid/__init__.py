"""Lucid: remote desktops whose recordings nobody can quietly alter, lose or read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    """Of the installed package; 0.0.0 in a checkout that was not installed."""
else:

    def __getattr__(name: str) -> str:
        """The version, looked up when it is asked for: whoever records a desktop starts without that."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - it takes 70 ms

        try:
            return version("lucid")
        except PackageNotFoundError:
            return "0.0.0"
