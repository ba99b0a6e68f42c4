"""Things that are good once, in MongoDB: `lucid.tickets`. Login links, and challenges for wallets.

Services delete nothing: what was used stays, marked, until it expires and MongoDB removes it.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from lucid.auth import clock
from lucid.auth.account import AWARE
from lucid.auth.opaque import digest, new_secret
from lucid.kit.mongo import Database, Document

_USE: Document = {"$set": {"used": True}}


class Ticket(NamedTuple):
    """What a ticket stands for."""

    subject: str
    expires: datetime


class Tickets:
    """The repository of tickets; each kind is apart from the others."""

    def __init__(self, database: Database) -> None:
        self._tickets = database.get_collection("tickets", codec_options=AWARE)

    async def prepare(self) -> None:
        """Makes the indexes that find a subject's tickets and remove those that have expired."""
        await self._tickets.create_index("expires", expireAfterSeconds=0)
        await self._tickets.create_index({"subject": 1, "kind": 1})

    async def issue(self, kind: str, subject: str, seconds: int) -> tuple[str, Ticket]:
        """A new ticket and its secret, of which only the digest is kept."""
        secret = new_secret()
        ticket = Ticket(subject, clock.now() + timedelta(seconds=seconds))
        await self._tickets.insert_one(
            {
                "_id": digest(secret),
                "kind": kind,
                "subject": subject,
                "expires": ticket.expires,
                "used": False,
            }
        )
        return secret, ticket

    async def find(self, kind: str, secret: str) -> Ticket | None:
        """The ticket with this secret if it is still good; it stays so."""
        found = await self._tickets.find_one(_good(kind) | {"_id": digest(secret)})
        return None if found is None else Ticket(found["subject"], found["expires"])

    async def use(self, kind: str, secret: str) -> bool:
        """Uses the ticket up. Of all who try, one is told True."""
        used = await self._tickets.update_one(_good(kind) | {"_id": digest(secret)}, _USE)
        return used.modified_count == 1

    async def count(self, kind: str, subject: str) -> int:
        """How many of a subject's tickets are still good."""
        return await self._tickets.count_documents(_good(kind) | {"subject": subject})

    async def discard(self, kind: str, subject: str) -> None:
        """Makes all tickets of a subject worthless."""
        await self._tickets.update_many(_good(kind) | {"subject": subject}, _USE)


def _good(kind: str) -> Document:
    return {"kind": kind, "used": False, "expires": {"$gt": clock.now()}}
