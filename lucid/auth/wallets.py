"""TRON wallets: a text to sign, and what its signature opens.

A wallet makes no account. It is linked to one that its owner is logged in to, with that account's password:
so every account has a mail address, and losing a wallet loses nothing but a way in.
"""

from lucid.auth import clock, tron
from lucid.auth.account import Account
from lucid.auth.entry import attempt, confirm_password, enter, second_step
from lucid.auth.parts import ACCOUNTS, SITE, TICKETS, own, record, shown
from lucid.auth.ticket_store import Ticket
from lucid.contracts import auth_service as contract
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Code, Invalid, Unauthenticated
from lucid.kit.routes import Nothing

CHALLENGE_SECONDS = 5 * 60
_WHAT = {"login": "log in", "link": "let this wallet log in to your account"}

handlers = Handlers()


@handlers.on(contract.CHALLENGE)
async def challenge(call: Call, _: Nothing, body: contract.ChallengeRequest) -> contract.Challenge:
    """The same for every address, whether it is linked or not."""
    if not tron.is_address(body.address):
        raise Invalid("address: not a TRON address (base58check, T...)", code=Code.FORMAT, field="address")
    nonce, ticket = await call.app[TICKETS].issue(_kind(body.purpose), body.address, CHALLENGE_SECONDS)
    return contract.Challenge(
        nonce=nonce,
        message=_message(call.app[SITE], body.purpose, nonce, ticket),
        expires=clock.rfc3339(ticket.expires),
    )


@handlers.on(contract.WALLET_LOGIN)
async def wallet_login(call: Call, _: Nothing, body: contract.WalletLogin) -> contract.Tokens:
    """Answers the same whether the signature is wrong or the wallet belongs to no account."""
    async with attempt(call):
        account = await _signer(call, body)
    await second_step(call, account, body)
    if not await call.app[TICKETS].use(_kind("login"), body.nonce):
        raise _refused()
    return await enter(call, account, "wallet")


@handlers.on(contract.LINK_WALLET)
async def link_wallet(call: Call, _: Nothing, body: contract.LinkWallet) -> contract.User:
    """In place of the wallet that was linked before, if there was one."""
    account = await own(call)
    await confirm_password(call, account, body.password)
    if not await _is_signed(call, "link", body) or not await call.app[TICKETS].use(_kind("link"), body.nonce):
        raise _refused()
    account = await call.app[ACCOUNTS].link_wallet(account.id, body.address)
    await record(call, "wallet_linked", account.id, wallet=body.address)
    return shown(account)


@handlers.on(contract.UNLINK_WALLET)
async def unlink_wallet(call: Call, _: Nothing, __: Nothing) -> Nothing:
    """Takes a way in away, which opens nothing: no password is asked for."""
    account = await call.app[ACCOUNTS].link_wallet((await own(call)).id, None)
    await record(call, "wallet_unlinked", account.id)
    return Nothing()


async def _signer(call: Call, body: contract.WalletLogin) -> Account:
    account = await call.app[ACCOUNTS].by_wallet(body.address)
    if not await _is_signed(call, "login", body) or account is None:
        await record(call, "login", account.id if account else None, "refused", method="wallet")
        raise _refused()
    return account


async def _is_signed(call: Call, purpose: str, body: contract.WalletLogin | contract.LinkWallet) -> bool:
    ticket = await call.app[TICKETS].find(_kind(purpose), body.nonce)
    if ticket is None or ticket.subject != body.address:
        return False
    signature = bytes.fromhex(body.signature.removeprefix("0x"))
    return tron.signed_by(body.address, _message(call.app[SITE], purpose, body.nonce, ticket), signature)


def _message(site: str, purpose: str, nonce: str, ticket: Ticket) -> str:
    return (
        f"{site} asks you to {_WHAT[purpose]}.\n\nThis signature moves no funds.\n\n"
        f"Address: {ticket.subject}\nNonce: {nonce}\nExpires: {clock.rfc3339(ticket.expires)}"
    )


def _kind(purpose: str) -> str:
    return f"wallet-{purpose}"


def _refused() -> Unauthenticated:
    return Unauthenticated(
        "the signature is not this wallet's for an open challenge, or the wallet belongs to no account",
        code=Code.WALLET_SIGNATURE,
    )
