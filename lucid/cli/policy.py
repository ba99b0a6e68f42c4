"""`lucid policy`: what a client may do in a remote desktop, written down and signed by its owner."""

import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from lucid.cli.api import Api, ApiError, Target
from lucid.cli.output import Failure, Misuse, err, moment, out, print_json, run
from lucid.cli.owner_key import OwnerKey
from lucid.cli.target import json_option, target_options
from lucid.contracts import auth_service as auth
from lucid.contracts import rdp_manager as manager
from lucid.contracts.rdp_manager import Policy, PolicyPath, PolicyQuery, PutPolicy
from lucid.evidence import policy as trust
from lucid.evidence.errors import EvidenceError
from lucid.kit.errors import Code
from lucid.kit.routes import NOTHING

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TEMPLATE = """\
# A trust policy: what an RDP client may do in a desktop. Everything is off until it is switched on here.
# `lucid policy set FILE` signs it with your key and stores it.

# By this name `lucid rdp open --policy NAME` finds it.
name = "office"

[input]
mouse = false       # clicks and movements reach the desktop
keyboard = false    # and so do keys

[clipboard]         # text and pictures, never files
to_desktop = false
from_desktop = false

[record]            # beside the picture, sealed and anchored with it; needs no channel to be on
input = false       # keys, clicks and movements, as text: passwords that are typed are in there
clipboard = false   # texts that are copied, on the client's side too if to_desktop is on

# In seconds.
[ends]
idle_seconds = 900          # without any input for so long, the client is disconnected
session_seconds = 28800     # after so long the session ends, whatever happens in it
# "end": no recorder, no session. "gap": it goes on, and what is missing is a gap in the signed manifest.
on_recorder_loss = "end"
"""


@click.group(epilog="Example: lucid policy new office.toml; lucid policy set office.toml; lucid rdp open")
def policy() -> None:
    """Say what a client may do in your remote desktops, and sign it.

    Every desktop is opened under a policy, which is anchored with its recording. What a policy does not
    switch on is off: no clipboard, no mouse, no keyboard. A desktop keeps the policy that it was opened with.
    """


