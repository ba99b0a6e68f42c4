"""Every secret of a site is replaced while people work and record: nobody notices."""

from pathlib import Path

import pytest

from lucid import catalog
from lucid.deploy import rotation
from tests.site.loaded import loaded
from tests.site.recorded import recorded
from tests.site.standing import Site
from tests.site.vault import ROTATE, accepted, passwords, vault
from tests.site.wellness import recovered

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

AT_ONCE = [name for name in rotation.names(catalog.load()) if name not in {"ca", "recorder_key"}]
"""All but those for which something has to be done between the two halves; takes over 16 minutes."""


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


def test_all_passwords_and_keys(site: Site, tmp_path: Path) -> None:
    recovered(site)
    before = vault(site)
    with recorded(site, tmp_path) as recording:
        with loaded(site):
            site.playbook(ROTATE, "-e", f"rotate={','.join(AT_ONCE)}", seconds=2400)
        recording.finish()
    assert accepted(site, passwords(before)) == {"redis": False, "mongodb": False}
    after = vault(site)
    assert after["vault_rotation"] == after["vault_previous_credentials"] == {}
    assert set(after["vault_mongodb_keys"]).isdisjoint(before["vault_mongodb_keys"])
    recovered(site)


def test_the_recorder_s_key_around_a_recording(site: Site, tmp_path: Path) -> None:
    recovered(site)
    with recorded(site, tmp_path) as recording:
        site.playbook(ROTATE, "-e", "rotate=recorder_key", "-e", "rotation_announce=true")
        recording.next_chunk()
        recording.finish()
    site.playbook(ROTATE)
    assert vault(site)["vault_rotation"] == {}
    recovered(site)


def test_the_authority_which_people_are_told_of_first(site: Site, tmp_path: Path) -> None:
    recovered(site)
    trusted = site.lab.state / "ca.crt"
    with recorded(site, tmp_path) as recording:
        with loaded(site):
            site.playbook(ROTATE, "-e", "rotate=ca", "-e", "rotation_announce=true")
        announced = vault(site)
        trusted.write_text(announced["vault_ca_certificate"] + announced["vault_ca_next_certificate"])
        with loaded(site):
            site.playbook(ROTATE)
        recording.finish()
    assert vault(site)["vault_ca_certificate"] == announced["vault_ca_next_certificate"]
    trusted.write_text(announced["vault_ca_next_certificate"])
    for host in site.hosts:
        held = site.on(host, "cat", "/etc/lucid/tls/ca.crt").stdout
        assert held.strip() == announced["vault_ca_next_certificate"].strip()
    recovered(site)
