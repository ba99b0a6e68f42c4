"""The report of one proven recording: what was recorded, what it became, and every step of its proof."""

from pathlib import Path

import msgspec
from rich import box
from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lucid.cli import verify
from lucid.cli.output import moment, out, size, span
from lucid.cli.sessions import Details
from lucid.evidence.steps import Outcome, Report


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """What a person can look at afterwards."""

    bundle: str
    trust: str
    recording: str
    frame: str


class Timing(msgspec.Struct, frozen=True):
    """How long a part took."""

    what: str
    seconds: float


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    details: Details
    verification: Report
    files: Files
    timings: tuple[Timing, ...]


def show(proven: Proven) -> None:
    """Prints the report for people."""
    outcome = proven.verification.outcome
    body = Group(_facts(proven), Text(), verify.steps_table(proven.verification))
    title, colour = f"[bold]Lucid: {outcome.value}[/bold]", "green" if outcome is Outcome.VERIFIED else "red"
    out.print(Panel(body, title=title, border_style=colour, box=box.ROUNDED, expand=False))


def _facts(proven: Proven) -> Table:
    session, report = proven.details.session, proven.verification
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("session", f"[bold]{session.id}[/bold]")
    recorded = f"{moment(session.started_ms)}, {span(session.started_ms, session.ended_ms)} long"
    table.add_row("recorded", f"{recorded}, ended: {session.end_reason}")
    if report.manifest is not None:
        gaps = report.manifest.gaps
        named = ", ".join(f"{gap.cause} {(gap.end_ms - gap.start_ms) / 1000:.1f} s" for gap in gaps)
        table.add_row("chunks", f"{report.manifest.count}, gaps: {named or 'none'}")
        table.add_row("tracks", escape("\n".join(verify.track_lines(report))))
        share = report.sealed_size / report.plain_size if report.plain_size else 0.0
        sealed = f"{size(report.sealed_size)} sealed ({share:.0%})"
        table.add_row("bytes", f"{size(report.plain_size)} in, {sealed}")
        table.add_row("root", report.manifest.root)
    if report.policy is not None:
        table.add_row("policy", escape(verify.policy_line(report.policy)))
    if report.header is not None:
        header = report.header
        table.add_row("block", f"{header.height} of {escape(header.chain)}")
        table.add_row("checkpoint", f"{header.log_size} entries, {header.log_root}")
    for name in msgspec.structs.fields(Files):
        table.add_row(name.name, escape(_short(getattr(proven.files, name.name))))
    table.add_row("times", ", ".join(f"{t.what} {t.seconds:.1f} s" for t in proven.timings))
    return table


def _short(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name
