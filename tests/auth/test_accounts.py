"""Accounts: who sees and changes them, and that a change takes effect at once."""

import asyncio

from lucid.contracts import auth_service as contract
from lucid.contracts.account_audit import AuditEvent, AuditQuery
from lucid.kit.errors import Code, LucidError
from tests.auth.desk import MAIL, ROOT, Desk
from tests.auth.live import PASSWORD

NEW_PASSWORD = "eight dry camels 8"


async def admin(desk: Desk, root: contract.Tokens, email: str = "admin@example.org") -> contract.Tokens:
    """An admin, made by a super_admin."""
    user = await desk.register(email)
    path = contract.UserPath(user=user.id)
    await desk.ask(
        contract.CHANGE_ROLE, contract.ChangeRole(role="admin"), params=path, token=root.access_token
    )
    return await desk.login(email)


async def suspend(desk: Desk, user: contract.User, token: str, suspended: bool = True) -> contract.User:
    path = contract.UserPath(user=user.id)
    return await desk.ask(contract.SUSPEND, contract.Suspend(suspended), params=path, token=token)


class TestSeeing:
    async def test_is_for_oneself_and_for_admins(self, desk: Desk) -> None:
        anna, hers = await desk.joined()
        bert, his = await desk.joined("bert@example.org")
        root = await desk.founder()
        path = contract.UserPath(user=anna.id)
        for token in (hers.access_token, root.access_token):
            assert await desk.ask(contract.USER, params=path, token=token) == anna
        assert await desk.code(contract.USER, params=path, token=his.access_token) is Code.PERMISSION
        unknown = contract.UserPath(user=bert.id[:-1] + ("0" if bert.id[-1] != "0" else "1"))
        assert await desk.code(contract.USER, params=unknown, token=root.access_token) is Code.NOT_FOUND


