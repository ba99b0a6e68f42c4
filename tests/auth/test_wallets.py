"""Logging in with a TRON wallet."""

import asyncio
from typing import Any

import pytest
from pymongo import MongoClient

from lucid.contracts import auth_service as contract
from lucid.kit.errors import Code, LucidError
from tests.auth.desk import Desk, Wallet
from tests.auth.live import PASSWORD
from tests.auth.test_second_factor import enrolled


async def challenge(desk: Desk, wallet: Wallet, purpose: Any = "login") -> contract.Challenge:
    body = contract.ChallengeRequest(address=wallet.address, purpose=purpose)
    return await desk.ask(contract.CHALLENGE, body)


async def link(desk: Desk, wallet: Wallet, token: str) -> contract.User:
    asked = await challenge(desk, wallet, "link")
    body = contract.LinkWallet(
        password=PASSWORD, address=wallet.address, nonce=asked.nonce, signature=wallet.sign(asked.message)
    )
    return await desk.ask(contract.LINK_WALLET, body, token=token)


async def signed(desk: Desk, wallet: Wallet, **more: str) -> contract.WalletLogin:
    asked = await challenge(desk, wallet)
    fields = {
        "address": wallet.address, "nonce": asked.nonce, "signature": wallet.sign(asked.message), **more,
    }  # fmt: skip
    return contract.WalletLogin(**fields)


class TestAChallenge:
    async def test_says_who_asks_for_what_and_for_how_long(self, desk: Desk) -> None:
        wallet = Wallet()
        asked = await challenge(desk, wallet)
        assert asked.message == (
            "Lucid asks you to log in.\n\nThis signature moves no funds.\n\n"
            f"Address: {wallet.address}\nNonce: {asked.nonce}\nExpires: {asked.expires}"
        )
        assert (await challenge(desk, wallet)).nonce != asked.nonce

    async def test_is_for_addresses_of_tron_only(self, desk: Desk) -> None:
        for text in ("", "T", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Wallet().address[:-1] + "1"):
            body = contract.ChallengeRequest(address=text)
            assert await desk.code(contract.CHALLENGE, body) is Code.FORMAT


class TestAWallet:
    async def test_logs_in_once_it_is_linked_and_once_for_each_challenge(self, desk: Desk) -> None:
        user, tokens = await desk.joined()
        wallet = Wallet()
        assert (await link(desk, wallet, tokens.access_token)).wallet == wallet.address
        login = await signed(desk, wallet)
        results = await asyncio.gather(
            *(desk.ask(contract.WALLET_LOGIN, login) for _ in range(4)), return_exceptions=True
        )
        (given,) = [r for r in results if isinstance(r, contract.Tokens)]
        assert {r.code for r in results if isinstance(r, LucidError)} == {Code.WALLET_SIGNATURE}
        assert (await desk.ask(contract.STATUS, token=given.access_token)).user == user.id

    async def test_that_belongs_to_no_account_hears_what_a_wrong_signature_hears(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        await link(desk, Wallet(), tokens.access_token)
        stranger = Wallet(b"\x08" * 32)
        unlinked = await desk.refused(contract.WALLET_LOGIN, await signed(desk, stranger))
        forged = await signed(desk, Wallet(), signature=stranger.sign("anything"))
        wrong = await desk.refused(contract.WALLET_LOGIN, forged)
        assert (unlinked.code, unlinked.message) == (wrong.code, wrong.message)
        assert wrong.code is Code.WALLET_SIGNATURE

    async def test_is_refused_with_what_was_signed_for_something_else(
        self, desk: Desk, mongodb_url: str
    ) -> None:
        _, tokens = await desk.joined()
        wallet, other = Wallet(), Wallet(b"\x08" * 32)
        await link(desk, wallet, tokens.access_token)
        to_link = await challenge(desk, wallet, "link")
        foreign = await challenge(desk, other)
        late = await signed(desk, wallet)
        with MongoClient[dict[str, Any]](mongodb_url) as client:
            client["lucid"]["tickets"].delete_many({"kind": "wallet-login", "subject": wallet.address})
        for nonce, message in (
            (to_link.nonce, to_link.message),
            (foreign.nonce, foreign.message),
            ("x" * 43, foreign.message),
        ):
            body = contract.WalletLogin(address=wallet.address, nonce=nonce, signature=wallet.sign(message))
            assert await desk.code(contract.WALLET_LOGIN, body) is Code.WALLET_SIGNATURE
        assert await desk.code(contract.WALLET_LOGIN, late) is Code.WALLET_SIGNATURE

    async def test_does_not_stand_for_the_second_factor(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        wallet = Wallet()
        await link(desk, wallet, tokens.access_token)
        phone, _ = await enrolled(desk, tokens.access_token)
        login = await signed(desk, wallet)
        assert await desk.code(contract.WALLET_LOGIN, login) is Code.SECOND_FACTOR
        again = contract.WalletLogin(
            address=login.address, nonce=login.nonce, signature=login.signature, totp=phone.code()
        )
        await desk.ask(contract.WALLET_LOGIN, again)

    async def test_opens_nothing_once_it_is_unlinked(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        wallet = Wallet()
        await link(desk, wallet, tokens.access_token)
        await desk.ask(contract.UNLINK_WALLET, token=tokens.access_token)
        assert (await desk.ask(contract.ME, token=tokens.access_token)).wallet is None
        assert await desk.code(contract.WALLET_LOGIN, await signed(desk, wallet)) is Code.WALLET_SIGNATURE

    async def test_tried_with_wrong_signatures_locks_nobody_but_who_tries(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        wallet = Wallet()
        await link(desk, wallet, tokens.access_token)
        desk.client = "203.0.113.9"
        forged = await signed(desk, wallet, signature=Wallet(b"\x08" * 32).sign("anything"))
        codes = [await desk.code(contract.WALLET_LOGIN, forged) for _ in range(6)]
        assert codes == [Code.WALLET_SIGNATURE] * 5 + [Code.ACCOUNT_LOCKED]
        desk.client = "203.0.113.10"
        await desk.ask(contract.WALLET_LOGIN, await signed(desk, wallet))


class TestLinking:
    async def test_needs_the_password_and_a_signature_for_linking(self, desk: Desk) -> None:
        _, tokens = await desk.joined()
        wallet = Wallet()
        for purpose, password, code in (
            ("login", PASSWORD, Code.WALLET_SIGNATURE),
            ("link", "seven wet horses 8", Code.AUTHENTICATION_REQUIRED),
        ):
            asked = await challenge(desk, wallet, purpose)
            body = contract.LinkWallet(
                password=password,
                address=wallet.address,
                nonce=asked.nonce,
                signature=wallet.sign(asked.message),
            )
            assert await desk.code(contract.LINK_WALLET, body, token=tokens.access_token) is code

    async def test_a_wallet_belongs_to_one_account(self, desk: Desk) -> None:
        wallet = Wallet()
        _, hers = await desk.joined()
        _, his = await desk.joined("bert@example.org")
        await link(desk, wallet, hers.access_token)
        with pytest.raises(LucidError) as refusal:
            await link(desk, wallet, his.access_token)
        assert refusal.value.code is Code.EXISTS
