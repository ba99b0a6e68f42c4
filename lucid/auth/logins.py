"""Logging in with a password, going on, logging out; and which logins are active."""

from datetime import UTC, datetime

from lucid.auth import clock
from lucid.auth.entry import attempt, attempts_total, enter, is_password, second_factor, tokens
from lucid.auth.parts import ACCOUNTS, LOGINS, SIGNER, record
from lucid.auth.session_store import LoginSession, ReusedError
from lucid.contracts import auth_service as contract
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Forbidden, NotFound, Unauthenticated
from lucid.kit.revocations import REVOCATIONS, RevocationPage, RevocationsQuery
from lucid.kit.routes import Access, Nothing
from lucid.kit.tokens import VERIFIER, Claims, Jwks

handlers = Handlers()


@handlers.on(contract.LOGIN)
async def login(call: Call, _: Nothing, body: contract.Login) -> contract.Tokens:
    """Answers in the same words and the same time whether the account or the password is wrong."""
    email = body.email.lower()
    async with attempt(call, email):
        account = await call.app[ACCOUNTS].by_email(email)
        right = await is_password(call, account, body.password)
        if account is None or not right:
            await record(call, "login", account.id if account else None, "refused", method="password")
            raise Unauthenticated("mail address and password do not belong together")
        await second_factor(call, account, body)
    return await enter(call, account, "password")


@handlers.on(contract.REFRESH)
async def refresh(call: Call, _: Nothing, body: contract.Refresh) -> contract.Tokens:
    """The role is the one that the account has now."""
    try:
        return tokens(call, await call.app[LOGINS].go_on(body.refresh_token))
    except ReusedError as error:
        user, ended = (error.session.user, error.session.id) if error.session else (None, "")
        attempts_total.labels("reused").inc()
        await record(call, "refresh", user, "refused", reason="reused", session=ended)
        await call.app[REVOCATIONS].refresh()
        raise


@handlers.on(contract.LOGOUT)
async def logout(call: Call, _: Nothing, __: Nothing) -> Nothing:
    """Ends the login that the caller's token belongs to."""
    await _end(call, call.user.sid, call.user.sub)
    return Nothing()


@handlers.on(contract.VERIFY)
async def verify(call: Call, _: Nothing, body: contract.Verify) -> contract.Status:
    """What the token says, or why it does not hold."""
    return _status(await call.app[VERIFIER].verify(f"Bearer {body.token}"))


@handlers.on(contract.STATUS)
async def status(call: Call, _: Nothing, __: Nothing) -> contract.Status:
    """What the caller's token says."""
    return _status(call.user)


@handlers.on(contract.LOGINS)
async def logins(call: Call, query: contract.LoginsQuery, _: Nothing) -> contract.Logins:
    """The caller's, or for admins another user's."""
    user = query.user or call.user.sub
    if user != call.user.sub and call.user.access < Access.ADMIN:
        raise Forbidden("only admins see the logins of others")
    found, total = await call.app[LOGINS].of_user(user, query.limit, query.offset)
    return contract.Logins(sessions=tuple(_shown(each, call.user.sid) for each in found), total=total)


@handlers.on(contract.END_LOGIN)
async def end_login(call: Call, path: contract.LoginPath, _: Nothing) -> Nothing:
    """The caller's, or for admins anybody's."""
    owner = None if call.user.access >= Access.ADMIN else call.user.sub
    if not await _end(call, path.session, owner):
        raise NotFound("there is no such login, or it is not yours")
    return Nothing()


@handlers.on(contract.JWKS)
async def jwks(call: Call, _: Nothing, __: Nothing) -> Jwks:
    """The public keys."""
    return call.app[SIGNER].jwks


@handlers.on(contract.REVOCATIONS)
async def revocations(call: Call, query: RevocationsQuery, _: Nothing) -> RevocationPage:
    """Those after a number."""
    return await call.app[LOGINS].revocations.after(query.after)


async def _end(call: Call, session: str, owner: str | None) -> bool:
    ended = await call.app[LOGINS].end(session, owner)
    if ended is not None:
        await record(call, "logout", ended.user, session=session)
        await call.app[REVOCATIONS].refresh()
    return ended is not None


def _status(claims: Claims) -> contract.Status:
    expires = clock.rfc3339(datetime.fromtimestamp(claims.exp, UTC))
    return contract.Status(user=claims.sub, role=claims.role, session=claims.sid, expires=expires)


def _shown(session: LoginSession, current: str) -> contract.LoginSession:
    return contract.LoginSession(
        id=session.id,
        user=session.user,
        method=session.method,
        client=session.client,
        created=clock.rfc3339(session.created),
        seen=clock.rfc3339(session.seen),
        expires=clock.rfc3339(session.expires),
        current=session.id == current,
    )
