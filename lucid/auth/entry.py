"""What every way to log in has in common: attempts are counted, proofs checked, and then there are tokens."""

import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Counter

from lucid.auth import lockout, opaque, passwords, totp
from lucid.auth.account import Account
from lucid.auth.parts import ACCOUNTS, HASHING, LOCKOUTS, LOGINS, NOBODY, SEEDS, SIGNER, client_of, record
from lucid.auth.session_store import REFRESH_SECONDS, Going
from lucid.contracts import auth_service as contract
from lucid.kit.app import Call
from lucid.kit.errors import Code, Forbidden, Unauthenticated

attempts_total = Counter("lucid_auth_attempts_total", "Logins tried, by any method.", ["outcome"])


class CodeWanted(Unauthenticated):
    """Everything was right so far, and the second factor was not given: no failure to be counted."""

    default = Code.SECOND_FACTOR


@asynccontextmanager
async def attempt(call: Call, account: str | None = None) -> AsyncIterator[None]:
    """Within it, one attempt by the caller's client, at the account of this name, be there one or not.

    Without a name only the client's failures count: so for secrets that nobody guesses, with which strangers
    could otherwise lock an account. It has failed where Unauthenticated is raised within. Raises
    Unauthenticated 2005 with `retry_after` in seconds, before anything is tried, where none is left.
    """
    store, client = call.app[LOCKOUTS], client_of(call)
    mine = [lockout.account_key(account)] if account is not None else []
    keys = [*mine, *([lockout.client_key(client)] if client else [])]
    begun: list[str] = []
    for key in keys:
        if seconds := await store.begin(key):
            for other in begun:
                await store.release(other)
            attempts_total.labels("locked").inc()
            raise Unauthenticated(
                f"too many failures; try again in {seconds} s", code=Code.ACCOUNT_LOCKED, retry_after=seconds
            )
        begun.append(key)
    try:
        yield
    except CodeWanted:
        await _release(call, keys)
        raise
    except Unauthenticated:
        attempts_total.labels("refused").inc()
        for key in keys:
            if await store.fail(key):
                await record(call, "lockout", None, of=key.partition(":")[0])
        raise
    except BaseException:
        await _release(call, keys)
        raise
    for key in mine:
        await store.clear(key)
    await _release(call, keys[len(mine) :])


async def enter(call: Call, account: Account, method: str) -> contract.Tokens:
    """The tokens of a new login of an account that has proved itself. Raises Forbidden if it is suspended."""
    if account.suspended:
        await record(call, "login", account.id, "refused", method=method, reason="suspended")
        raise Forbidden("this account is suspended; ask an admin")
    going = await call.app[LOGINS].begin(account, method, client_of(call))
    attempts_total.labels("accepted").inc()
    await record(call, "login", account.id, method=method, session=going.session.id)
    return tokens(call, going)


def tokens(call: Call, going: Going) -> contract.Tokens:
    """What a login that begins or goes on is given."""
    account, session, signer = going.account, going.session, call.app[SIGNER]
    return contract.Tokens(
        access_token=signer.mint(account.id, account.role, int(time.time()), session.id),
        expires_in=signer.life,
        refresh_token=going.refresh_token,
        refresh_expires_in=REFRESH_SECONDS,
        session=session.id,
    )


async def is_password(call: Call, account: Account | None, password: str) -> bool:
    """Whether it is the account's. Takes as long if there is no account."""
    kept = account.password if account else call.app[NOBODY]
    right = await call.app[HASHING].run(passwords.matches, password, kept)
    return right and account is not None


async def second_step(call: Call, account: Account, given: contract.SecondFactor) -> None:
    """`second_factor` as an attempt of its own, after a proof that was none. Raises 2005, 2007."""
    if account.mfa.seed is not None:
        async with attempt(call, account.email):
            await second_factor(call, account, given)


async def confirm_password(call: Call, account: Account, password: str) -> None:
    """Counts as an attempt: whoever holds a stolen token must not try passwords with it. Raises 2001."""
    async with attempt(call, account.email):
        if not await is_password(call, account, password):
            raise Unauthenticated("password: not the one of this account")


async def second_factor(call: Call, account: Account, given: contract.SecondFactor) -> None:
    """Takes a code where the account has a second factor; to be called within an `attempt`.

    Raises Unauthenticated 2007 if none is given (not counted as a failure) or it is wrong or was used before.
    """
    sealed = account.mfa.seed
    if sealed is None:
        return
    if given.totp is not None:
        seed = call.app[SEEDS].open(account.id, sealed)
        step = totp.matching_step(seed, given.totp, time.time())
        if step is not None and await call.app[ACCOUNTS].use_step(account.id, sealed, step):
            return
    elif given.recovery_code is not None:
        digest = opaque.recovery_digest(given.recovery_code)
        if await call.app[ACCOUNTS].use_recovery(account.id, digest):
            await record(call, "recovery_code", account.id)
            return
    else:
        raise CodeWanted("this account has a second factor: send totp or recovery_code as well")
    await record(call, "second_factor", account.id, "refused")
    raise Unauthenticated(
        "the code is wrong, or was used before; wait for the next one", code=Code.SECOND_FACTOR
    )


async def _release(call: Call, keys: list[str]) -> None:
    for key in keys:
        await call.app[LOCKOUTS].release(key)


def equal(offered: str, expected: str) -> bool:
    """Whether two secrets are the same, in constant time."""
    return hmac.compare_digest(offered.encode(), expected.encode())
