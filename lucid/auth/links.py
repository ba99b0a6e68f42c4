"""Login links: a code by mail that logs in once, within fifteen minutes."""

from lucid.auth import mail
from lucid.auth.accounts import LINK
from lucid.auth.entry import attempt, enter, second_step
from lucid.auth.parts import ACCOUNTS, POSTMAN, SITE, TICKETS, record
from lucid.auth.postman import Letter, Postman
from lucid.contracts import auth_service as contract
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import Code, Unauthenticated, Unavailable
from lucid.kit.routes import Nothing

LINK_SECONDS = 15 * 60
OPEN_LINKS = 3
"""No more mail is sent to an account that has so many: nobody's mailbox is to be filled from here."""

handlers = Handlers()


@handlers.on(contract.LINK_REQUEST)
async def link_request(call: Call, _: Nothing, body: contract.LinkRequest) -> Nothing:
    """Answers before anything is looked up: neither words nor time tell whether there is an account."""
    postman = _postman(call)
    email = mail.normalise(body.email)

    async def letter() -> Letter | None:
        account = await call.app[ACCOUNTS].by_email(email)
        if account is None or account.suspended:
            return None
        if await call.app[TICKETS].count(LINK, account.id) >= OPEN_LINKS:
            return None
        token, _ = await call.app[TICKETS].issue(LINK, account.id, LINK_SECONDS)
        await record(call, "link_sent", account.id)
        return postman.link(call.app[SITE], email, token, LINK_SECONDS // 60)

    postman.post(letter)
    return Nothing()


@handlers.on(contract.LINK_LOGIN)
async def link_login(call: Call, _: Nothing, body: contract.LinkLogin) -> contract.Tokens:
    """An account's second factor is asked for here, too: the mailbox stands for the password only."""
    _postman(call)
    tickets = call.app[TICKETS]
    async with attempt(call):
        ticket = await tickets.find(LINK, body.token)
        account = await call.app[ACCOUNTS].by_id(ticket.subject) if ticket else None
        if account is None:
            await record(call, "login", None, "refused", method="link")
            raise _expired()
    await second_step(call, account, body)
    if not await tickets.use(LINK, body.token):
        raise _expired()
    return await enter(call, account, "link")


def _postman(call: Call) -> Postman:
    found = call.app.get(POSTMAN)
    if found is None:
        raise Unavailable(
            "this deployment sends no mail; its operator can set SMTP_HOST", code=Code.CONFIGURATION
        )
    return found


def _expired() -> Unauthenticated:
    return Unauthenticated(
        "the code is unknown, used or older than fifteen minutes; ask for another one",
        code=Code.LINK_EXPIRED,
    )
