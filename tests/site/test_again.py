"""Deploying again what stands changes nothing."""

from tests.site.standing import Site, changes


def test_a_second_run_changes_nothing_on_any_host(site: Site) -> None:
    changed = changes(site.playbook("site.yml").stdout)
    assert changed == dict.fromkeys(["localhost", *site.hosts], 0)
