"""`lucid release`: the archive that is copied onto hosts."""

from pathlib import Path

import click

from lucid.cli.output import Failure, print_json
from lucid.cli.target import json_option
from lucid.deploy.errors import SiteError
from lucid.deploy.release import build

SOURCE = Path(__file__).parents[2]


@click.command(epilog="Example: lucid release --output dist --python 3.11")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dist"),
    show_default=True,
    help="Where the archive is put.",
)
@click.option(
    "--python",
    default="3.11",
    show_default=True,
    metavar="X.Y",
    help="Python of the hosts: Debian 12 has 3.11.",
)
@json_option
def release(output: Path, python: str, as_json: bool) -> None:
    """Build this checkout, and all that it needs, into one archive for hosts without a package index."""
    if not (SOURCE / "requirements" / "runtime.txt").exists():
        raise Failure("a release is built from a checkout; this Lucid was installed from a release itself")
    try:
        made = build(SOURCE, output.absolute(), python)
    except SiteError as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json(made)
    else:
        click.echo(f"{made.archive}\n  version {made.version}\n  sha256 {made.sha256}")