@policy.command(epilog="Example: lucid policy new office.toml")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def new(file: Path) -> None:
    """Write a policy to FILE that allows nothing, with a comment on each switch, for you to edit."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(TEMPLATE)
    except FileExistsError:
        raise Misuse(f"{file} exists already; choose another name") from None
    except OSError as error:
        raise Misuse(f"{file}: {error.strerror}") from None
    err.print(f"Edit {file}, then sign and store it: lucid policy set {file}")


@policy.command(name="set", epilog="Example: lucid policy set office.toml")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--id", "replaced", metavar="ID", help="Replace this policy of yours instead of adding one.")
@json_option
@target_options
def store(file: Path, replaced: str | None, as_json: bool, target: Target) -> None:
    """Sign the policy in FILE (TOML, or JSON of the same form) with your key, and store it.

    The key is made on first use, in ~/.config/lucid/owner.key. The first policy that you store binds your
    account to it: policies signed by another key are refused from then on.
    """
    values = read(file)
    key = OwnerKey().load_or_make()
    signed = _policy(file, values, key.public_key().public_bytes_raw().hex())
    stored = run(_store(target, PutPolicy(trust.sign(signed, key).decode()), replaced))
    if as_json:
        print_json(stored)
        return
    err.print(f"{escape(trust.words(signed))}; version {stored.version}")
    out.print(stored.id)


@policy.command(name="list", epilog="Example: lucid policy list")
@json_option
@target_options
def list_policies(as_json: bool, target: Target) -> None:
    """List your policies, newest first."""
    found = run(_mine(target))
    if as_json:
        print_json(found)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("ID", "NAME", "VERSION", "CHANGED", "ALLOWS", "RECORDS TOO"):
        table.add_column(title, no_wrap=title == "ID")
    for each in found:
        signed = verified(each)
        allows, records = (
            ", ".join(names) or "nothing" for names in (trust.allowed(signed), trust.recorded(signed))
        )
        table.add_row(each.id, escape(each.name), str(each.version), moment(each.changed_ms), allows, records)
    out.print(table if found else "No policies yet: begin one with `lucid policy new FILE`.")


@policy.command(epilog="Example: lucid policy show office")
@click.argument("named", metavar="NAME|ID")
@json_option
@target_options
def show(named: str, as_json: bool, target: Target) -> None:
    """Show one policy, checked against the signature on it."""
    found = run(_found(target, named))
    if as_json:
        print_json(found)
        return
    signed = verified(found)
    table = Table.grid(padding=(0, 2))
    rows = {
        "policy": found.id,
        "name": escape(found.name),
        "version": f"{found.version}, of {moment(found.changed_ms)}",
        "allows": ", ".join(trust.CHANNELS[name] for name in trust.allowed(signed)) or "nothing",
        "records": ", ".join(["the picture", *(trust.EVENTS[name] for name in trust.recorded(signed))]),
        "disconnects": f"after {signed.idle_seconds} s without input",
        "ends": f"after {signed.session_seconds} s",
        "without recorder": {"end": "it ends", "gap": "it goes on, with a gap in the manifest"}[
            signed.on_recorder_loss
        ],
        "sha256": found.sha256,
        "signed by": signed.owner_key,
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}", value)
    out.print(table)


@policy.command(epilog="Example: lucid policy delete office")
@click.argument("named", metavar="NAME|ID")
@target_options
def delete(named: str, target: Target) -> None:
    """Delete a policy of yours: no desktop is opened under it any more.

    Desktops that were opened under it keep it, and so does what is recorded of them.
    """
    found = run(_deleted(target, named))
    err.print(f"deleted {escape(found.name)}, version {found.version}")


def read(file: Path) -> dict[str, Any]:
    """What a file says, with the times in `ends` beside the rest, as policies have it. Raises Misuse."""
    try:
        text = file.read_text(encoding="utf-8")
        values = msgspec.json.decode(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        raise Misuse(f"{file}: {error}") from None
    if not isinstance(values, dict) or not isinstance(ends := values.pop("ends", {}), dict):
        raise Misuse(f"{file}: not of the form that `lucid policy new` writes")
    if both := sorted(values.keys() & ends.keys()):
        raise Misuse(f"{file}: {', '.join(both)} stands in it twice")
    return values | ends


async def find(api: Api, named: str | None) -> Policy:
    """The caller's policy with this id or name; the only one if none is named. Raises ApiError, Misuse."""
    if named and ID.fullmatch(named):
        return await api.call(manager.GET_POLICY, PolicyPath(named))
    found = [each async for each in _pages(api)]
    fit = [each for each in found if named in {None, each.name}]
    if len(fit) == 1:
        return fit[0]
    if not found:
        raise Misuse("you have no policy yet: `lucid policy new FILE`, then `lucid policy set FILE`")
    names = ", ".join(each.name for each in found)
    if named is None:
        raise Misuse(f"say with --policy which of your policies is meant: {names}")
    raise Misuse(f"you have no policy {named!r}; yours are: {names}")


def verified(found: Policy) -> trust.TrustPolicy:
    """The policy that its owner signed. Raises Failure if the deployment has altered it."""
    try:
        signed = trust.verify(found.envelope.encode())
    except EvidenceError as error:
        raise Failure(f"policy {found.id} is not as its owner signed it: {error}") from None
    if trust.digest(signed) != found.sha256:
        raise Failure(f"policy {found.id} has another hash than the deployment says")
    return signed


def _policy(file: Path, values: dict[str, Any], key: str) -> trust.TrustPolicy:
    try:
        return msgspec.convert({**values, "owner_key": key}, trust.TrustPolicy)
    except msgspec.ValidationError as error:
        raise Misuse(f"{file}: {error}; `lucid policy new` shows all that there is") from None


async def _store(target: Target, body: PutPolicy, replaced: str | None) -> Policy:
    async with target.open() as api:
        if replaced:
            return await api.call(manager.UPDATE_POLICY, PolicyPath(replaced), body)
        try:
            return await api.call(manager.CREATE_POLICY, NOTHING, body)
        except ApiError as error:
            if error.code is not Code.EXISTS:
                raise
            raise Failure(f"{error}: `lucid policy list` has its ID for --id") from None


async def _mine(target: Target) -> list[Policy]:
    async with target.open() as api:
        return [each async for each in _pages(api)]


async def _found(target: Target, named: str) -> Policy:
    async with target.open() as api:
        return await find(api, named)


async def _deleted(target: Target, named: str) -> Policy:
    async with target.open() as api:
        found = await find(api, named)
        await api.call(manager.DELETE_POLICY, PolicyPath(found.id))
        return found


async def _pages(api: Api) -> AsyncIterator[Policy]:
    """The caller's own, page by page; an admin would be shown everybody's."""
    owner = (await api.call(auth.ME, NOTHING)).id
    before = None
    while True:
        page = await api.call(manager.POLICIES, PolicyQuery(limit=100, before=before, owner=owner))
        for each in page.policies:
            yield each
        if (before := page.next) is None:
            return
