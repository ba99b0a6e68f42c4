"""Points in time as people write them."""

from datetime import UTC, datetime

import click


class Moment(click.ParamType[int]):
    """A point in time: RFC 3339, or a date; UTC unless it names an offset. Converted to milliseconds."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds since the Unix epoch."""
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2030-01-31T12:00:00Z", param, ctx)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return int(found.timestamp() * 1000)
