"""`lucid trust`: the chain's own word on whom to believe."""

import io
from pathlib import Path

import click

from lucid.cli.api import Target
from lucid.cli.download import Partial, fetch, whole_file
from lucid.cli.output import Failure, err, run
from lucid.cli.target import target_options
from lucid.contracts import blockchain_engine
from lucid.evidence import trust as trust_file
from lucid.evidence.errors import FormatError
from lucid.kit.routes import NOTHING


@click.command(epilog="Example: lucid trust -o trust.json")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to; default: print it."
)
@target_options
def trust(output: Path | None, target: Target) -> None:
    """Fetch a trust file: the log's name, its first block, its validators' keys and their quorum.

    What a deployment says about itself proves nothing to those who don't trust it. Compare the file with one
    obtained another way before you rely on it.
    """
    content = run(fetch_trust(target))
    try:
        found = trust_file.parse(content)
    except FormatError as error:
        raise Failure(f"the deployment's trust file cannot be relied on: {error}") from None
    if output:
        with whole_file(output) as file:
            file.write(content)
    else:
        click.echo(content.decode(), nl=False)
    err.print(
        f"[yellow]This is the deployment's own word.[/yellow] Compare genesis hash {found.genesis_hash} and"
        f" the {len(found.validators)} validator key(s) with a copy that you got another way."
    )


async def fetch_trust(target: Target) -> bytes:
    """The deployment's trust file, not yet checked. Raises ApiError."""
    content = io.BytesIO()
    async with target.open() as api:
        await fetch(api, blockchain_engine.TRUST, NOTHING, Partial(content), "trust file")
    return content.getvalue()
