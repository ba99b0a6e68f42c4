"""`lucid serve`: one service, as its unit or the single-machine stack starts it."""

import click

from lucid import catalog
from lucid.catalog_reader import CatalogError
from lucid.kit import launch


def _names() -> list[str]:
    try:
        return list(catalog.load().services)
    except CatalogError as error:  # a variable of the environment makes no sense
        raise click.UsageError(str(error)) from None


@click.command(epilog="Example: STATE_DIRECTORY=/var/lib/lucid/session-api lucid serve session-api")
@click.argument("name", type=click.Choice(_names()), metavar="NAME")
def serve(name: str) -> None:
    """Run the service NAME until it is told to stop.

    Settings come from the environment and from the files in $CREDENTIALS_DIRECTORY; one that is missing or
    wrong is named with an example. `lucid services` lists the names.
    """
    launch.run(name)
