"""Logins from their beginning to their end: tokens, refreshing, logging out, and what admins may do."""

import asyncio
import time
from pathlib import Path

import pytest

from lucid.auth import service
from lucid.contracts import auth_service as contract
from lucid.kit.errors import Code, Unauthenticated
from lucid.kit.revocations import RevocationsQuery
from tests.auth.desk import MAIL, Desk
from tests.auth.live import PASSWORD, Deployment


def refreshing(token: str) -> contract.Refresh:
    return contract.Refresh(refresh_token=token)


class TestRefreshing:
    async def test_gives_new_tokens_of_the_same_login(self, desk: Desk) -> None:
        user, first = await desk.joined()
        second = await desk.ask(contract.REFRESH, refreshing(first.refresh_token))
        assert second.session == first.session
        assert second.refresh_token != first.refresh_token
        assert (await desk.ask(contract.STATUS, token=second.access_token)).user == user.id
        assert (first.expires_in, first.refresh_expires_in) == (900, 7 * 24 * 3600)

    async def test_with_a_used_token_ends_the_login_and_all_that_came_of_it(self, desk: Desk) -> None:
        _, first = await desk.joined()
        second = await desk.ask(contract.REFRESH, refreshing(first.refresh_token))
        assert await desk.code(contract.REFRESH, refreshing(first.refresh_token)) is Code.REFRESH_INVALID
        assert not await desk.holds(first.access_token)
        assert not await desk.holds(second.access_token)
        assert await desk.code(contract.REFRESH, refreshing(second.refresh_token)) is Code.LOGIN_ENDED

    async def test_leaves_other_logins_of_the_user_alone(self, desk: Desk) -> None:
        _, first = await desk.joined()
        other = await desk.login()
        await desk.ask(contract.REFRESH, refreshing(first.refresh_token))
        await desk.refused(contract.REFRESH, refreshing(first.refresh_token))
        assert await desk.holds(other.access_token)

    async def test_many_times_at_once_with_one_token_leaves_no_login(self, desk: Desk) -> None:
        _, first = await desk.joined()
        asked = (desk.ask(contract.REFRESH, refreshing(first.refresh_token)) for _ in range(6))
        results = await asyncio.gather(*asked, return_exceptions=True)
        given = [r for r in results if isinstance(r, contract.Tokens)]
        assert len(given) <= 1
        assert all(r.code is Code.REFRESH_INVALID for r in results if isinstance(r, Unauthenticated))
        assert not await desk.holds(first.access_token)
        for tokens in given:
            assert await desk.code(contract.REFRESH, refreshing(tokens.refresh_token)) is Code.LOGIN_ENDED

    async def test_with_what_was_never_given_is_2010(self, desk: Desk) -> None:
        _, first = await desk.joined()
        for nonsense in ("", "x" * 43, first.access_token[:128], first.session):
            assert await desk.code(contract.REFRESH, refreshing(nonsense)) is Code.REFRESH_INVALID
        assert await desk.holds(first.access_token)

    async def test_carries_the_role_that_the_account_has_now(self, desk: Desk) -> None:
        root = await desk.founder()
        user = await desk.register()
        path = contract.UserPath(user=user.id)
        await desk.ask(
            contract.CHANGE_ROLE, contract.ChangeRole(role="admin"), params=path, token=root.access_token
        )
        tokens = await desk.login()
        again = await desk.ask(contract.REFRESH, refreshing(tokens.refresh_token))
        assert (await desk.ask(contract.STATUS, token=again.access_token)).role == "admin"


