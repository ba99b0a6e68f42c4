"""Options of all commands that talk to a deployment, and what they come to."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lucid.cli.api import Target
from lucid.cli.output import Away, Misuse
from lucid.cli.saved import Keep
from lucid.dev import operator, running
from lucid.dev.errors import StackError
from lucid.dev.layout import State

STATE_HELP = "State directory of the stack on this machine; default $LUCID_STATE, else .state."

state_option = click.option(
    "--state", "directory", type=click.Path(file_okay=False, path_type=Path), help=STATE_HELP
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command, which gets a `target` for them."""

    @late_target_options
    @functools.wraps(command)
    def wrapped(find_target: Callable[[], Target], **others: Any) -> Any:
        return command(target=find_target(), **others)

    return wrapped


def late_target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command that may do without: it gets `find_target`, to be called if it is needed."""

    @click.option(
        "--api", envvar="LUCID_API", metavar="URL", help="Gateway of another deployment ($LUCID_API)."
    )
    @click.option(
        "--ca",
        envvar="LUCID_CA",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Certificate of its authority ($LUCID_CA).",
    )
    @click.option(
        "--token-file",
        type=click.File("r"),
        help="File with an access token (- is standard input); else $LUCID_TOKEN, else the login's.",
    )
    @state_option
    @functools.wraps(command)
    def wrapped(
        api: str | None, ca: Path | None, token_file: Any, directory: Path | None, **others: Any
    ) -> Any:
        token = token_file.read().strip() if token_file else os.environ.get("LUCID_TOKEN")
        return command(find_target=functools.partial(resolve, api, ca, token, directory), **others)

    return wrapped


def resolve(api: str | None, ca: Path | None, token: str | None, directory: Path | None) -> Target:
    """The deployment that is meant: the one named, the stack on this machine, or where one is logged in."""
    keep = Keep()
    saved = keep.load()
    if api and (token or saved is None or saved.url != api.rstrip("/")):
        return Target(api, ca, token)
    state = State.at(directory)
    stack = None if api else running.find(state)
    if stack is None and saved:
        authority = ca or (Path(saved.ca) if saved.ca else None)
        if token:
            return Target(saved.url, authority, token)
        return Target(saved.url, authority, saved.access_token, keep=keep)
    if stack is None:
        raise Away(
            f"no stack runs on {state.directory}: start one with `lucid dev --detach`,"
            " log in to a deployment with `lucid login`, or name one with --api"
        )
    if token:
        return Target(stack.api, Path(stack.ca), token)
    try:
        account = operator.load(Path(stack.operator).read_bytes())
    except FileNotFoundError:
        raise Away("the stack is still starting: see `lucid dev status`") from None
    except StackError as error:
        raise Misuse(str(error)) from None
    return Target(stack.api, Path(stack.ca), operator=account)
