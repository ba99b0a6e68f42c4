"""Lucid: remote desktops whose recordings nobody can quietly alter, lose or read."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lucid")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0.0.0"
