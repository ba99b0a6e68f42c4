"""Rotation of secrets: the vault file holds at each step what is needed to go on, at the end only the new."""

from typing import Any

import msgspec
import pytest

from lucid import catalog
from lucid.deploy import rotation, secrets, signing
from lucid.deploy.errors import SiteError

CATALOG = catalog.load()
NOW = 1_800_000_000


@pytest.fixture
def vault() -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(secrets.complete(CATALOG, {}))
    return made | {"vault_of_the_operator": "stays"}


def values(part: Any) -> set[str]:
    """Every text in it."""
    if isinstance(part, str):
        return {part} - {""}
    items = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return {text for item in items for text in values(item)}


def whole(vault: dict[str, Any], *names: str) -> dict[str, Any]:
    """A rotation from its first step to its last."""
    begun = rotation.begun(CATALOG, vault, names, NOW)
    return rotation.closed(rotation.ended(rotation.switched(begun)))


class TestNames:
    def test_of_all_are_what_the_catalogue_s_services_and_stores_have(self) -> None:
        assert rotation.chosen(CATALOG, ["all"]) == (
            "redis_passwords", "mongodb_admin_password", "mongodb_key", "ca",
            "bootstrap_token", "closing_key", "encryption_password", "mfa_secret", "recorder_key",
            "token_key",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("validator_key", "names this validator's key in its genesis"),
            ("passwords", "there is no such secret; what can is redis_passwords"),
        ],
    )
    def test_that_cannot_be_rotated_are_refused_with_the_reason(self, name: str, words: str) -> None:
        with pytest.raises(SiteError, match=f"rotate: {name} cannot be rotated: .*{words}"):
            rotation.chosen(CATALOG, ["ca", name])


@pytest.mark.parametrize("name", rotation.names(CATALOG))
class TestEachSecret:
    def test_is_known_old_and_new_until_the_end_and_then_only_new(
        self, vault: dict[str, Any], name: str
    ) -> None:
        begun = rotation.begun(CATALOG, vault, [name], NOW)
        added = values(begun) - values(vault)
        assert added
        gone = values(vault) - values(whole(vault, name))
        assert gone
        simply = {"bootstrap_token", "closing_key", "ca"}  # an authority's key signs nothing any more
        assert gone <= values(begun) or name in simply

    def test_is_made_once_however_often_it_is_begun(self, vault: dict[str, Any], name: str) -> None:
        begun = rotation.begun(CATALOG, vault, [name], NOW)
        assert rotation.begun(CATALOG, begun, [name], NOW + 9) == begun
        assert rotation.begun(CATALOG, begun, [], NOW + 9) == begun
        switched = rotation.switched(begun)
        assert rotation.switched(rotation.begun(CATALOG, switched, [name], NOW)) == switched
        ended = rotation.ended(switched)
        assert rotation.ended(rotation.switched(rotation.begun(CATALOG, ended, [name], NOW))) == ended

    def test_leaves_all_others_alone(self, vault: dict[str, Any], name: str) -> None:
        kept = values(vault) & values(whole(vault, name))
        others = [other for other in rotation.names(CATALOG) if other != name]
        untouched = values(vault) - values(whole(vault, name))
        for other in others:
            assert untouched <= values(whole(vault, other)), other
        assert "stays" in kept

    def test_can_be_rotated_again(self, vault: dict[str, Any], name: str) -> None:
        once = whole(vault, name)
        assert once["vault_rotation"] == {}
        assert values(whole(once, name)) != values(once)

    def test_concerns_some_part_of_the_site(self, name: str) -> None:
        parts = rotation.parts([name])
        assert set(parts) <= {"mongodb", "redis", "pki", "services"}
        assert ("services" in parts) == bool(rotation.services(CATALOG, [name]))


class TestTheAuthority:
    def test_signs_only_once_everybody_has_been_told_of_it(self, vault: dict[str, Any]) -> None:
        begun = rotation.begun(CATALOG, vault, ["ca"], NOW)
        assert begun["vault_ca_key"] == vault["vault_ca_key"]
        bundle = begun["vault_ca_certificate"] + begun["vault_ca_next_certificate"]
        assert signing.sign([], bundle, begun["vault_ca_key"], 90) == {}
        switched = rotation.switched(begun)
        assert switched["vault_ca_previous_certificate"] == vault["vault_ca_certificate"]
        bundle = switched["vault_ca_certificate"] + switched["vault_ca_previous_certificate"]
        assert signing.sign([], bundle, switched["vault_ca_key"], 90) == {}


class TestTheTokenKey:
    def test_is_withdrawn_when_no_token_of_it_is_out_any_more(self, vault: dict[str, Any]) -> None:
        begun = rotation.begun(CATALOG, vault, ["token_key"], NOW)
        assert rotation.wait_seconds(begun, NOW + 100, 900) == 900 + rotation.CLOCK_SECONDS - 100
        assert rotation.wait_seconds(begun, NOW + 100, 8 * 3600) == 8 * 3600 + rotation.CLOCK_SECONDS - 100
        assert rotation.wait_seconds(begun, NOW + 900 + rotation.CLOCK_SECONDS, 900) == 0
        assert rotation.wait_seconds(rotation.ended(begun), NOW, 900) == 0
        assert rotation.wait_seconds(rotation.begun(CATALOG, vault, ["ca"], NOW), NOW, 900) == 0

    def test_before_is_a_credential_of_its_service_meanwhile(self, vault: dict[str, Any]) -> None:
        begun = rotation.begun(CATALOG, vault, ["token_key"], NOW)
        old = vault["vault_credentials"]["auth-service"]["token_key"]
        assert begun["vault_previous_credentials"] == {"auth-service": {"token_key_previous": old}}
