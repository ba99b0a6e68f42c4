"""Clients of the gateway that go on asking while something is restarted."""

import contextlib
import sys
from collections.abc import Iterator

import msgspec

from tests.site.load import Figures
from tests.site.standing import Site

RATE = 20
END_SECONDS = 90.0


class Load:
    """Its `figures` are there once the context is over."""

    figures: Figures


@contextlib.contextmanager
def loaded(site: Site, spare: str = "") -> Iterator[Load]:
    """Clients for as long as the context lasts: none of their requests may be refused or lost.

    Those for the path `spare` may get no answer.
    """
    load = Load()
    runner = site.begin(sys.executable, "-m", "tests.site.load", str(RATE))
    try:
        yield load
        said, _ = runner.communicate("over\n", timeout=END_SECONDS)
        load.figures = msgspec.json.decode(said, type=Figures)
    finally:
        runner.kill()
        runner.communicate()
    print(load.figures)  # noqa: T201 - for the reader of -s
    assert load.figures.requests > RATE
    assert load.figures.refused == 0
    assert [each for each in load.figures.lost if not spare or not each.startswith(spare)] == []
