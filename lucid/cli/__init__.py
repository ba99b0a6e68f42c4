"""The `lucid` command. Each command is a module of this package, loaded when it is used."""

from importlib import import_module

import click

from lucid import __version__

HELP = """Remote desktops whose recordings nobody can quietly alter, shorten or lose.

The journey on one machine, all at once: `lucid up`. Step by step:

\b
  lucid dev --detach                          start everything
  lucid record --seconds 20 -- xclock         record a desktop and have it anchored
  lucid sessions                              see what was recorded
  lucid bundle ID -o session.lucid            fetch the evidence
  lucid trust -o trust.json                   fetch the trust file, and compare it with another source
  lucid verify session.lucid --trust trust.json    prove it, offline
  lucid replay ID -o session.mp4              a file to watch it; `lucid watch ID` shows it while it is made
  lucid dev stop                              stop everything

On a deployment with hosts of desktops:

\b
  lucid policy new office.toml                what a client may do; all is off until you switch it on
  lucid policy set office.toml                sign it and store it
  lucid rdp open                              open a desktop; any RDP client may connect
  lucid rdp list                              see them; `lucid rdp end ID` ends one

\b
Exit codes:
  0  done; for `verify`: verified
  1  failed, or refused
  2  wrong usage, or a file that cannot be read
  3  `verify` without --trust: consistent, but not authenticated
  4  a service, or the stack, is not available
"""

COMMANDS = {
    "access": "lucid.cli.life:access",
    "api": "lucid.cli.ask:api",
    "bundle": "lucid.cli.bundle:bundle",
    "dev": "lucid.cli.dev:dev",
    "erase": "lucid.cli.life:erase",
    "firewall": "lucid.cli.firewall:firewall",
    "hold": "lucid.cli.life:hold",
    "login": "lucid.cli.login:login",
    "logout": "lucid.cli.login:logout",
    "policy": "lucid.cli.policy:policy",
    "rdp": "lucid.cli.rdp:rdp",
    "ready": "lucid.cli.ready:ready",
    "record": "lucid.cli.record:record",
    "release": "lucid.cli.release:release",
    "replay": "lucid.cli.replay:replay",
    "serve": "lucid.cli.serve:serve",
    "services": "lucid.cli.services:services",
    "sessions": "lucid.cli.sessions:sessions",
    "trust": "lucid.cli.trust:trust",
    "up": "lucid.cli.up:up",
    "verify": "lucid.cli.verify:verify",
    "watch": "lucid.cli.watch:watch",
    "whoami": "lucid.cli.login:whoami",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for: a service needs none of the others' libraries."""

    def list_commands(self, _: click.Context) -> list[str]:
        """In the order of the help page."""
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        """The command, or None if there is none of this name."""
        if name not in COMMANDS:
            return None
        module, _colon, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is at fault
        return command


@click.command(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lucid")
def main() -> None:
    """The root of all commands; its help is HELP."""
