"""Which release each host runs."""

from concurrent.futures import ThreadPoolExecutor

from tests.site.standing import Site
from tests.site.wellness import service_hosts

CURRENT = "/opt/lucid/current"


def releases(site: Site) -> dict[str, str]:
    """By host, the release that `current` points to."""
    hosts = service_hosts(site)
    with ThreadPoolExecutor(len(hosts)) as pool:
        found = pool.map(lambda host: site.on(host, "readlink", CURRENT).stdout.strip(), hosts)
        return {host: path.rpartition("/")[2] for host, path in zip(hosts, found, strict=True)}


def one_release(site: Site) -> str:
    """The release that all hosts run."""
    found = set(releases(site).values())
    assert len(found) == 1, f"hosts run different releases: {releases(site)}"
    return found.pop()
