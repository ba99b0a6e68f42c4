"""The flows as a picture: who may talk (rows) to which port (columns), as SVG for the documentation."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from lucid.deploy.flows import Flow

_CELL, _LEFT, _TOP, _MARGIN = 18, 250, 190, 12
_COLOURS = {"people use": "#c0392b", "administration": "#7f8c8d", "members of": "#8e44ad"}
_STYLE = "text{font:11px sans-serif;fill:#222} .grid{stroke:#e4e4e4} .host{stroke:#888}"


def draw(flows: Sequence[Flow]) -> str:
    """An SVG document: one dot for each flow, whose tooltip says why it is allowed."""
    rows = sorted({(flow.source, flow.user) for flow in flows})
    columns = sorted({(flow.destination, flow.port) for flow in flows})
    width, height = _LEFT + len(columns) * _CELL + _MARGIN, _TOP + len(rows) * _CELL + _MARGIN
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_rows(rows, width),
        *_columns(columns, height),
        *(_dot(flow, rows.index((flow.source, flow.user)), columns.index((flow.destination, flow.port)))
          for flow in flows),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _rows(rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    before = None
    for number, (host, user) in enumerate(rows):
        y = _TOP + number * _CELL
        yield f'<line class="{"grid" if host == before else "host"}" x1="0" x2="{width}" y1="{y}" y2="{y}"/>'
        label = f"{host}: {user}" if user else host
        yield f'<text x="{_LEFT - 6}" y="{y + 13}" text-anchor="end">{escape(label)}</text>'
        before = host


def _columns(columns: Sequence[tuple[str, int]], height: int) -> Iterator[str]:
    before = None
    for number, (host, port) in enumerate(columns):
        x = _LEFT + number * _CELL
        yield f'<line class="{"grid" if host == before else "host"}" x1="{x}" x2="{x}" y1="0" y2="{height}"/>'
        turned = f'transform="translate({x + 13} {_TOP - 6}) rotate(-90)"'
        yield f"<text {turned}>{escape(host)}:{port}</text>"
        before = host


def _dot(flow: Flow, row: int, column: int) -> str:
    colour = next((colour for words, colour in _COLOURS.items() if flow.why.startswith(words)), "#2471a3")
    x, y = _LEFT + column * _CELL + _CELL / 2, _TOP + row * _CELL + _CELL / 2
    who = f"{flow.source} {flow.user}".strip()
    title = escape(f"{who} → {flow.destination}:{flow.port}: {flow.why}")
    return f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"><title>{title}</title></circle>'
