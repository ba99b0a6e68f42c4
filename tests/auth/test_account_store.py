"""Accounts in a real MongoDB."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from lucid.auth.account import Account
from lucid.auth.account_store import Accounts
from lucid.auth.session_store import LoginSessions
from lucid.kit import mongo
from lucid.kit.errors import Code, Conflict, Forbidden, NotFound


def account(email: str, role: str = "user") -> Account:
    created = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    return Account(id=str(uuid.uuid4()), email=email, role=role, password="$argon2id$...", created=created)


@pytest.fixture
async def accounts(mongodb_url: str, database_name: str) -> AsyncIterator[Accounts]:
    client = mongo.connect(mongodb_url)
    logins = LoginSessions(client[database_name])
    store = Accounts(client[database_name], logins)
    await store.prepare()
    await logins.prepare()
    yield store
    await client.close()


class TestKeeping:
    async def test_an_account_is_found_by_id_and_address_as_it_was_stored(self, accounts: Accounts) -> None:
        anna = account("anna@example.org")
        await accounts.add(anna, founder=False)
        assert await accounts.by_id(anna.id) == anna
        assert await accounts.by_email("anna@example.org") == anna

    async def test_nobody_is_found_under_an_unknown_name(self, accounts: Accounts) -> None:
        assert await accounts.by_id(str(uuid.uuid4())) is None
        assert await accounts.by_email("nobody@example.org") is None

    async def test_an_address_is_given_once_however_many_ask_at_once(self, accounts: Accounts) -> None:
        asked = [accounts.add(account("anna@example.org"), founder=False) for _ in range(8)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert results.count(None) == 1
        refusals = [r for r in results if isinstance(r, Conflict)]
        assert [r.code for r in refusals] == [Code.EXISTS] * 7

    def test_the_hash_does_not_show(self) -> None:
        assert "argon2" not in repr(account("anna@example.org"))


class TestFounder:
    async def test_there_is_one_however_many_ask_at_once(self, accounts: Accounts) -> None:
        asked = [accounts.add(account(f"a{i}@example.org", "super_admin"), founder=True) for i in range(8)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert results.count(None) == 1
        assert all("bootstrap token" in str(r) for r in results if r is not None)

    async def test_others_are_not_hindered_by_the_founder(self, accounts: Accounts) -> None:
        await accounts.add(account("root@example.org", "super_admin"), founder=True)
        await accounts.add(account("anna@example.org"), founder=False)
        await accounts.add(account("bert@example.org"), founder=False)


class TestRoles:
    async def test_a_super_admin_gives_a_role(self, accounts: Accounts) -> None:
        root, anna = account("root@example.org", "super_admin"), account("anna@example.org")
        await accounts.add(root, founder=True)
        await accounts.add(anna, founder=False)
        assert (await accounts.change_role(anna.id, "admin", by=root.id)).role == "admin"
        kept = await accounts.by_id(anna.id)
        assert kept is not None
        assert kept.role == "admin"

    async def test_an_unknown_account_is_4001(self, accounts: Accounts) -> None:
        root = account("root@example.org", "super_admin")
        await accounts.add(root, founder=True)
        with pytest.raises(NotFound):
            await accounts.change_role(str(uuid.uuid4()), "admin", by=root.id)

    async def test_nobody_changes_a_role_of_their_own(self, accounts: Accounts) -> None:
        root = account("root@example.org", "super_admin")
        await accounts.add(root, founder=True)
        with pytest.raises(Forbidden, match="their own"):
            await accounts.change_role(root.id, "user", by=root.id)

    async def test_a_former_super_admin_gives_no_roles_whatever_the_token_says(
        self, accounts: Accounts
    ) -> None:
        former, anna = account("former@example.org", "admin"), account("anna@example.org")
        await accounts.add(former, founder=False)
        await accounts.add(anna, founder=False)
        with pytest.raises(Forbidden, match="no longer"):
            await accounts.change_role(anna.id, "super_admin", by=former.id)

    async def test_of_two_who_demote_each_other_at_once_one_is_left(self, accounts: Accounts) -> None:
        for turn in range(5):
            pair = [account(f"{side}{turn}@example.org", "super_admin") for side in "ab"]
            for each in pair:
                await accounts.add(each, founder=False)
            (a, b) = (each.id for each in pair)
            await asyncio.gather(
                accounts.change_role(b, "user", by=a),
                accounts.change_role(a, "user", by=b),
                return_exceptions=True,
            )
            kept = [await accounts.by_id(each) for each in (a, b)]
            assert sorted(k.role for k in kept if k) == ["super_admin", "user"]
