"""Small SVG pictures for documentation: bars and lines, nothing that needs a library."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, ROW, LEFT, RIGHT = 640, 26, 170, 70
COLOURS = ("#2563eb", "#94a3b8", "#059669", "#d97706")
FONT = 'font-family="sans-serif" font-size="12"'


def bars(title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Horizontal bars, grouped: label → series → value."""
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    largest = max(value for values in groups.values() for value in values.values())
    scale = (WIDTH - LEFT - RIGHT) / largest
    parts, y = [_text(10, 20, title, "bold")], 40
    for label, values in groups.items():
        parts.append(_text(10, y + 12, label))
        for name, value in values.items():
            colour = COLOURS[series.index(name) % len(COLOURS)]
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="16" fill="{colour}"/>'
            )
            parts.append(_text(LEFT + value * scale + 5, y + 12, f"{value:g} {unit}"))
            y += ROW - 6
        y += 10
    for number, name in enumerate(series):
        x = LEFT + number * 150
        parts.append(
            f'<rect x="{x}" y="{y}" width="12" height="12" fill="{COLOURS[number % len(COLOURS)]}"/>'
        )
        parts.append(_text(x + 17, y + 10, name))
    return _svg(parts, y + 25)


def lines(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]], unit: str) -> str:
    """Lines over equally spaced labels."""
    height, bottom = 260, 220
    largest = max(max(values) for values in series.values())
    step = (WIDTH - LEFT - RIGHT) / max(1, len(labels) - 1)
    parts = [_text(10, 20, title, "bold")]
    for number, label in enumerate(labels):
        parts.append(_text(LEFT + number * step - 15, bottom + 20, label))
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [(LEFT + i * step, bottom - value / largest * 170) for i, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
        x, y = points[-1]
        parts.append(_text(x + 8, y + 4, f"{values[-1]:g} {unit}"))
        parts.append(f'<rect x="10" y="{50 + number * 22}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(28, 60 + number * 22, name))
    return _svg(parts, height)


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {FONT} font-weight="{weight}" fill="#334155">{escape(text)}</text>'


def _svg(parts: Sequence[str], height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}">'
    return (
        "\n".join([head, f'<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>', *parts, "</svg>"])
        + "\n"
    )
