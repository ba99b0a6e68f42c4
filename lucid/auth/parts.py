"""What the handlers of auth-service share: its parts by key, and how they see a call and show an account."""

from aiohttp import web

from lucid.auth import clock
from lucid.auth.account import Account
from lucid.auth.account_store import Accounts
from lucid.auth.audit_store import Audit, Outcome
from lucid.auth.hashing import Hashing
from lucid.auth.lockout_store import Lockouts
from lucid.auth.postman import Postman
from lucid.auth.seeds import Seeds
from lucid.auth.session_store import LoginSessions
from lucid.auth.ticket_store import Tickets
from lucid.auth.tokens import Signer
from lucid.contracts import auth_service as contract
from lucid.kit import context
from lucid.kit.app import Call
from lucid.kit.errors import Code, Unauthenticated
from lucid.kit.logs import log
from lucid.kit.settings import Secret

ACCOUNTS = web.AppKey("accounts", Accounts)
LOGINS = web.AppKey("logins", LoginSessions)
LOCKOUTS = web.AppKey("lockouts", Lockouts)
TICKETS = web.AppKey("tickets", Tickets)
AUDIT = web.AppKey("audit", Audit)
HASHING = web.AppKey("hashing", Hashing)
SIGNER = web.AppKey("signer", Signer)
SEEDS = web.AppKey("seeds", Seeds)
POSTMAN = web.AppKey("postman", Postman)
"""There only if mail can be sent."""
BOOTSTRAP = web.AppKey("bootstrap", Secret)
SITE = web.AppKey("site", str)
"""The name by which people know this deployment."""
NOBODY = web.AppKey("nobody", str)
"""Hash that stands in for an unknown account's, so that its login takes as long as any."""

FRONTS = frozenset({"api-gateway", "auth-proxy"})
"""The services that see who is at the other end, and are believed."""
MAX_CLIENT = 64


def client_of(call: Call) -> str:
    """Address or onion circuit of whoever is at the other end; empty if unknown."""
    named = call.request.headers.get(context.CLIENT_HEADER, "") if call.peer in FRONTS else ""
    return named if len(named) <= MAX_CLIENT and named.isascii() and named.isprintable() else ""


async def own(call: Call) -> Account:
    """The caller's account. Raises Unauthenticated 2003 if it is gone."""
    account = await call.app[ACCOUNTS].by_id(call.user.sub)
    if account is None:
        raise Unauthenticated("the account of this access token is gone", code=Code.TOKEN_INVALID)
    return account


async def record(call: Call, event: str, user: str | None, outcome: Outcome = "done", **details: str) -> None:
    """Writes down what happened, in the audit and in the log."""
    by = call.claims.sub if call.claims else None
    log.info(f"{event} {outcome}", user=user, by=by, **details)
    await call.app[AUDIT].add(event, outcome, user=user, by=by, client=client_of(call), details=details)


def shown(account: Account) -> contract.User:
    """The account as people see it."""
    return contract.User(
        id=account.id,
        email=account.email,
        role=account.role,
        created=clock.rfc3339(account.created),
        suspended=account.suspended,
        second_factor=account.mfa.seed is not None,
        wallet=account.wallet,
    )
