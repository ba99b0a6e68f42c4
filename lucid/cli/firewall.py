"""`lucid firewall`: who may talk to whom at a site, and the rules that a host gets for it."""

from pathlib import Path

import click
from rich.table import Table

from lucid import catalog
from lucid.cli.output import Misuse, out, print_json
from lucid.cli.target import json_option
from lucid.deploy.errors import SiteError
from lucid.deploy.flows import Flow, flows
from lucid.deploy.picture import draw
from lucid.deploy.rules import render
from lucid.deploy.site import Site, read

inventory_option = click.option(
    "-i",
    "--inventory",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Ansible inventory.",
)


@click.group(epilog="Example: lucid firewall matrix -i inventories/lab")
def firewall() -> None:
    """Show who may talk to whom at a site, from the catalogue and the inventory."""


@firewall.command(epilog="Example: lucid firewall matrix -i inventories/lab --host tron1")
@inventory_option
@click.option("--host", help="Only what begins or ends at this host.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw it into this file instead."
)
@json_option
def matrix(inventory: Path, host: str | None, svg: Path | None, as_json: bool) -> None:
    """Print every connection that may be opened: from which host, as which unix user, where to, and why.

    Everything else is dropped on both sides.
    """
    site = _read(inventory)
    found = flows(_catalog(site), site)
    if host:
        try:
            name = site.named(host).name
        except SiteError as error:
            raise Misuse(str(error)) from None
        found = tuple(flow for flow in found if name in {flow.source, flow.destination})
    if svg:
        svg.write_text(draw(found), encoding="utf-8")
    elif as_json:
        print_json(found)
    else:
        out.print(_table(found))


@firewall.command(epilog="Example: lucid firewall rules -i inventories/lab core1 -6")
@inventory_option
@click.argument("host")
@click.option("-6", "version", flag_value=6, help="For IPv6.")
@click.option("-4", "version", flag_value=4, default=4, help="For IPv4 (default).")
def rules(inventory: Path, host: str, version: int) -> None:
    """Print the rules of HOST as iptables-restore(8) takes them."""
    site = _read(inventory)
    try:
        where = site.named(host)
    except SiteError as error:
        raise Misuse(str(error)) from None
    click.echo(render(where, site, flows(_catalog(site), site), version), nl=False)


def _read(inventory: Path) -> Site:
    try:
        return read(inventory)
    except SiteError as error:
        raise Misuse(str(error)) from None


def _catalog(site: Site) -> catalog.Catalog:
    try:
        return site.adapted(catalog.shipped())
    except SiteError as error:
        raise Misuse(str(error)) from None


def _table(found: tuple[Flow, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("FROM", "AS", "TO"):
        table.add_column(title, no_wrap=True)
    table.add_column("PORT", justify="right")
    table.add_column("WHY")
    before = None
    for flow in found:
        first = (flow.source, flow.user) != before
        before = (flow.source, flow.user)
        source, user = (flow.source, flow.user) if first else ("", "")
        ports = f"{flow.port}–{flow.last}" if flow.last else str(flow.port)
        table.add_row(source, user, flow.destination, ports, flow.why)
    return table
