"""`lucid login`, `lucid logout` and `lucid whoami`: as whom later commands act, and where."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO, TypeVar

import click
import msgspec
from rich.table import Table

from lucid.cli.api import Api, ApiError, Target
from lucid.cli.output import Failure, err, out, print_json, run
from lucid.cli.saved import Keep, Saved
from lucid.cli.target import json_option, target_options
from lucid.contracts import auth_service as auth
from lucid.dev.layout import write_private
from lucid.kit.errors import Code
from lucid.kit.routes import NOTHING, Nothing, Route

Proof = TypeVar("Proof", bound=auth.SecondFactor)


class Who(msgspec.Struct, frozen=True):
    """Whom a deployment takes one for."""

    api: str
    user: auth.User
    login: auth.Status


@click.command(epilog="Example: lucid login --api https://lucid.example.org --email anna@example.org")
@click.option("--api", envvar="LUCID_API", metavar="URL", required=True, help="The gateway ($LUCID_API).")
@click.option(
    "--ca",
    envvar="LUCID_CA",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificate of its authority ($LUCID_CA); it is copied.",
)
@click.option("--email", metavar="ADDRESS", help="The account's mail address; asked for if needed.")
@click.option("--password-file", type=click.File("r"), help="Where the password is (- is standard input).")
@click.option("--link", is_flag=True, help="Have a one-time code sent by mail instead of giving a password.")
@click.option("--wallet", metavar="ADDRESS", help="Sign with this TRON wallet instead.")
def login(
    api: str,
    ca: Path | None,
    email: str | None,
    password_file: TextIO | None,
    link: bool,
    wallet: str | None,
) -> None:
    """Log in to a deployment; later commands are then meant for it, as long as no stack runs on this machine.

    The login is kept in ~/.config/lucid, readable by its owner alone, and renews itself for up to seven days
    after its last use. `lucid logout` ends it.
    """
    keep = Keep()
    target = Target(api.rstrip("/"), ca)
    if wallet:
        tokens = run(_by_wallet(target, wallet))
    else:
        email = email or click.prompt("Mail address", err=True)
        if link:
            tokens = run(_by_link(target, email))
        else:
            password = (
                password_file.read().rstrip("\n")
                if password_file
                else click.prompt("Password", hide_input=True, err=True)
            )
            tokens = run(_by_password(target, email, password))
    keep.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = keep.path.with_name("ca.crt")
    if ca:
        write_private(authority, ca.read_bytes())
    keep.save(
        Saved(
            url=target.url,
            ca=str(authority) if ca else None,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
        )
    )
    err.print(f"Logged in to {target.url}. `lucid whoami` shows as whom.")


@click.command(epilog="Example: lucid logout")
def logout() -> None:
    """End the login that `lucid login` began, here and at the deployment."""
    keep = Keep()
    saved = keep.load()
    if saved is None:
        raise Failure("nobody is logged in")
    target = Target(saved.url, Path(saved.ca) if saved.ca else None, saved.access_token, keep=keep)
    try:
        run(_log_out(target))
    finally:
        keep.forget()
    err.print(f"Logged out of {saved.url}.")


@click.command(epilog="Example: lucid whoami --json")
@json_option
@target_options
def whoami(as_json: bool, target: Target) -> None:
    """Show the account and the login that commands act as, and where."""
    who = run(_whoami(target))
    if as_json:
        print_json(who)
        return
    table = Table.grid(padding=(0, 2))
    rows = {
        "account": who.user.email or who.user.wallet or who.user.id,
        "id": who.user.id,
        "role": who.user.role,
        "second factor": "yes"
        if who.user.second_factor
        else "no: `lucid api POST /auth/mfa/enrol` begins it",
        "deployment": who.api,
        "token until": who.login.expires,
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}", value)
    out.print(table)


async def _by_password(target: Target, email: str, password: str) -> auth.Tokens:
    async with target.open() as api:
        return await _proved(api, auth.LOGIN, partial(auth.Login, email=email, password=password))


async def _by_link(target: Target, email: str) -> auth.Tokens:
    async with target.open() as api:
        await api.call(auth.LINK_REQUEST, NOTHING, auth.LinkRequest(email=email))
        err.print(f"If {email} has an account, a code is on its way there.")
        token = click.prompt("Code from the mail", hide_input=True, err=True)
        return await _proved(api, auth.LINK_LOGIN, partial(auth.LinkLogin, token=token))


async def _by_wallet(target: Target, address: str) -> auth.Tokens:
    async with target.open() as api:
        challenge = await api.call(auth.CHALLENGE, NOTHING, auth.ChallengeRequest(address=address))
        err.print(f"Sign this with the wallet, as it stands, before {challenge.expires}:\n")
        click.echo(challenge.message)
        signature = click.prompt("\nSignature (hex)", err=True)
        body = partial(auth.WalletLogin, address=address, nonce=challenge.nonce, signature=signature)
        return await _proved(api, auth.WALLET_LOGIN, body)


async def _proved(
    api: Api, route: Route[Nothing, Proof, auth.Tokens], body: Callable[..., Proof]
) -> auth.Tokens:
    """Tokens for a proof; asks for the second factor where the account has one. Raises ApiError."""
    try:
        return await api.call(route, NOTHING, body())
    except ApiError as error:
        if error.code is not Code.SECOND_FACTOR:
            raise
    code = click.prompt("Code from the authenticator, or a recovery code", hide_input=True, err=True)
    second = {"totp": code} if code.isdigit() else {"recovery_code": code}
    return await api.call(route, NOTHING, body(**second))


async def _log_out(target: Target) -> None:
    async with target.open() as api:
        await api.call(auth.LOGOUT, NOTHING)


async def _whoami(target: Target) -> Who:
    async with target.open() as api:
        user = await api.call(auth.ME, NOTHING)
        return Who(target.url, user, await api.call(auth.STATUS, NOTHING))
