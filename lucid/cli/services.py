"""`lucid services`: the catalogue, for people and for programs."""

from collections.abc import Iterable

import click
from rich.table import Table

from lucid import catalog
from lucid.cli.output import out, print_json
from lucid.cli.target import json_option


@click.command(epilog="Example: lucid services --json | jq '.[] | {name, calls}'")
@click.option("--markdown", is_flag=True, help="Print a table for documentation.")
@json_option
def services(markdown: bool, as_json: bool) -> None:
    """List every service: where it runs, what it may use and whom it may call.

    Ports are those on hosts and, after the slash, those of the single-machine stack.
    """
    found = catalog.load().services
    if as_json:
        print_json(list(found.values()))
        return
    if markdown:
        click.echo(markdown_table(found.values()), nl=False)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("SERVICE", "CLUSTER", "GROUP", "PORTS"):
        table.add_column(title, no_wrap=True)
    for title in ("WORKERS", "MEMORY", "CPU"):
        table.add_column(title, justify="right")
    for title in ("STORES", "CALLS"):
        table.add_column(title)
    for service in found.values():
        table.add_row(
            service.name,
            service.cluster,
            service.group.value,
            "\n".join(f"{item.port}/{item.local_port}" for item in service.listen),
            str(service.workers),
            service.memory,
            f"{service.cpu} %",
            " ".join(service.stores) or "–",
            "\n".join(service.calls) or "–",
        )
    out.print(table)


def markdown_table(found: Iterable[catalog.Service]) -> str:
    """The catalogue as README.md shows it."""
    lines = ["| service | group | port | calls |", "|---|---|---|---|"]
    for service in found:
        ports = ", ".join(str(item.port) for item in service.listen)
        calls = ", ".join(service.calls) or "–"
        lines.append(f"| {service.name} | {service.group.value} | {ports} | {calls} |")
    return "\n".join(lines) + "\n"
