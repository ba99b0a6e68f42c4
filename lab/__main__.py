"""`python -m lab`: makes the lab, shows it, breaks it and takes it away."""

import dataclasses
import json
import os
import sys
from typing import Any, NoReturn

import click
from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table

from lab import cgroups, faults, hosts, lifecycle, place, status
from lab import journey as journeys
from lab.errors import LabError
from lab.inventory import Host
from lab.place import Lab
from lab.run import NETNS, inside, within

HEALTH = {"running": "[green]●[/] running", "off": "[dim]○ off[/]", "degraded": "[red]●[/] degraded"}
PASS_ON = {"ignore_unknown_options": True}  # options behind a command are that command's
err = Console(stderr=True, highlight=False)


class Refusal(click.ClickException):
    """Ends the command with `lab: message` and exit code 1."""

    def show(self, file: Any = None) -> None:
        """Prints the message."""
        click.echo(f"lab: {self.message}", file=file or sys.stderr)


class LabGroup(click.Group):
    """Turns what is wrong with the lab into a message."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except LabError as error:
            raise Refusal(str(error)) from None


@click.group(cls=LabGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--inventory",
    default="",
    metavar="NAME",
    help="The hosts are those of inventories/NAME: lab (default) or single, one host with all groups.",
)
@click.pass_context
def main(ctx: click.Context, inventory: str) -> None:
    """Virtual hosts on this machine, deployed in exactly the same way as real ones.

    LUCID_LAB (default `lucid`, at most 6 letters and digits) names a lab, so that several stand side by side;
    LUCID_LAB_STATE is the directory of its files (default .state/lab-NAME), LUCID_LAB_INVENTORY stands in for
    --inventory. A lab that is up knows its inventory. Exit status: 0 done, 1 not done and why, 2 not
    understood; `shell` and `exec` end with the status of their command.

    \b
    First steps:
      python -m lab up
      python -m lab prepare
      python -m lab exec -- ansible-playbook -i inventories/lab playbooks/secrets.yml site.yml
      python -m lab status
      python -m lab shell core1
      python -m lab down
    """
    if os.geteuid() != 0 and ctx.invoked_subcommand != "up":  # which says all that is missing
        raise LabError("the lab needs root; use sudo")
    ctx.obj = place.here(inventory)


@main.command(
    short_help="Bring hosts up until ssh answers.", epilog="Example: python -m lab up --hosts data,core1"
)
@click.option("--hosts", "names", help="Only these hosts or groups, separated by commas.")
@click.pass_obj
def up(lab: Lab, names: str | None) -> None:
    """Bring hosts up until ssh answers; hosts that are up stay as they are.

    The router between the segments lets pass what the catalogue says.

    The first time this builds the base image (about 40 s), which stays in /var/cache/lucid-lab.
    """
    chosen = lab.inventory.find(names) if names else list(lab.inventory.hosts.values())
    started = lifecycle.up(lab, chosen, _say, *journeys.router_rules(lab))
    if started:
        click.echo(f"switched on: {' '.join(host.name for host in started)}")


def _say(what: str, seconds: float) -> None:
    err.print(f"[green]✓[/] {what:<52}{seconds:6.1f} s")


@main.command(short_help="Make what the playbooks take from this machine.")
@click.pass_obj
def prepare(lab: Lab) -> None:
    """Make what the playbooks take from this machine: the vault's password, the release, mongod.

    It needs the package index, which the control host does not reach; a release that is built stays.
    """
    lab.state.mkdir(parents=True, exist_ok=True)
    journeys.prepare(lab)


@main.command(short_help="Bring up, deploy, record and prove: all of it.")
@click.option(
    "--seconds", type=click.IntRange(2, 600), default=20, show_default=True, help="How long to record."
)
@click.pass_context
def journey(context: click.Context, seconds: int) -> None:
    """Bring the lab up, put Lucid onto it with site.yml, record a desktop on its rdp host and prove it.

    The hosts stay up; a second run deploys what has changed.
    """
    lab: Lab = context.obj
    router = journeys.router_rules(lab)
    started = lifecycle.up(lab, list(lab.inventory.hosts.values()), _say, *router)
    click.echo(f"switched on: {' '.join(host.name for host in started)}" if started else "all hosts are on")
    journeys.prepare(lab)
    took = journeys.deploy(lab)
    journeys.prove(lab, seconds)
    context.invoke(show, as_json=False)
    name = "" if lab.name == place.NAME else f" LUCID_LAB={lab.name}"
    shown, removed = f"make lab-status{name}", f"make lab-down{name}"
    click.echo(f"deployed in {took:.0f} s; `{shown}` shows the hosts, `{removed}` removes them")


@main.command(short_help="Remove the lab without a trace.")
@click.pass_obj
def down(lab: Lab) -> None:
    """Remove the lab without a trace; the base image and fetched packages stay cached."""
    lifecycle.down(lab)


@main.command("status", short_help="Show units, memory and health of each host.")
@click.option("--json", "as_json", is_flag=True, help="For programs; memory is in bytes.")
@click.pass_obj
def show(lab: Lab, as_json: bool) -> None:
    """Show each host: where it stands, its units, memory and health."""
    found = status.look(lab)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(item) for item in found], indent=2))
        return
    table = Table(title=f"lab {lab.name}", title_style="bold", title_justify="left", box=ROUNDED)
    for title in ("host", "group", "segment", "health"):
        table.add_column(title, no_wrap=title != "group")
    for title in ("units", "failed", "memory"):
        table.add_column(title, justify="right", no_wrap=True)
    for earlier, item in zip([found[0], *found], found, strict=False):
        if item.segment != earlier.segment:
            table.add_section()
        group, health = " ".join(item.groups), HEALTH.get(item.health, f"[yellow]●[/] {item.health}")
        figures = (str(item.running), str(len(item.failed)), f"{item.memory / 2**20:.0f} MiB")
        table.add_row(item.name, group, item.segment, health, *(figures if item.state == "on" else ()))
    console = Console(highlight=False)
    console.print(table)
    for item in found:
        if item.failed:
            console.print(f"[red]{item.name}[/]: failed: {', '.join(item.failed)}")
        if item.cut_from:
            console.print(f"[yellow]{item.name}[/]: cut from {', '.join(item.cut_from)}")


@main.command(short_help="Open a root shell in HOST.", context_settings=PASS_ON)
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def shell(lab: Lab, host: str, command: tuple[str, ...]) -> None:
    """Open a root shell in HOST, or run COMMAND there; works without its network."""
    first = cgroups.leader(lab, _one(lab, host).name)
    if first is None:
        raise LabError(f"{host} is off; `python -m lab start {host}` switches it on")
    terminal = f"TERM={os.environ.get('TERM', 'dumb')}"
    _end_as(*inside(first, "env", "--chdir=/root", terminal, *(command or ("bash", "--login"))))


@main.command("exec", short_help="Run COMMAND on the control host.", context_settings=PASS_ON)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(lab: Lab, command: tuple[str, ...]) -> None:
    """Run COMMAND on the control host: from there, and only from there, ssh reaches the hosts.

    It has this machine's files and programs, but no network beyond the lab. `ssh` needs no more than a
    host's name, and Ansible finds its keys.
    """
    if not (NETNS / lab.netns("control")).exists():
        raise LabError("the lab is down; `python -m lab up` first")
    os.environ |= lifecycle.environment(lab)
    _end_as(*within(lab.netns("control")), *command)


@main.command(short_help="Let nothing pass between hosts.", epilog="Example: python -m lab cut sess1 data")
@click.argument("host")
@click.argument("others", nargs=-1)
@click.pass_obj
def cut(lab: Lab, host: str, others: tuple[str, ...]) -> None:
    """Let nothing pass between HOST and OTHERS (hosts or groups); without OTHERS, between it and anyone.

    The management network, and with it ssh, stays.
    """
    faults.cut(lab, _one(lab, host), _several(lab, others))


@main.command(short_help="Take back what `cut` did.")
@click.argument("host")
@click.argument("others", nargs=-1)
@click.pass_obj
def join(lab: Lab, host: str, others: tuple[str, ...]) -> None:
    """Take back what `cut` did with the same names."""
    faults.join(lab, _one(lab, host), _several(lab, others))


@main.command(short_help="Cut HOST's power.")
@click.argument("host")
@click.pass_obj
def kill(lab: Lab, host: str) -> None:
    """Cut HOST's power: everything in it ends at once, what its disk holds stays."""
    hosts.kill(lab, _one(lab, host))


@main.command(short_help="Switch HOST on again.")
@click.argument("host")
@click.pass_obj
def start(lab: Lab, host: str) -> None:
    """Switch HOST on again and wait until ssh answers."""
    lifecycle.start(lab, _one(lab, host))


def _one(lab: Lab, name: str) -> Host:
    if name not in lab.inventory.hosts:
        raise LabError(f"{name} is no host of the inventory; hosts are: {', '.join(lab.inventory.hosts)}")
    return lab.inventory.hosts[name]


def _several(lab: Lab, names: tuple[str, ...]) -> list[Host]:
    return lab.inventory.find(",".join(names)) if names else []


def _end_as(*command: str) -> NoReturn:
    """Becomes the command."""
    os.execvp(command[0], command)  # noqa: S606 - an argument list, no shell


if __name__ == "__main__":
    main()
