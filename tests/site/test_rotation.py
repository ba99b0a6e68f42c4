"""Secrets are replaced while people use the site: nobody notices, and the old ones are refused afterwards."""

from tests.site.loaded import loaded
from tests.site.standing import Site
from tests.site.vault import ROTATE, accepted, passwords, vault
from tests.site.wellness import recovered


def test_passwords_are_replaced_while_people_work(site: Site) -> None:
    recovered(site)
    before = vault(site)
    assert accepted(site, passwords(before)) == {"redis": True, "mongodb": True}
    with loaded(site):
        done = site.playbook(ROTATE, "-e", "rotate=redis_passwords,mongodb_admin_password")
    assert "the old ones withdrawn: redis_passwords, mongodb_admin_password" in done.stdout
    after = vault(site)
    assert after["vault_rotation"] == {}
    assert after["vault_credentials"] == before["vault_credentials"]
    assert accepted(site, passwords(after)) == {"redis": True, "mongodb": True}
    assert accepted(site, passwords(before)) == {"redis": False, "mongodb": False}
    for secret in (*passwords(before).values(), *passwords(after).values()):
        assert secret not in done.stdout + done.stderr


def test_what_cannot_be_rotated_is_refused_before_anything_changes(site: Site) -> None:
    before = vault(site)
    done = site.playbook(ROTATE, "-e", "rotate=ca,validator_key", check=False)
    assert done.returncode != 0
    assert "validator_key cannot be rotated: the chain names" in done.stdout + done.stderr
    assert vault(site) == before
