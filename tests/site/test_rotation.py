"""What a rotation of secrets refuses; rotations themselves are in tests/soak."""

from tests.site.standing import Site
from tests.site.vault import ROTATE, vault


def test_what_cannot_be_rotated_is_refused_before_anything_changes(site: Site) -> None:
    before = vault(site)
    done = site.playbook(ROTATE, "-e", "rotate=ca,validator_key", check=False)
    assert done.returncode != 0
    assert "validator_key cannot be rotated: the chain names" in done.stdout + done.stderr
    assert vault(site) == before
