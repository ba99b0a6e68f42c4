"""What every command prints with: results on standard output, everything else on standard error."""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console

from lucid.cli.api import ApiError
from lucid.dev.errors import StackError

T = TypeVar("T")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
for _console in (out, err):
    if not _console.is_terminal:
        _console.width = 500  # lines for programs and files are not wrapped


class Failure(click.ClickException):
    """Ends the command with a message and exit code 1."""

    def show(self, file: Any = None) -> None:
        """Prints `lucid: message`."""
        click.echo(f"lucid: {self.message}", file=file or sys.stderr)


class Misuse(Failure):
    """Exit code 2: what was given cannot be used."""

    exit_code = 2


class Away(Failure):
    """Exit code 4: a service, or the stack, is not available."""

    exit_code = 4


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine; what goes wrong becomes a message and an exit code."""
    try:
        return asyncio.run(work)
    except ApiError as error:
        raise (Away if error.unavailable else Failure)(str(error)) from None
    except StackError as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"{error.filename or 'the operating system'}: {error.strerror or error}") from None


def print_json(value: object) -> None:
    """Prints structs as JSON, indented for reading."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def size(number: float) -> str:
    """A number of bytes for people, e.g. `3.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"


def moment(milliseconds: int | None) -> str:
    """A time in milliseconds since the Unix epoch, as local time for people; a dash for None."""
    if milliseconds is None:
        return "–"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(begin: int | None, end: int | None) -> str:
    """The time between two moments in milliseconds, as minutes and seconds."""
    if begin is None or end is None:
        return "–"
    return clock((end - begin) / 1000)


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
