"""A whole deployed site: the lab's hosts, which `site.yml` was run against, shared by all tests here."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from lab import place
from lab.errors import LabError
from tests.site.deploying import BESIDE, Deployment
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
        deployment = _deployment(request.config)
    except LabError as error:
        pytest.skip(str(error))
    waited = deployment.finish()
    print(f"waited {waited:.0f} s for the site")  # noqa: T201 - shown by pytest when something fails, and with -s
    return Site(deployment.lab)


def _deployment(config: pytest.Config) -> Deployment:
    """The one of this run, begun if it is not under way. Raises LabError."""
    if DEPLOYMENT not in config.stash:
        config.stash[DEPLOYMENT] = deployment = Deployment()
        config.add_cleanup(deployment.remove)
    return config.stash[DEPLOYMENT]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "site: needs a whole deployed site")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test here, and gives it the time to deploy the site that the first one needs.

    Tests that may run beside the deployment come first, those that ask for the site after them.
    """
    for item in items:
        if _here(item):
            item.add_marker(pytest.mark.site)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(2400))
    if any(map(_here, items)):
        items.sort(key=lambda item: 0 if _beside(item) else 1 if _here(item) else 2)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Begins the deployment, if anything asks for it."""
    if os.environ.get("LUCID_LAB") or session.config.option.collectonly or not any(map(_here, session.items)):
        return
    with suppress(LabError):  # the tests that need it are skipped, and say why
        _deployment(session.config)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The hosts go with the last test that asks for them: those that follow measure time."""
    if _here(item) and not (nextitem and _here(nextitem)) and DEPLOYMENT in item.config.stash:
        item.config.stash[DEPLOYMENT].remove()


def _here(item: pytest.Item) -> bool:
    return HERE in item.path.parents


def _beside(item: pytest.Item) -> bool:
    return item.path.is_relative_to(HERE.parent) and item.path.relative_to(HERE.parent).parts[0] in BESIDE
