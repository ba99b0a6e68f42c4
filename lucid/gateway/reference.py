"""The API's reference for people, made from its OpenAPI document: a page of HTML, and Markdown for the docs.

The page has no scripts and fetches nothing: it reads the same in a browser that forbids both, as Tor Browser
does at its safest level.
"""

import base64
import hashlib
import sys
from html import escape

from lucid import catalog
from lucid.gateway.outline import Schema, Value, groups, shapes
from lucid.gateway.table import document

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --link: #06c; }
@media (prefers-color-scheme: dark) { :root { --link: #6af; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem 1.5rem 4rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; }
h3 { margin: 2rem 0 .3rem; } p { margin: .3rem 0; }
code { font: 0.9em ui-monospace, monospace; } h3 code { font-size: 1em; }
.method { border: 1px solid var(--line); border-radius: .3rem; padding: 0 .4rem; }
table { border-collapse: collapse; margin: .5rem 0; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .8rem .25rem 0; }
th, td { text-align: left; vertical-align: top; } th { font-size: .85em; font-weight: 600; }
nav { columns: 3 14rem; background: var(--soft); padding: .8rem 1rem; } nav a { display: block; }
.answers td:first-child { width: 4rem; }
"""
STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
"""What a Content-Security-Policy has to admit as style for the page."""


def markdown(described: Schema) -> str:
    """The reference as Markdown."""
    lines = [
        f"# {described['info']['title']}",
        "",
        "Every gateway shows this page at `/api/v1/docs`, and as OpenAPI 3.1 at `/api/v1/openapi.json`.",
        "Every failure carries an [Envelope](#envelope). Made from the routes by `make docs`; do not edit.",
    ]
    for group, found in groups(described).items():
        lines += ["", f"## {group}"]
        for each in found:
            lines += ["", f"### `{each.method} {each.path}`", "", f"{each.summary}. {each.text}"]
            lines += _table(each.values, ("name", "in", "type", "meaning"))
            if each.body:
                lines += ["", f"Body: {_linked(each.body)}"]
            lines += [""] + [f"- {status}: {_linked(text)}" for status, text in each.answers]
    lines += ["", "## Shapes"]
    for shape in shapes(described):
        lines += ["", f"### {shape.name}", "", " ".join(shape.text.split())]
        lines += _table(shape.values, ("name", "type", "meaning"))
    return "\n".join(lines) + "\n"


def _table(values: tuple[Value, ...], columns: tuple[str, ...]) -> list[str]:
    if not values:
        return []
    rows = ["", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for value in values:
        cells = [f"`{value.name}`", value.place, _linked(value.kind), _meaning(value)]
        if "in" not in columns:
            del cells[1]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return rows


def _meaning(value: Value) -> str:
    text = " ".join(value.text.split())
    return text if value.required else f"Optional. {text}".strip()


def _linked(text: str) -> str:
    """Names of shapes become links within the page."""
    parts = text.split("[")
    return parts[0] + "".join(
        f"[{name}](#{name.lower()}){rest}" for name, _, rest in (part.partition("]") for part in parts[1:])
    )


def html(described: Schema) -> str:
    """The reference as one page."""
    grouped = groups(described)
    title = escape(described["info"]["title"])
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style><h1>{title} {escape(described['info']['version'])}</h1>",
        '<p>Every failure carries an <a href="#envelope">Envelope</a>. For programs: ',
        '<a href="openapi.json">OpenAPI 3.1</a>.</p><nav>',
        *(f'<a href="#{name}">{name}</a>' for name in grouped),
        '<a href="#shapes">Shapes</a></nav>',
    ]
    for name, found in grouped.items():
        parts.append(f'<h2 id="{name}">{name}</h2>')
        for each in found:
            parts.append(
                f'<h3><code><span class="method">{each.method}</span> {escape(each.path)}</code></h3>'
            )
            parts.append(f"<p>{escape(each.summary)}. {escape(each.text)}</p>")
            parts.append(_html_table(each.values, place=True))
            if each.body:
                parts.append(f"<p>Body: {_html_linked(each.body)}</p>")
            rows = (f"<tr><td>{status}<td>{_html_linked(text)}" for status, text in each.answers)
            parts.append(f"<table class=answers><tr><th>status<th>answer{''.join(rows)}</table>")
    parts.append('<h2 id="shapes">Shapes</h2>')
    for shape in shapes(described):
        parts.append(f'<h3 id="{shape.name.lower()}">{shape.name}</h3><p>{escape(shape.text)}</p>')
        parts.append(_html_table(shape.values, place=False))
    return "\n".join(parts)


def _html_table(values: tuple[Value, ...], *, place: bool) -> str:
    if not values:
        return ""
    rows = (
        f"<tr><td><code>{escape(value.name)}</code>{f'<td>{value.place}' if place else ''}"
        f"<td>{_html_linked(value.kind)}<td>{escape(_meaning(value))}"
        for value in values
    )
    return f"<table><tr><th>name{'<th>in' if place else ''}<th>type<th>meaning{''.join(rows)}</table>"


def _html_linked(text: str) -> str:
    parts = escape(text).split("[")
    return parts[0] + "".join(
        f'<a href="#{name.lower()}">{name}</a>{rest}'
        for name, _, rest in (part.partition("]") for part in parts[1:])
    )


if __name__ == "__main__":
    sys.stdout.write(markdown(document(catalog.load())))
