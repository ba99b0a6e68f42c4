"""rate-limiter: counts for other services, and shows and fills buckets for admins."""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import Any, TypeVar

import msgspec
import pytest

from lucid.auth import service as auth
from lucid.auth.tokens import Signer
from lucid.contracts import rate_limiter as contract
from lucid.dev import servers
from lucid.gateway import rate_limiter
from lucid.kit import context
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, LucidError
from lucid.kit.routes import NOTHING, Route
from lucid.kit.settings import SettingsError
from tests.auth.live import TOKEN_KEY, Deployment
from tests.gateway.conftest import limited

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")

PUBLIC_BURST = 10
SIGNER = Signer(TOKEN_KEY)


class Caller:
    """api-gateway's part, on behalf of somebody with a role."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def ask(
        self, route: Route[P, B, R], params: Any = NOTHING, body: B | None = None, *, role: str = ""
    ) -> R:
        """One call; raises the error that was answered."""
        token = SIGNER.mint(str(uuid.uuid4()), role, int(time.time()), str(uuid.uuid4())) if role else ""
        reset = context.authorization.set(f"Bearer {token}" if role else None)
        try:
            return await self._client.call(route, params, body)
        finally:
            context.authorization.reset(reset)

    async def check(self, tier: str, key: str, cost: int = 1) -> contract.Verdict:
        """Whether a request is admitted."""
        body = msgspec.convert({"tier": tier, "key": key, "cost": cost}, contract.Check)
        return await self.ask(contract.CHECK, body=body)

    async def buckets(self, role: str = "admin", **query: Any) -> contract.Buckets:
        """A page of buckets."""
        return await self.ask(
            contract.BUCKETS, msgspec.convert({"tier": "public", **query}, contract.BucketsQuery), role=role
        )

    async def reset(self, key: str, role: str = "admin") -> None:
        """Fills up a bucket of the tier public."""
        await self.ask(contract.RESET, contract.BucketPath("public", key), role=role)


@asynccontextmanager
async def running(
    deployment: Deployment, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Caller]:
    """rate-limiter with auth-service behind it."""
    for name, value in {
        "REDIS_URL": redis_url,
        "RATE_LIMIT_PUBLIC_REQ_PER_MIN": "0",
        "RATE_LIMIT_PUBLIC_BURST": str(PUBLIC_BURST),
        "RATE_LIMIT_REDIS_SECONDS": "2",
    }.items():
        monkeypatch.setenv(name, value)
    calls = deployment.calls("api-gateway", [contract.SERVICE])
    try:
        async with deployment.serve(await auth.create()), deployment.serve(await rate_limiter.create()):
            yield Caller(calls)
    finally:
        await calls.close()


@pytest.fixture
def deployment(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """With limits."""
    return limited(deployment, monkeypatch)


@pytest.fixture
async def caller(
    deployment: Deployment, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Caller]:
    async with running(deployment, redis_url, monkeypatch) as made:
        yield made


def stranger() -> str:
    """An address that no other test has asked from."""
    return str(IPv4Address(secrets.randbits(24) | 11 << 24))


class TestChecking:
    async def test_counts_requests_until_there_are_none_left(self, caller: Caller) -> None:
        address = stranger()
        verdicts = [await caller.check("public", address, cost=4) for _ in range(4)]
        assert [verdict.admitted for verdict in verdicts] == [True, True, False, False]
        assert [verdict.remaining for verdict in verdicts] == [6, 2, 2, 2]
        assert (verdicts[0].limit, verdicts[0].retry_after, verdicts[2].retry_after) == (PUBLIC_BURST, 0, 60)
        assert (await caller.check("public", address, cost=2)).admitted

    async def test_knows_every_tier(self, caller: Caller) -> None:
        for tier in ("authenticated", "admin", "blocks", "upload", "address"):
            assert (await caller.check(tier, uuid.uuid4().hex)).admitted, tier

    async def test_refuses_what_the_contract_does_not_know(self, caller: Caller) -> None:
        bodies: tuple[dict[str, Any], ...] = (
            {"tier": "gold", "key": "x"},
            {"tier": "public", "key": "a b"},
            {"tier": "public", "key": "x", "cost": 0},
        )
        for body in bodies:
            with pytest.raises(LucidError) as refused:
                await caller.ask(contract.CHECK, body=contract.Check(**body))
            assert refused.value.code.status == 400, body

    @pytest.mark.usefixtures("caller")
    async def test_is_for_callers_of_the_catalogue_only(self, deployment: Deployment) -> None:
        stranger_calls = deployment.calls("session-api", [contract.SERVICE])
        try:
            with pytest.raises(LucidError) as refused:
                await Caller(stranger_calls).check("public", "10.0.0.1")
        finally:
            await stranger_calls.close()
        assert refused.value.code is Code.PERMISSION


class TestInspection:
    async def test_shows_one_bucket_by_its_key(self, caller: Caller) -> None:
        address = stranger()
        assert (await caller.buckets(key=address)).buckets == ()
        await caller.check("public", address, cost=3)
        page = await caller.buckets(key=address)
        assert page.buckets == (contract.Bucket(key=address, available=7, reset=60),)
        assert (page.tier, page.capacity, page.per_second, page.next) == ("public", PUBLIC_BURST, 0.0, None)

    async def test_finds_an_ipv6_address_by_any_of_its_line(self, caller: Caller) -> None:
        line = f"2001:db8:{secrets.token_hex(2)}:1"
        await caller.check("public", f"{line}::5", cost=3)
        [bucket] = (await caller.buckets(key=f"{line}:ffff::7")).buckets
        assert bucket.available == 7

    async def test_comes_in_pages(self, caller: Caller) -> None:
        keys = sorted(stranger() for _ in range(5))
        for key in keys:
            await caller.check("public", key)
        seen: list[str] = []
        after = None
        while True:
            page = await caller.buckets(limit=2, after=after)
            assert len(page.buckets) <= 2
            seen += [bucket.key for bucket in page.buckets]
            if (after := page.next) is None:
                break
        assert seen == sorted(seen)
        assert set(keys) <= set(seen)

    async def test_is_for_admins_only(self, caller: Caller) -> None:
        for role, code in (("", Code.AUTHENTICATION_REQUIRED), ("node_operator", Code.PERMISSION)):
            with pytest.raises(LucidError) as looking:
                await caller.buckets(role)
            with pytest.raises(LucidError) as resetting:
                await caller.reset("10.0.0.1", role)
            assert (looking.value.code, resetting.value.code) == (code, code)


class TestReset:
    async def test_lets_the_caller_in_again(self, caller: Caller) -> None:
        address = stranger()
        await caller.check("public", address, cost=PUBLIC_BURST)
        assert not (await caller.check("public", address)).admitted
        await caller.reset(address)
        await asyncio.sleep(0.15)
        assert (await caller.check("public", address, cost=PUBLIC_BURST)).admitted

    async def test_of_a_bucket_that_is_not_there_is_no_error(self, caller: Caller) -> None:
        await caller.reset(stranger())


class TestWithoutRedis:
    async def test_checks_count_here_alone_and_inspection_is_5008(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nowhere = servers.redis_url(servers.free_port())
        async with running(deployment, nowhere, monkeypatch) as caller:
            address = stranger()
            assert (await caller.check("public", address, cost=PUBLIC_BURST)).admitted
            assert not (await caller.check("public", address)).admitted
            with pytest.raises(LucidError) as refused:
                await caller.buckets(key=address)
            assert refused.value.code is Code.UNAVAILABLE

    @pytest.mark.usefixtures("deployment")
    async def test_a_missing_address_stops_the_start(self) -> None:
        with pytest.raises(SettingsError, match="REDIS_URL: is missing"):
            await rate_limiter.create()
