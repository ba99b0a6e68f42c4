"""A whole deployed site: the lab's hosts, which `site.yml` was run against, shared by all tests here."""

import os
from pathlib import Path

import pytest

from lab import place
from lab.errors import LabError
from tests.site.deploying import Deployment
from tests.site.standing import Site

HERE = Path(__file__).parent
DEPLOYMENT = pytest.StashKey[Deployment]()


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Site:
    """The site of the lab that LUCID_LAB names, which stands already; without it one made and removed here.

    Skips where the machine cannot hold a lab.
    """
    if os.environ.get("LUCID_LAB"):
        return Site(place.here())
    try:
        request.config.stash[DEPLOYMENT] = deployment = Deployment()
    except LabError as error:
        pytest.skip(str(error))
    request.config.add_cleanup(deployment.remove)
    deployment.finish()
    return Site(deployment.lab)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "site: needs a whole deployed site")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test here, and gives it the time to deploy the site that the first one needs."""
    for item in items:
        if _here(item):
            item.add_marker(pytest.mark.site)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(2400))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The hosts go with the last test that asks for them."""
    if _here(item) and not (nextitem and _here(nextitem)) and DEPLOYMENT in item.config.stash:
        item.config.stash[DEPLOYMENT].remove()


def _here(item: pytest.Item) -> bool:
    return HERE in item.path.parents
