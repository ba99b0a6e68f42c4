"""`lucid api`: any request to the API, for people who write programs against it."""

import sys
from pathlib import Path

import click
import msgspec

from lucid.cli.api import Target
from lucid.cli.output import Misuse, run
from lucid.cli.target import target_options

METHODS = ("GET", "POST", "PUT", "DELETE")


@click.command(epilog="Example: lucid api GET /sessions -q limit=5, or lucid api POST /sessions -d @new.json")
@click.argument("method", type=click.Choice(METHODS, case_sensitive=False))
@click.argument("path")
@click.option("-q", "--query", multiple=True, metavar="NAME=VALUE", help="A parameter; may be repeated.")
@click.option("-d", "--data", metavar="JSON", help="The body: JSON, or @FILE, or @- for standard input.")
@target_options
def api(method: str, path: str, query: tuple[str, ...], data: str | None, target: Target) -> None:
    """Send METHOD to PATH of the API and print its answer.

    PATH is what stands behind /api/v1; the page /api/v1/docs of the gateway has all of them. JSON is indented
    for a terminal; everything else is written as it comes.
    """
    if not path.startswith("/"):
        raise Misuse(f"{path}: a path begins with a slash, as in /sessions")
    pairs = [_pair(each) for each in query]
    run(_ask(target, method, path, pairs, None if data is None else _body(data)))


async def _ask(
    target: Target, method: str, path: str, query: list[tuple[str, str]], body: bytes | None
) -> None:
    async with target.open() as client, client.ask(method, path, query, body) as answer:
        if answer.content_type == "application/json" and sys.stdout.isatty():
            click.echo(msgspec.json.format(await answer.read(), indent=2))
            return
        async for piece in answer.content.iter_any():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Misuse(f"--query {text}: give it as NAME=VALUE")
    return name, value


def _body(data: str) -> bytes:
    """What `--data` says, or the file it names says. Raises Misuse if that is no JSON."""
    try:
        if data == "@-":
            content = sys.stdin.buffer.read()
        elif data.startswith("@"):
            content = Path(data[1:]).read_bytes()
        else:
            content = data.encode()
        msgspec.json.decode(content)
    except OSError as error:
        raise Misuse(f"--data {data}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise Misuse(f"--data is not JSON: {error}") from None
    return content
