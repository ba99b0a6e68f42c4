"""Second factors: enrolled, asked for, used once, replaced, and lost."""

import asyncio
import base64
import time
from typing import Any

import pytest
from pymongo import MongoClient

from lucid.auth import service, totp
from lucid.auth.seeds import Seeds
from lucid.contracts import auth_service as contract
from lucid.contracts.account_audit import AuditQuery
from lucid.kit.errors import Code, LucidError, Unauthenticated
from tests.auth.desk import MAIL, Desk
from tests.auth.live import MFA_SECRET, PASSWORD, Deployment


class Authenticator:
    """What people have on their phones. Its clock is as far ahead as it may be after the first code."""

    def __init__(self, secret: str) -> None:
        self._seed = base64.b32decode(secret + "=" * (-len(secret) % 8))
        self._step = int(time.time()) // totp.STEP_SECONDS - 1

    def code(self) -> str:
        """A code that the service takes now; two can be had, the second being of the next step."""
        self._step += 1
        return totp.code(self._seed, self._step)

    def earlier(self) -> str:
        """The code of the step before the last one given."""
        return totp.code(self._seed, self._step - 1)


async def enrolled(desk: Desk, token: str, **second: str) -> tuple[Authenticator, tuple[str, ...]]:
    """A phone whose codes the account asks for from now on, and the recovery codes."""
    offer = await desk.ask(contract.ENROL, contract.Enrol(password=PASSWORD, **second), token=token)
    phone = Authenticator(offer.secret)
    kept = await desk.ask(contract.CONFIRM, contract.Confirm(totp=phone.code()), token=token)
    return phone, kept.recovery_codes


