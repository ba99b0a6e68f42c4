"""The session that a request is about, for whoever may know of it."""

from aiohttp import web

from lucid.kit.app import Call
from lucid.kit.errors import NotFound
from lucid.kit.mongo import Document
from lucid.kit.routes import Access
from lucid.sessions.api_store import SessionStore

STORE = web.AppKey("store", SessionStore)


async def owned(call: Call, session: str) -> Document:
    """The session, for its owner and for admins; for others it does not exist. Raises NotFound."""
    record = await call.app[STORE].get(session)
    if record["owner"] != call.user.sub and call.user.access < Access.ADMIN:
        raise NotFound(f"there is no session {session}")
    return record
