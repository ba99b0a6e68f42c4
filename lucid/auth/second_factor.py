"""Second factors: a seed for the authenticator, ten codes for the day it is lost, and admins for worse."""

import time

from lucid.auth import opaque, totp
from lucid.auth.entry import attempt, is_password, second_factor
from lucid.auth.parts import ACCOUNTS, SEEDS, SITE, own, record, shown
from lucid.contracts import auth_service as contract
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Code, Conflict, Unauthenticated
from lucid.kit.revocations import REVOCATIONS
from lucid.kit.routes import Nothing

handlers = Handlers()


@handlers.on(contract.ENROL)
async def enrol(call: Call, _: Nothing, body: contract.Enrol) -> contract.Enrolment:
    """Offers a seed. One that counts already stays until a code of the new one is confirmed."""
    account = await own(call)
    async with attempt(call, account.email):
        if not await is_password(call, account, body.password):
            raise Unauthenticated("password: not the one of this account")
        await second_factor(call, account, body)
    seed = totp.new_seed()
    await call.app[ACCOUNTS].offer_seed(account.id, call.app[SEEDS].seal(account.id, seed))
    uri = totp.uri(seed, account.email, call.app[SITE])
    return contract.Enrolment(secret=totp.written(seed), uri=uri)


@handlers.on(contract.CONFIRM)
async def confirm(call: Call, _: Nothing, body: contract.Confirm) -> contract.RecoveryCodes:
    """From here on the seed counts. The codes of an earlier one are void."""
    account = await own(call)
    sealed = account.mfa.pending
    if sealed is None:
        raise Conflict("there is no seed to confirm; ask for one with POST /auth/mfa/enrol")
    async with attempt(call, account.email):
        step = totp.matching_step(call.app[SEEDS].open(account.id, sealed), body.totp, time.time())
        if step is None:
            raise Unauthenticated(
                "the code is not one of the new seed's; is the authenticator's clock right?",
                code=Code.SECOND_FACTOR,
            )
    codes = opaque.new_recovery_codes()
    digests = [opaque.recovery_digest(code) for code in codes]
    if not await call.app[ACCOUNTS].activate_seed(account.id, sealed, step, digests):
        raise Conflict("another seed was asked for meanwhile; confirm that one")
    await record(call, "second_factor", account.id)
    return contract.RecoveryCodes(recovery_codes=codes)


@handlers.on(contract.REMOVE_FACTOR)
async def remove(call: Call, path: contract.UserPath, _: Nothing) -> contract.User:
    """Takes effect at once: the account's logins end, and the next one asks for nothing but its password."""
    account = await call.app[ACCOUNTS].remove_second_factor(path.user, by=call.user.sub)
    await record(call, "second_factor_removed", account.id)
    await call.app[REVOCATIONS].refresh()
    return shown(account)