class TestLoggingOut:
    async def test_ends_the_login_at_once_and_its_refresh_token_with_it(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        await desk.ask(contract.LOGOUT, token=tokens.access_token)
        assert await desk.code(contract.STATUS, token=tokens.access_token) is Code.LOGIN_ENDED
        assert await desk.code(contract.REFRESH, refreshing(tokens.refresh_token)) is Code.LOGIN_ENDED

    async def test_is_told_to_services_by_number(self, desk: Desk) -> None:
        _, first = await desk.joined()
        second = await desk.login()
        for tokens in (first, second):
            await desk.ask(contract.LOGOUT, token=tokens.access_token)
        page = await desk.ask(contract.REVOCATIONS, params=RevocationsQuery())
        assert [(r.number, r.session) for r in page.revocations] == [(1, first.session), (2, second.session)]
        rest = await desk.ask(contract.REVOCATIONS, params=RevocationsQuery(after=1))
        assert [r.session for r in rest.revocations] == [second.session]
        assert rest.last == 2


class TestVerifying:
    async def test_says_what_a_token_says(self, desk: Desk) -> None:
        user, tokens = await desk.joined()
        said = await desk.ask(contract.VERIFY, contract.Verify(token=tokens.access_token))
        assert (said.user, said.role, said.session) == (user.id, "user", tokens.session)

    async def test_says_why_one_does_not_hold(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        await desk.ask(contract.LOGOUT, token=tokens.access_token)
        ended = contract.Verify(token=tokens.access_token)
        assert await desk.code(contract.VERIFY, ended) is Code.LOGIN_ENDED
        assert await desk.code(contract.VERIFY, contract.Verify(token="a.b.c")) is Code.TOKEN_INVALID
        assert await desk.code(contract.VERIFY, contract.Verify(token="")) is Code.AUTHENTICATION_REQUIRED


class TestActiveLogins:
    async def test_are_listed_with_where_they_came_from(self, desk: Desk) -> None:
        user, first = await desk.joined()
        desk.client = "circuit:7"
        second = await desk.login()
        found = await desk.ask(contract.LOGINS, params=contract.LoginsQuery(), token=second.access_token)
        assert found.total == 2
        shown = {each.id: each for each in found.sessions}
        assert (shown[first.session].client, shown[first.session].current) == ("", False)
        mine = shown[second.session]
        assert (mine.user, mine.client, mine.current, mine.method) == (user.id, "circuit:7", True, "password")

    async def test_come_in_pages(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        for _ in range(2):
            tokens = await desk.login()
        queries = [contract.LoginsQuery(limit=1, offset=offset) for offset in range(3)]
        token = tokens.access_token
        pages = [await desk.ask(contract.LOGINS, params=query, token=token) for query in queries]
        assert len({each.id for page in pages for each in page.sessions}) == 3
        assert {page.total for page in pages} == {3}

    async def test_are_ended_one_by_one_by_their_owner(self, desk: Desk) -> None:
        _, first = await desk.joined()
        second = await desk.login()
        path = contract.LoginPath(session=first.session)
        await desk.ask(contract.END_LOGIN, params=path, token=second.access_token)
        assert not await desk.holds(first.access_token)
        assert await desk.holds(second.access_token)
        assert await desk.code(contract.END_LOGIN, params=path, token=second.access_token) is Code.NOT_FOUND

    async def test_of_others_are_for_admins_only(self, desk: Desk) -> None:
        anna, hers = await desk.joined()
        _, his = await desk.joined("bert@example.org")
        query, path = contract.LoginsQuery(user=anna.id), contract.LoginPath(session=hers.session)
        assert await desk.code(contract.LOGINS, params=query, token=his.access_token) is Code.PERMISSION
        assert await desk.code(contract.END_LOGIN, params=path, token=his.access_token) is Code.NOT_FOUND
        root = await desk.founder()
        found = await desk.ask(contract.LOGINS, params=query, token=root.access_token)
        assert [each.id for each in found.sessions] == [hers.session]
        await desk.ask(contract.END_LOGIN, params=path, token=root.access_token)
        assert not await desk.holds(hers.access_token)

    async def test_show_no_client_that_the_gateway_did_not_name(
        self, desk: Desk, deployment: Deployment
    ) -> None:
        await desk.register()
        other = Desk(deployment.calls("session-api", [contract.SERVICE]), client="10.0.0.1")
        tokens = await other.login()
        await other.calls.close()
        found = await desk.ask(contract.LOGINS, params=contract.LoginsQuery(), token=tokens.access_token)
        assert [each.client for each in found.sessions] == [""]


class TestLockout:
    async def test_comes_after_five_failures_and_says_when_it_ends(self, desk: Desk) -> None:
        await desk.register()
        wrong = contract.Login(email=MAIL, password="seven wet horses 8")
        for _ in range(5):
            assert await desk.code(contract.LOGIN, wrong) is Code.AUTHENTICATION_REQUIRED
        refusal = await desk.refused(contract.LOGIN, contract.Login(email=MAIL.upper(), password=PASSWORD))
        assert refusal.code is Code.ACCOUNT_LOCKED
        assert 890 < refusal.details["retry_after"] <= 900

    async def test_of_an_unknown_account_is_the_same(self, desk: Desk) -> None:
        wrong = contract.Login(email="nobody@example.org", password=PASSWORD)
        codes = [await desk.code(contract.LOGIN, wrong) for _ in range(6)]
        assert codes == [Code.AUTHENTICATION_REQUIRED] * 5 + [Code.ACCOUNT_LOCKED]

    async def test_holds_for_an_address_whichever_accounts_it_tries(self, desk: Desk) -> None:
        await desk.register()
        desk.client = "203.0.113.9"
        for i in range(5):
            await desk.code(contract.LOGIN, contract.Login(email=f"a{i}@example.org", password=PASSWORD))
        right = contract.Login(email=MAIL, password=PASSWORD)
        assert await desk.code(contract.LOGIN, right) is Code.ACCOUNT_LOCKED
        desk.client = "203.0.113.10"
        await desk.login()

    async def test_admits_five_guesses_however_many_come_at_once(self, desk: Desk) -> None:
        await desk.register()
        wrong = contract.Login(email=MAIL, password="seven wet horses 8")
        codes = await asyncio.gather(*(desk.code(contract.LOGIN, wrong) for _ in range(20)))
        assert codes.count(Code.AUTHENTICATION_REQUIRED) == 5
        assert codes.count(Code.ACCOUNT_LOCKED) == 15

    async def test_is_forgotten_once_the_owner_comes_but_not_for_the_address(self, desk: Desk) -> None:
        await desk.register()
        desk.client = "203.0.113.9"
        wrong = contract.Login(email=MAIL, password="seven wet horses 8")
        for _ in range(4):
            await desk.code(contract.LOGIN, wrong)
        await desk.login()
        assert await desk.code(contract.LOGIN, wrong) is Code.AUTHENTICATION_REQUIRED
        # Were they forgotten there, too, a guesser with an account of his own would never be locked.
        assert await desk.code(contract.LOGIN, wrong) is Code.ACCOUNT_LOCKED
        desk.client = "203.0.113.10"
        await desk.login()

    @pytest.mark.usefixtures("quick_hashes")
    async def test_outlives_the_service(self, deployment: Deployment) -> None:
        attempt = contract.Login(email=MAIL, password=PASSWORD)
        codes = []
        for guesses in (5, 1):
            async with deployment.serve(await service.create()):
                calls = deployment.calls("api-gateway", [contract.SERVICE])
                codes += [await Desk(calls).code(contract.LOGIN, attempt) for _ in range(guesses)]
                await calls.close()
        assert codes == [Code.AUTHENTICATION_REQUIRED] * 5 + [Code.ACCOUNT_LOCKED]


async def test_a_login_ended_at_one_service_is_ended_at_another(
    desk: Desk, tmp_path: Path, certificates: Path, mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = Deployment(tmp_path / "other", certificates, mongodb_url)
    other.enter(monkeypatch)
    _, tokens = await desk.joined()
    async with other.serve(await service.create()):
        calls = other.calls("api-gateway", [contract.SERVICE])
        there = Desk(calls)
        assert await there.holds(tokens.access_token)
        await desk.ask(contract.LOGOUT, token=tokens.access_token)
        refresh = contract.Refresh(refresh_token=tokens.refresh_token)
        assert await there.code(contract.REFRESH, refresh) is Code.LOGIN_ENDED
        until = time.monotonic() + 10
        while await there.holds(tokens.access_token):
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        await calls.close()
