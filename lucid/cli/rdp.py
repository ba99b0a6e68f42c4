"""`lucid rdp`: remote desktops, recorded from their first frame to their last."""

from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from lucid.cli import policy as policies
from lucid.cli import rdp_client
from lucid.cli.api import B, P, R, Target
from lucid.cli.output import Misuse, err, moment, out, print_json, run, size
from lucid.cli.record import Matching
from lucid.cli.target import json_option, target_options
from lucid.contracts import rdp_manager as manager
from lucid.contracts.rdp_manager import Connection, RdpHost, RdpSession
from lucid.contracts.types import SessionPath
from lucid.kit.routes import NOTHING, Route

COLOURS = {"connected": "green", "ready": "green", "starting": "yellow", "ending": "yellow"}


@click.group(epilog="Example: lucid rdp open --policy office; lucid rdp list; lucid rdp end ID")
def rdp() -> None:
    """Open remote desktops with any RDP client; each is recorded, and bound to a policy of yours."""


@rdp.command(name="open", epilog="Example: lucid rdp open --policy office --size 1600x900")
@click.option("--policy", "named", metavar="NAME|ID", help="Which of your policies; default: the only one.")
@click.option(
    "--size",
    "screen",
    type=Matching("WxH", r"[1-9][0-9]{2,3}x[1-9][0-9]{2,3}", "1280x720"),
    default="1280x720",
    show_default=True,
    help="Size of the desktop.",
)
@click.option(
    "--client",
    metavar="ADDRESS",
    help="IP address from which the RDP client will connect; default: the one that this request comes from.",
)
@click.option("--name", default="", help="What to call the session.")
@click.option("--session", metavar="ID", help="Connect again to this desktop instead of opening another.")
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Write a .rdp file for other clients."
)
@click.option("--no-client", is_flag=True, help="Do not start an RDP client here.")
@json_option
@target_options
def open_desktop(
    named: str | None,
    screen: str,
    client: str | None,
    name: str,
    session: str | None,
    save: Path | None,
    no_client: bool,
    as_json: bool,
    target: Target,
) -> None:
    """Open a desktop and say how to connect to it; start FreeRDP where there is one and a display.

    The password is good once, for the address that is admitted, until it expires; `--session ID` gives
    another for the same desktop and cuts off whoever is connected. With --json no client is started.
    """
    if session:
        connection = run(_connect(target, session, client))
    else:
        width, _, height = screen.partition("x")
        connection = run(_open(target, named, client, name, int(width), int(height)))
    if save:
        try:
            save.write_bytes(connection.rdp_file.encode())
        except OSError as error:
            raise Misuse(f"{save}: {error.strerror}") from None
    if as_json:
        print_json(connection)
        return
    _tell(connection, save)
    program = None if no_client else rdp_client.find()
    if program:
        code = rdp_client.show(program, connection)
        again = f"lucid rdp open --session {connection.session.id}"
        err.print(f"The client has ended (code {code}). The desktop lives on: {again}")


@rdp.command(name="list", epilog="Example: lucid rdp list --limit 5")
@click.option(
    "--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="At most this many."
)
@json_option
@target_options
def list_desktops(limit: int, as_json: bool, target: Target) -> None:
    """List your desktops, newest first, also those that have ended; for admins everybody's."""
    page = run(_call(target, manager.LIST, manager.RdpSessionsQuery(limit=limit)))
    if as_json:
        print_json(page)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("ID", "NAME", "STATE", "HOST", "PORT", "CREATED", "CLIENT"):
        table.add_column(title, no_wrap=title == "ID")
    for each in page.sessions:
        table.add_row(
            each.id,
            escape(each.name) or "–",
            _state(each),
            each.host,
            str(each.port),
            moment(each.created_ms),
            each.client or "–",
        )
    out.print(table if page.sessions else "No desktops yet: open one with `lucid rdp open`.")


@rdp.command(epilog="Example: lucid rdp end 018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27")
@click.argument("session", metavar="ID")
@json_option
@target_options
def end(session: str, as_json: bool, target: Target) -> None:
    """End desktop ID and its recording for good. Its programs are ended with it."""
    ended = run(_call(target, manager.END, SessionPath(session)))
    print_json(ended) if as_json else out.print(_state(ended))


@rdp.command(epilog="Example: lucid rdp hosts")
@json_option
@target_options
def hosts(as_json: bool, target: Target) -> None:
    """List the hosts of desktops and what they have left; for admins."""
    found = run(_call(target, manager.HOSTS, NOTHING))
    if as_json:
        print_json(found)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("HOST", "STATE", "DESKTOPS", "CPU", "MEMORY FREE", "DISK FREE"):
        table.add_column(title, justify="left" if title in {"HOST", "STATE"} else "right")
    for host in found.hosts:
        busy = "–" if host.cpu_busy is None else f"{host.cpu_busy:.0%}"
        free = ("–" if b is None else size(b) for b in (host.memory_free_bytes, host.disk_free_bytes))
        table.add_row(host.name, _condition(host), str(host.sessions), busy, *free)
    out.print(table if found.hosts else "This deployment has no hosts of desktops.")


@rdp.command(epilog="Example: lucid rdp drain rdp1")
@click.argument("host")
@click.option("--off", is_flag=True, help="Give it new desktops again.")
@json_option
@target_options
def drain(host: str, off: bool, as_json: bool, target: Target) -> None:
    """Give HOST no new desktops, for maintenance; for admins. Those it has go on until they end."""
    found = run(_call(target, manager.SET_HOST, manager.HostPath(host), manager.SetHost(draining=not off)))
    if as_json:
        print_json(found)
        return
    left = f"; {found.sessions} desktops are still on it" if found.draining and found.sessions else ""
    out.print(f"{found.name} {_condition(found)}{left}")


async def _open(
    target: Target, named: str | None, client: str | None, name: str, width: int, height: int
) -> Connection:
    async with target.open() as api:
        found = await policies.find(api, named)
        policies.verified(found)
        body = manager.CreateRdpSession(policy=found.id, name=name, width=width, height=height, client=client)
        return await api.call(manager.CREATE, NOTHING, body)


async def _connect(target: Target, session: str, client: str | None) -> Connection:
    async with target.open() as api:
        return await api.call(manager.CONNECT, SessionPath(session), manager.Connect(client=client))


async def _call(target: Target, route: Route[P, B, R], params: P, body: B | None = None) -> R:
    async with target.open() as api:
        return await api.call(route, params, body)


def _tell(connection: Connection, saved: Path | None) -> None:
    host = f"[{connection.address}]" if ":" in connection.address else connection.address
    table = Table.grid(padding=(0, 2))
    rows = {
        "session": connection.session.id,
        "connect to": f"{host}:{connection.port}",
        "user": connection.user,
        "password": connection.password,
        "expires": f"{moment(connection.expires_ms)}; good once",
        "certificate": f"SHA-256 {rdp_client.fingerprint(connection)}",
    }
    if saved:
        rows["file"] = str(saved)
    for name, value in rows.items():
        table.add_row(f"[bold]{name}", value)
    out.print(table)


def _state(session: RdpSession) -> str:
    colour = COLOURS.get(session.state, "default")
    ending = f": {session.ending.replace('_', ' ')}" if session.ending else ""
    return f"[{colour}]{session.state}[/]{ending}"


def _condition(host: RdpHost) -> str:
    if not host.answers:
        return "[red]does not answer[/]"
    return "[yellow]is draining[/]" if host.draining else "[green]takes desktops[/]"
