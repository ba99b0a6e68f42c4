"""A whole deployed site: the lab's hosts, which `site.yml` was run against, shared by all tests here."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import inventory, journey, lifecycle, machine, place
from lab.errors import LabError
from lab.place import INVENTORY, Lab
from tests.site.standing import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site of the lab that LUCID_LAB names, which stands already; without it one made and removed here.

    Skips where the machine cannot hold a lab.
    """
    if os.environ.get("LUCID_LAB"):
        yield Site(place.here())
        return
    state = tmp_path_factory.mktemp("site")
    try:
        machine.check(state)
    except LabError as error:
        pytest.skip(str(error))
    lab = Lab(f"s{os.getpid() % 10000}", state, inventory.load(INVENTORY))
    try:
        yield deployed(lab)
    finally:
        lifecycle.down(lab)


def deployed(lab: Lab) -> Site:
    """A new lab's hosts with Lucid on them, by the same steps as `make lab`."""
    lifecycle.up(lab, list(lab.inventory.hosts.values()), _say, *journey.router_rules(lab))
    journey.prepare(lab)
    _say("site.yml", journey.deploy(lab))
    begun = time.monotonic()
    journey.prove(lab, 5)
    journey.play(lab, "lab/desktop.yml")
    _say("a recording, proved", time.monotonic() - begun)
    return Site(lab)


def _say(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.1f} s")  # noqa: T201 - shown by pytest when something fails, and with -s


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "site: needs a whole deployed site")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test here, and gives it the time to deploy the site that the first one needs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.site)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(2400))