class TestEnrolling:
    async def test_asks_for_a_code_from_the_first_confirmed_one_on(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        offer = await desk.ask(contract.ENROL, contract.Enrol(password=PASSWORD), token=tokens.access_token)
        assert offer.uri.startswith("otpauth://totp/Lucid:anna%40example.org?")
        await desk.login()  # not confirmed: nothing is asked for yet
        phone = Authenticator(offer.secret)
        confirm = contract.Confirm(totp=phone.code())
        kept = await desk.ask(contract.CONFIRM, confirm, token=tokens.access_token)
        assert len(kept.recovery_codes) == 10
        assert (await desk.ask(contract.ME, token=tokens.access_token)).second_factor
        login = contract.Login(email=MAIL, password=PASSWORD)
        assert await desk.code(contract.LOGIN, login) is Code.SECOND_FACTOR
        await desk.login(totp=phone.code())

    async def test_needs_the_password(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        wrong = contract.Enrol(password="seven wet horses 8")
        refused = await desk.code(contract.ENROL, wrong, token=tokens.access_token)
        assert refused is Code.AUTHENTICATION_REQUIRED

    async def test_with_a_wrong_code_or_without_a_seed_changes_nothing(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        token = tokens.access_token
        assert (
            await desk.code(contract.CONFIRM, contract.Confirm(totp="000000"), token=token) is Code.CONFLICT
        )
        offer = await desk.ask(contract.ENROL, contract.Enrol(password=PASSWORD), token=token)
        wrong = "000000" if Authenticator(offer.secret).code() != "000000" else "000001"
        assert await desk.code(contract.CONFIRM, contract.Confirm(totp=wrong), token=token) is (
            Code.SECOND_FACTOR
        )
        assert not (await desk.ask(contract.ME, token=token)).second_factor

    async def test_anew_needs_the_second_factor_that_there_is(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        token = tokens.access_token
        phone, recovery = await enrolled(desk, token)
        assert await desk.code(contract.ENROL, contract.Enrol(password=PASSWORD), token=token) is (
            Code.SECOND_FACTOR
        )
        newer, _ = await enrolled(desk, token, recovery_code=recovery[0])
        await desk.login(totp=newer.code())
        old = contract.Login(email=MAIL, password=PASSWORD, totp=phone.code())
        assert await desk.code(contract.LOGIN, old) is Code.SECOND_FACTOR

    async def test_keeps_the_seed_sealed(self, desk: Desk, mongodb_url: str) -> None:
        user, tokens = await desk.joined()
        offer = await desk.ask(contract.ENROL, contract.Enrol(password=PASSWORD), token=tokens.access_token)
        with MongoClient[dict[str, Any]](mongodb_url) as client:
            kept = client["lucid"]["users"].find_one({"_id": user.id})
        assert kept is not None
        seed = Seeds(MFA_SECRET).open(user.id, kept["mfa"]["pending"])
        assert totp.written(seed) == offer.secret
        assert seed not in kept["mfa"]["pending"]


class TestCodes:
    async def test_are_taken_once_however_many_bring_them(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        phone, _ = await enrolled(desk, tokens.access_token)
        code = phone.code()
        asked = (desk.login(totp=code) for _ in range(4))
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(r, contract.Tokens) for r in results) == 1
        assert {r.code for r in results if isinstance(r, LucidError)} == {Code.SECOND_FACTOR}

    async def test_of_a_step_before_the_last_one_are_refused(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        phone, _ = await enrolled(desk, tokens.access_token)
        with pytest.raises(Unauthenticated):
            await desk.login(totp=phone.earlier())

    async def test_are_no_use_with_a_wrong_password_and_that_does_not_say_so(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        phone, _ = await enrolled(desk, tokens.access_token)
        wrong = contract.Login(email=MAIL, password="seven wet horses 8", totp=phone.code())
        assert await desk.code(contract.LOGIN, wrong) is Code.AUTHENTICATION_REQUIRED

    async def test_guessed_five_times_lock_the_account_and_forgotten_ones_do_not(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        phone, _ = await enrolled(desk, tokens.access_token)
        forgotten = contract.Login(email=MAIL, password=PASSWORD)
        right = phone.code()
        wrong = contract.Login(email=MAIL, password=PASSWORD, totp=f"{(int(right) + 7) % 10**6:06}")
        codes = [await desk.code(contract.LOGIN, forgotten)]
        codes += [await desk.code(contract.LOGIN, wrong) for _ in range(5)]
        assert codes == [Code.SECOND_FACTOR] * 6
        login = contract.Login(email=MAIL, password=PASSWORD, totp=right)
        assert await desk.code(contract.LOGIN, login) is Code.ACCOUNT_LOCKED


class TestRecoveryCodes:
    async def test_log_in_once_each(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        _, recovery = await enrolled(desk, tokens.access_token)
        await desk.login(recovery_code=recovery[0])
        await desk.login(recovery_code=recovery[1].upper())
        for used in (recovery[0], "aaaa-aaaa-aaaa-aaaa", ""):
            login = contract.Login(email=MAIL, password=PASSWORD, recovery_code=used)
            assert await desk.code(contract.LOGIN, login) is Code.SECOND_FACTOR


class TestLosingIt:
    async def test_an_admin_takes_it_away_and_that_ends_its_logins(self, desk: Desk) -> None:
        root = await desk.founder()
        anna, tokens = await desk.joined()
        _, recovery = await enrolled(desk, tokens.access_token)
        path = contract.UserPath(user=anna.id)
        changed = await desk.ask(contract.REMOVE_FACTOR, params=path, token=root.access_token)
        assert not changed.second_factor
        assert not await desk.holds(tokens.access_token)
        again = await desk.login()
        # What was lost is of no use any more, and another can be set up.
        _, others = await enrolled(desk, again.access_token)
        login = contract.Login(email=MAIL, password=PASSWORD, recovery_code=recovery[0])
        assert await desk.code(contract.LOGIN, login) is Code.SECOND_FACTOR
        await desk.login(recovery_code=others[0])
        events = await desk.ask(contract.AUDIT, params=AuditQuery(user=anna.id), token=root.access_token)
        assert ("second_factor_removed", "done") in {(each.event, each.outcome) for each in events.events}

    async def test_nobody_takes_away_their_own(self, desk: Desk) -> None:
        root = await desk.founder()
        await enrolled(desk, root.access_token)
        me = await desk.ask(contract.ME, token=root.access_token)
        path = contract.UserPath(user=me.id)
        code = await desk.code(contract.REMOVE_FACTOR, params=path, token=root.access_token)
        assert code is Code.PERMISSION
        assert (await desk.ask(contract.ME, token=root.access_token)).second_factor


@pytest.mark.usefixtures("quick_hashes")
async def test_a_new_mfa_secret_seals_everything_anew_and_codes_go_on(
    deployment: Deployment, mongodb_url: str
) -> None:
    async with deployment.serve(await service.create()):
        calls = deployment.calls("api-gateway", [contract.SERVICE])
        user, tokens = await Desk(calls).joined()
        phone, _ = await enrolled(Desk(calls), tokens.access_token)
        await calls.close()
    (deployment.credentials / "mfa_secret").write_text("ab" * 32)
    (deployment.credentials / "mfa_secret_previous").write_text(MFA_SECRET.hex())
    async with deployment.serve(await service.create()):
        calls = deployment.calls("api-gateway", [contract.SERVICE])
        await Desk(calls).login(totp=phone.code())
        await calls.close()
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        kept = client["lucid"]["users"].find_one({"_id": user.id})
    assert kept is not None
    assert Seeds(b"\xab" * 32).open(user.id, kept["mfa"]["seed"])
