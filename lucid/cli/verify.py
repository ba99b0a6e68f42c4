"""`lucid verify`: checks a bundle offline, step by step."""

from pathlib import Path

import click
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from lucid.cli.moments import Moment
from lucid.cli.output import Misuse, err, moment, out, print_json, size
from lucid.cli.target import json_option
from lucid.evidence import trust as trust_file
from lucid.evidence.errors import FormatError
from lucid.evidence.policy import SessionPolicy
from lucid.evidence.steps import STEPS, Outcome, Report
from lucid.evidence.trust import TRUST_LIMIT, Trust
from lucid.evidence.verify import verify as verify_bundle

MARKS = {"ok": "[green]✔[/green]", "failed": "[bold red]✘[/bold red]", "skipped": "[dim]–[/dim]"}
VERDICTS = {
    Outcome.VERIFIED: "[bold green]VERIFIED[/bold green]  This is the complete recording that was anchored.",
    Outcome.REFUSED: "[bold red]REFUSED[/bold red]  Do not rely on this bundle.",
    Outcome.CONSISTENT_NOT_AUTHENTICATED: (
        "[bold yellow]CONSISTENT, NOT AUTHENTICATED[/bold yellow]  The parts fit together,"
        " but without --trust anybody could have made them."
    ),
}


_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(epilog="Example: lucid verify session.lucid --trust trust.json --newer-than 2030-01-31")
@click.argument("bundle", type=_file)
@click.option("--trust", "trust_path", type=_file, help="Whom to believe, obtained out of band.")
@click.option("--against", type=_file, help="A checkpoint you have from elsewhere: finds split views.")
@click.option("--newer-than", type=Moment(), help="Refuse a bundle cosigned before TIME (UTC).")
@json_option
@click.pass_context
def verify(
    context: click.Context,
    bundle: Path,
    trust_path: Path | None,
    against: Path | None,
    newer_than: int | None,
    as_json: bool,
) -> None:
    """Check an evidence bundle. No network, no Lucid service, nothing but the files named.

    The steps are numbered; the first that fails is named with what it means. Exit code 0: verified; 1:
    refused; 3: consistent, but not authenticated, because no trust file was given.
    """
    trust = _trust(trust_path) if trust_path else None
    other = against.read_bytes() if against else None
    total = bundle.stat().st_size
    columns = (TextColumn("verifying"), BarColumn(), DownloadColumn())
    with (
        bundle.open("rb") as file,
        Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress,
    ):
        task = progress.add_task("", total=total)
        report = verify_bundle(
            file,
            trust,
            against=other,
            newer_than_ms=newer_than,
            on_progress=lambda read: progress.update(task, completed=read),
        )
    print_json(report) if as_json else show(report)
    context.exit(report.outcome.exit_code)


def show(report: Report) -> None:
    """Prints the report for people."""
    if report.manifest is not None:
        manifest = report.manifest
        out.print(
            f"[bold]session {manifest.session}[/bold]\n"
            f"recorded on {escape(manifest.host)}, {moment(manifest.start_ms)} to {moment(manifest.end_ms)},"
            f" {manifest.count} chunks, {size(report.plain_size)}\nroot {manifest.root}"
        )
    for line in track_lines(report):
        out.print(escape(line))
    if report.policy is not None:
        out.print(f"policy {escape(policy_line(report.policy))}")
    if report.header is not None:
        out.print(
            f"block {report.header.height} of {escape(report.header.chain)}, {report.header.log_size} entries"
        )
    out.print()
    out.print(steps_table(report))
    out.print(f"\n{VERDICTS[report.outcome]}")


def track_lines(report: Report) -> list[str]:
    """Of each track: what is in it, its chunks, and for how long it was recorded."""
    if report.manifest is None:
        return []
    gaps = report.manifest.gaps
    return [
        f"track {track.track}: {track.codec}, {track.chunks} chunks,"
        f" {track.covered_ms / 1000:.1f} s recorded,"
        f" {sum(gap.track == track.track for gap in gaps)} gaps"
        for track in report.tracks
    ]


def policy_line(policy: SessionPolicy) -> str:
    """What was allowed in the session, and when it was to end."""
    found = policy.trust_policy
    if found is None:
        return policy.words
    loss = {"end": "ends", "gap": "goes on with a named gap"}[found.on_recorder_loss]
    return (
        f"{policy.words}. The client is disconnected after {found.idle_seconds} s without input;"
        f" the session ends after {found.session_seconds} s; without a recorder it {loss}"
    )


def steps_table(report: Report) -> Table:
    """The steps that were tried, each with its mark, number, name and what was found."""
    table = Table.grid(padding=(0, 1))
    for step in report.steps:
        found = escape(step.detail) + (f"\n[red]{step.meaning}[/red]" if step.meaning else "")
        table.add_row(MARKS[step.status], f"{step.number:>2}", f"[bold]{step.name}", found)
    if left := len(STEPS) - len(report.steps):
        table.add_row("", "", "", f"[dim]{left} later step(s) were not tried")
    return table


def _trust(path: Path) -> Trust:
    with path.open("rb") as file:
        content = file.read(TRUST_LIMIT + 1)
    try:
        return trust_file.parse(content)
    except FormatError as error:
        raise Misuse(f"{path} is no trust file to rely on: {error}") from None
