"""The tiers: their figures, who counts in which, and under what key."""

from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lucid import catalog
from lucid.gateway.limits.settings import LimitSettings
from lucid.gateway.limits.tiers import MB, KeyedBy, Tier, Tiers, address_key, key_of
from lucid.kit import settings
from lucid.kit.routes import Access, Nothing, Route

HERE = {"STATE_DIRECTORY": "/nowhere", "TLS_DIRECTORY": "/nowhere"}


def made(**figures: str) -> Tiers:
    """The tiers with these settings and no others."""
    return settings.load(LimitSettings, HERE | figures, Path("/nowhere")).tiers()


TIERS = made()
PUBLIC_ROUTES: list[Route[Any, Any, Any]] = [
    route
    for service in catalog.load().exposed()
    for route in import_module(service.contract).ROUTES
    if route.access is not Access.INTERNAL
]


def route(path: str, access: Access) -> Route[Nothing, Nothing, Nothing]:
    return Route("any", "GET", path, Nothing, Nothing, Nothing, "For this test", access=access)


class TestFigures:
    @pytest.mark.parametrize(
        ("tier", "per_minute", "burst", "keyed_by"),
        [
            (TIERS.public, 100, 200, KeyedBy.ADDRESS),
            (TIERS.authenticated, 1000, 2000, KeyedBy.USER),
            (TIERS.admin, 10_000, 20_000, KeyedBy.USER),
            (TIERS.blocks, 500, 1000, KeyedBy.USER_OR_ADDRESS),
            (TIERS.upload, 60 * 10 * MB, 20 * MB, KeyedBy.SESSION),
            (TIERS.address, 1000, 1200, KeyedBy.ADDRESS),
        ],
        ids=lambda value: value.name if isinstance(value, Tier) else None,
    )
    def test_are_those_of_the_reference(
        self, tier: Tier, per_minute: int, burst: int, keyed_by: KeyedBy
    ) -> None:
        assert (round(tier.rate * 60), tier.capacity, tier.keyed_by) == (per_minute, burst, keyed_by)

    def test_follow_the_settings(self) -> None:
        tiers = made(
            RATE_LIMIT_PUBLIC_REQ_PER_MIN="60",
            RATE_LIMIT_PUBLIC_BURST="7",
            DDOS_MAX_REQUESTS_PER_MIN="120",
            DDOS_BURST_LIMIT="5",
        )
        assert (tiers.public.rate, tiers.public.capacity) == (1.0, 7)
        assert (tiers.address.rate, tiers.address.capacity) == (2.0, 125)

    def test_can_be_switched_off_apart_from_each_other(self) -> None:
        people = made(RATE_LIMIT_ENABLED="false")
        assert [tier.name for tier in people.all() if tier.limited] == ["address"]
        addresses = made(DDOS_PROTECTION_ENABLED="false")
        assert [tier.name for tier in addresses.all() if not tier.limited] == ["address"]

    def test_a_bad_one_names_the_setting_and_its_unit(self) -> None:
        with pytest.raises(
            settings.SettingsError, match=r"RATE_LIMIT_AUTH_BURST: .*in requests, for example"
        ):
            settings.load(LimitSettings, HERE | {"RATE_LIMIT_AUTH_BURST": "-1"})

    def test_every_tier_is_found_by_its_name(self) -> None:
        assert [TIERS.named(name).name for name in msgspec.structs.asdict(TIERS)] == list(
            msgspec.structs.asdict(TIERS)
        )
        with pytest.raises(KeyError):
            TIERS.named("nonsense")


class TestTierOfARoute:
    @pytest.mark.parametrize(
        ("path", "access", "caller", "tier"),
        [
            ("/auth/login", Access.PUBLIC, Access.PUBLIC, "public"),
            ("/sessions", Access.USER, Access.USER, "authenticated"),
            ("/nodes", Access.NODE_OPERATOR, Access.NODE_OPERATOR, "authenticated"),
            ("/users", Access.ADMIN, Access.ADMIN, "admin"),
            ("/sessions", Access.USER, Access.SUPER_ADMIN, "admin"),
            ("/users/{user}/role", Access.SUPER_ADMIN, Access.PUBLIC, "admin"),
            ("/chain/blocks", Access.PUBLIC, Access.PUBLIC, "blocks"),
            ("/chain/blocks/{height}", Access.PUBLIC, Access.ADMIN, "blocks"),
            ("/chain/blocksandmore", Access.PUBLIC, Access.PUBLIC, "public"),
        ],
    )
    def test_follows_from_access_path_and_rank(
        self, path: str, access: Access, caller: Access, tier: str
    ) -> None:
        assert TIERS.of(route(path, access), caller).name == tier

    @pytest.mark.parametrize("each", PUBLIC_ROUTES, ids=lambda each: f"{each.method} {each.path}")
    def test_no_route_is_without_limit(self, each: Route[Any, Any, Any]) -> None:
        assert TIERS.of(each).limited

    def test_an_internal_route_has_none(self) -> None:
        with pytest.raises(ValueError, match="internal"):
            TIERS.of(route("/limits/check", Access.INTERNAL))


class TestKeys:
    def test_are_what_the_tier_says(self) -> None:
        assert key_of(TIERS.public, "10.0.0.1", "anna") == "10.0.0.1"
        assert key_of(TIERS.authenticated, "10.0.0.1", "anna") == "anna"
        assert key_of(TIERS.blocks, "10.0.0.1", "anna") == "anna"
        assert key_of(TIERS.blocks, "10.0.0.1") == "10.0.0.1"
        assert key_of(TIERS.upload, "10.0.0.1", "anna", "session") == "session"

    def test_nobody_shares_a_bucket_for_want_of_a_name(self) -> None:
        with pytest.raises(ValueError, match="authenticated is keyed by user"):
            key_of(TIERS.authenticated, "10.0.0.1")
        with pytest.raises(ValueError, match="upload is keyed by session"):
            key_of(TIERS.upload, "10.0.0.1", "anna")

    @pytest.mark.parametrize(
        ("client", "key"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::1", "::"),
            ("circuit:17", "circuit:17"),
        ],
    )
    def test_an_address_counts_as_what_one_line_is_given(self, client: str, key: str) -> None:
        assert address_key(client) == key
