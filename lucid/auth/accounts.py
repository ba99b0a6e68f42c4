"""Accounts: made, shown, changed, given roles, suspended; and what happened to them."""

import uuid

from lucid.auth import clock, mail, passwords
from lucid.auth.account import Account
from lucid.auth.entry import confirm_password, equal
from lucid.auth.parts import ACCOUNTS, AUDIT, BOOTSTRAP, HASHING, TICKETS, own, record, shown
from lucid.contracts import auth_service as contract
from lucid.contracts.account_audit import AuditEvent, AuditPage, AuditQuery
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Forbidden, NotFound
from lucid.kit.mongo import Document
from lucid.kit.revocations import REVOCATIONS
from lucid.kit.routes import Access, Nothing

LINK = "link"
"""Kind of the tickets that stand for login links."""

handlers = Handlers()


@handlers.on(contract.REGISTER)
async def register(call: Call, _: Nothing, body: contract.Register) -> contract.User:
    """Makes an account; with the bootstrap token the first super_admin."""
    email = mail.normalise(body.email)
    passwords.check(body.password, email)
    founder = body.bootstrap_token is not None
    if body.bootstrap_token is not None and not equal(body.bootstrap_token, call.app[BOOTSTRAP].text()):
        raise Forbidden("bootstrap_token: not the one this deployment was given")
    account = Account(
        id=str(uuid.uuid4()),
        email=email,
        role=(Access.SUPER_ADMIN if founder else Access.USER).role,
        password=await call.app[HASHING].run(passwords.make_hash, body.password),
        created=clock.now(),
    )
    await call.app[ACCOUNTS].add(account, founder=founder)
    await record(call, "account", account.id, role=account.role)
    return shown(account)


@handlers.on(contract.ME)
async def me(call: Call, _: Nothing, __: Nothing) -> contract.User:
    """The caller's account."""
    return shown(await own(call))


@handlers.on(contract.USER)
async def user(call: Call, path: contract.UserPath, _: Nothing) -> contract.User:
    """The caller's account, or for admins any."""
    if path.user != call.user.sub and call.user.access < Access.ADMIN:
        raise Forbidden("only admins see the accounts of others")
    account = await call.app[ACCOUNTS].by_id(path.user)
    if account is None:
        raise NotFound("there is no such account")
    return shown(account)


@handlers.on(contract.UPDATE_ME)
async def update_me(call: Call, _: Nothing, body: contract.UpdateMe) -> contract.User:
    """Needs the password as it is. All other logins end, and so do login links that are on their way."""
    account = await own(call)
    changes: Document = {}
    if body.email is not None:
        changes["email"] = mail.normalise(body.email)
    if body.new_password is not None:
        passwords.check(body.new_password, str(changes.get("email", account.email)))
    await confirm_password(call, account, body.password)
    if body.new_password is not None:
        changes["password"] = await call.app[HASHING].run(passwords.make_hash, body.new_password)
    if changes:
        account = await call.app[ACCOUNTS].update(account, changes, keep=call.user.sid)
        await call.app[TICKETS].discard(LINK, account.id)
        await record(call, "account_changed", account.id, changed=", ".join(sorted(changes)))
        await call.app[REVOCATIONS].refresh()
    return shown(account)


@handlers.on(contract.CHANGE_ROLE)
async def change_role(call: Call, path: contract.UserPath, body: contract.ChangeRole) -> contract.User:
    """Takes effect at once: the account's logins end, and the next one has the new role."""
    account = await call.app[ACCOUNTS].change_role(path.user, body.role, by=call.user.sub)
    await record(call, "role", account.id, role=account.role)
    await call.app[REVOCATIONS].refresh()
    return shown(account)


@handlers.on(contract.SUSPEND)
async def suspend(call: Call, path: contract.UserPath, body: contract.Suspend) -> contract.User:
    """Takes effect at once: the account's logins end, and there is no other before it is let in again."""
    account = await call.app[ACCOUNTS].suspend(path.user, body.suspended, by=call.user.sub)
    await record(call, "suspended" if body.suspended else "restored", account.id)
    await call.app[REVOCATIONS].refresh()
    return shown(account)


@handlers.on(contract.AUDIT)
async def audit(call: Call, query: AuditQuery, _: Nothing) -> AuditPage:
    """The newest first; the next page is asked for with the id of the last event of this one."""
    found = await call.app[AUDIT].page(query.user, query.before, query.limit)
    return AuditPage(
        events=tuple(AuditEvent(**(event._asdict() | {"at": clock.rfc3339(event.at)})) for event in found)
    )
