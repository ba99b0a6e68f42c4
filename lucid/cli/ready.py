"""`lucid ready`: waits until services on this host are ready; the gate of a deployment."""

import asyncio
import time
from pathlib import Path

import click

from lucid import catalog, variants
from lucid.cli.output import Away, Misuse, run
from lucid.dev.probe import Observed, Prober

PAUSE_SECONDS = 0.5


@click.command(epilog="Example: lucid ready --seconds 60 session-api session-storage")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--seconds", type=click.FloatRange(0, 3600), default=30.0, show_default=True, help="How long to wait."
)
@click.option(
    "--tls",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("/etc/lucid/tls/lucid-probe"),
    show_default=True,
    help="Directory with lucid-probe.crt, lucid-probe.key and ca.crt.",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    default=Path("/etc/lucid/settings"),
    show_default=True,
    help="Directory with NAME.env, which says at which ports NAME listens.",
)
def ready(names: tuple[str, ...], seconds: float, directory: Path, settings: Path) -> None:
    """Wait until the services NAME of this host are ready.

    Exit status 0 when all are; 4 when the time is over, with what each of the others says.
    """
    known = catalog.load().services
    if unknown := [name for name in names if name not in known]:
        raise Misuse(f"no service is called {unknown[0]}; `lucid services` lists them")
    missing = run(_wait([as_set(name, settings) for name in names], seconds, directory))
    if missing:
        said = "\n".join(
            f"  {name}: {found.status} {found.detail}".rstrip() for name, found in missing.items()
        )
        raise Away(f"not ready after {seconds:g} s:\n{said}")


def as_set(name: str, directory: Path) -> catalog.Service:
    """The service as its settings on this host have it; as the environment has it where there are none."""
    file = directory / f"{name}.env"
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        told = dict(line.split("=", 1) for line in lines if line.startswith("LUCID_"))
        return variants.deployed(catalog.load(), told).services[name]
    except (OSError, ValueError, LookupError) as error:
        raise Misuse(f"{file}: {error}") from None


async def _wait(services: list[catalog.Service], seconds: float, directory: Path) -> dict[str, Observed]:
    """What those said last that did not become ready."""
    until = time.monotonic() + seconds
    async with Prober(directory, "lucid-probe", local=False) as prober:
        while True:
            answers = await asyncio.gather(*(prober.service(service) for service in services))
            missing = {s.name: found for s, found in zip(services, answers, strict=True) if not found.ready}
            if not missing or time.monotonic() >= until:
                return missing
            await asyncio.sleep(PAUSE_SECONDS)