class TestChangingMyself:
    async def test_a_new_password_ends_all_other_logins(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        other = await desk.login()
        update = contract.UpdateMe(password=PASSWORD, new_password=NEW_PASSWORD)
        await desk.ask(contract.UPDATE_ME, update, token=tokens.access_token)
        assert await desk.holds(tokens.access_token)
        assert not await desk.holds(other.access_token)
        refresh = contract.Refresh(refresh_token=other.refresh_token)
        assert await desk.code(contract.REFRESH, refresh) is Code.LOGIN_ENDED
        old = contract.Login(email=MAIL, password=PASSWORD)
        assert await desk.code(contract.LOGIN, old) is Code.AUTHENTICATION_REQUIRED
        await desk.login(password=NEW_PASSWORD)

    async def test_a_new_address_is_the_one_to_log_in_with(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        update = contract.UpdateMe(password=PASSWORD, email="Anna@Example.com")
        changed = await desk.ask(contract.UPDATE_ME, update, token=tokens.access_token)
        assert changed.email == "anna@example.com"
        await desk.login("anna@example.com")
        old = contract.Login(email=MAIL, password=PASSWORD)
        assert await desk.code(contract.LOGIN, old) is Code.AUTHENTICATION_REQUIRED

    async def test_is_refused_with_the_code_that_says_why(self, desk: Desk) -> None:
        await desk.register("bert@example.org")
        _, tokens = await desk.joined()
        for fields, code in (
            ({"password": "seven wet horses 8", "email": "a@example.org"}, Code.AUTHENTICATION_REQUIRED),
            ({"password": PASSWORD, "email": "bert@example.org"}, Code.EXISTS),
            ({"password": PASSWORD, "email": "no address"}, Code.MAIL_ADDRESS),
            ({"password": PASSWORD, "new_password": "short"}, Code.WEAK_PASSWORD),
        ):
            update = contract.UpdateMe(**fields)
            assert await desk.code(contract.UPDATE_ME, update, token=tokens.access_token) is code, fields

    async def test_with_a_stolen_token_gives_five_tries_at_the_password(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        wrong = contract.UpdateMe(password="seven wet horses 8", new_password=NEW_PASSWORD)
        codes = [await desk.code(contract.UPDATE_ME, wrong, token=tokens.access_token) for _ in range(6)]
        assert codes == [Code.AUTHENTICATION_REQUIRED] * 5 + [Code.ACCOUNT_LOCKED]

    async def test_twice_at_once_changes_the_password_once(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        results = await asyncio.gather(
            *(
                desk.ask(
                    contract.UPDATE_ME,
                    contract.UpdateMe(password=PASSWORD, new_password=f"{NEW_PASSWORD}{i}"),
                    token=tokens.access_token,
                )
                for i in range(3)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(r, contract.User) for r in results) == 1
        refusals = {r.code for r in results if isinstance(r, LucidError)}
        assert refusals <= {Code.CONFLICT, Code.AUTHENTICATION_REQUIRED}


class TestANewRole:
    async def test_ends_the_logins_with_the_old_one(self, desk: Desk) -> None:
        root = await desk.founder()
        hers = await admin(desk, root)
        user = (await desk.ask(contract.STATUS, token=hers.access_token)).user
        path, role = contract.UserPath(user=user), contract.ChangeRole(role="user")
        await desk.ask(contract.CHANGE_ROLE, role, params=path, token=root.access_token)
        assert not await desk.holds(hers.access_token)
        refresh = contract.Refresh(refresh_token=hers.refresh_token)
        assert await desk.code(contract.REFRESH, refresh) is Code.LOGIN_ENDED
        again = await desk.login("admin@example.org")
        assert (await desk.ask(contract.STATUS, token=again.access_token)).role == "user"

    async def test_while_its_owner_logs_in_leaves_no_login_with_the_old_one(self, desk: Desk) -> None:
        root = await desk.founder()
        user = await desk.register()
        for role in ("admin", "user", "node_operator"):
            body = contract.ChangeRole(role=role)
            path = contract.UserPath(user=user.id)
            change = desk.ask(contract.CHANGE_ROLE, body, params=path, token=root.access_token)
            logins = (desk.login() for _ in range(3))
            changed, *results = await asyncio.gather(change, *logins, return_exceptions=True)
            assert isinstance(changed, contract.User)
            for tokens in results:
                if isinstance(tokens, contract.Tokens) and await desk.holds(tokens.access_token):
                    assert (await desk.ask(contract.STATUS, token=tokens.access_token)).role == role


class TestSuspending:
    async def test_keeps_an_account_out_at_once_until_it_is_let_in_again(self, desk: Desk) -> None:
        root = await desk.founder()
        anna, tokens = await desk.joined()
        assert (await suspend(desk, anna, root.access_token)).suspended
        assert not await desk.holds(tokens.access_token)
        login = contract.Login(email=MAIL, password=PASSWORD)
        assert await desk.code(contract.LOGIN, login) is Code.PERMISSION
        await suspend(desk, anna, root.access_token, False)
        await desk.login()

    async def test_does_not_show_to_who_lacks_the_password(self, desk: Desk) -> None:
        root = await desk.founder()
        anna = await desk.register()
        await suspend(desk, anna, root.access_token)
        wrong = contract.Login(email=MAIL, password="seven wet horses 8")
        assert await desk.code(contract.LOGIN, wrong) is Code.AUTHENTICATION_REQUIRED

    async def test_is_done_by_admins_to_those_below_them(self, desk: Desk) -> None:
        root = await desk.founder()
        first, second = await admin(desk, root), await admin(desk, root, "other@example.org")
        anna, hers = await desk.joined()
        await suspend(desk, anna, first.access_token)
        for victim in (second, root):
            status = await desk.ask(contract.STATUS, token=victim.access_token)
            path = contract.UserPath(user=status.user)
            body = contract.Suspend(suspended=True)
            assert await desk.code(contract.SUSPEND, body, params=path, token=first.access_token) is (
                Code.PERMISSION
            )
            assert await desk.holds(victim.access_token)
        assert not await desk.holds(hers.access_token)

    async def test_is_not_done_to_oneself(self, desk: Desk) -> None:
        root = await desk.founder()
        me = await desk.ask(contract.ME, token=root.access_token)
        path, body = contract.UserPath(user=me.id), contract.Suspend(suspended=True)
        assert await desk.code(contract.SUSPEND, body, params=path, token=root.access_token) is (
            Code.PERMISSION
        )


class TestTheAudit:
    async def test_says_who_did_what_from_where_and_how_it_ended(self, desk: Desk) -> None:
        root = await desk.founder()
        desk.client = "203.0.113.9"
        anna, _ = await desk.joined()
        await desk.code(contract.LOGIN, contract.Login(email=MAIL, password="seven wet horses 8"))
        await suspend(desk, anna, root.access_token)
        query = AuditQuery(user=anna.id)
        page = await desk.ask(contract.AUDIT, params=query, token=root.access_token)
        assert [(e.event, e.outcome) for e in page.events] == [
            ("suspended", "done"), ("login", "refused"), ("login", "done"), ("account", "done"),
        ]  # fmt: skip
        assert {e.client for e in page.events} == {"203.0.113.9"}
        founder = (await desk.ask(contract.ME, token=root.access_token)).id
        assert [e.by for e in page.events] == [founder, None, None, None]

    async def test_comes_in_pages_without_a_gap(self, desk: Desk) -> None:
        root = await desk.founder()
        for i in range(4):
            await desk.register(f"a{i}@example.org")
        whole = await desk.ask(contract.AUDIT, params=AuditQuery(), token=root.access_token)
        seen: list[AuditEvent] = []
        while True:
            before = seen[-1].id if seen else None
            query = AuditQuery(limit=4, before=before)
            page = await desk.ask(contract.AUDIT, params=query, token=root.access_token)
            if not page.events:
                break
            seen += page.events
        assert tuple(seen) == whole.events
        assert len(seen) == 6

    async def test_is_for_admins_and_holds_no_secret(self, desk: Desk) -> None:
        root = await desk.founder()
        _, tokens = await desk.joined()
        typed_into_the_wrong_field = PASSWORD
        await desk.code(contract.LOGIN, contract.Login(email=typed_into_the_wrong_field, password="?"))
        query = AuditQuery(limit=100)
        refused = await desk.code(contract.AUDIT, params=query, token=tokens.access_token)
        assert refused is Code.PERMISSION
        page = await desk.ask(contract.AUDIT, params=query, token=root.access_token)
        text = repr(page)
        for secret in (PASSWORD, tokens.refresh_token, tokens.access_token, ROOT):
            assert secret not in text
