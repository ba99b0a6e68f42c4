"""Ends of logins in MongoDB: `lucid.revocations`, numbered, until the last token of each has expired.

The number comes from one counter document that is raised in the same transaction: two transactions that both
want one conflict, so numbers become visible in their order. A reader who has seen one has seen all before it,
whichever of several processes wrote them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from lucid.auth.account import AWARE
from lucid.auth.tokens import LONGEST_ACCESS_SECONDS
from lucid.kit.mongo import Database
from lucid.kit.revocations import Revocation, RevocationPage

KEEP = timedelta(seconds=LONGEST_ACCESS_SECONDS + 60)
"""The longest life of an access token, and a minute for clocks.

Not the life that is set now: where that was shortened, tokens from before are still out.
"""
PAGE = 1000
_COUNTER = "last"
"""Id of the counter; the others have their numbers as ids, which sort and compare apart from text."""


class RevocationLog:
    """The repository of ended logins."""

    def __init__(self, database: Database) -> None:
        self._log = database.get_collection("revocations", codec_options=AWARE)

    async def prepare(self) -> None:
        """Makes the index that removes what has expired, and the counter."""
        await self._log.create_index("expires", expireAfterSeconds=0)
        await self._log.update_one({"_id": _COUNTER}, {"$setOnInsert": {"number": 0}}, upsert=True)

    async def add(self, sessions: Sequence[str], now: datetime, transaction: AsyncClientSession) -> None:
        """Numbers the ends of these logins, within the transaction that ends them."""
        if not sessions:
            return
        counter = await self._log.find_one_and_update(
            {"_id": _COUNTER},
            {"$inc": {"number": len(sessions)}},
            return_document=ReturnDocument.AFTER,
            session=transaction,
        )
        first = (counter or {})["number"] - len(sessions) + 1
        await self._log.insert_many(
            [
                {"_id": first + i, "session": session, "expires": now + KEEP}
                for i, session in enumerate(sessions)
            ],
            session=transaction,
        )

    async def after(self, number: int) -> RevocationPage:
        """The next ends of logins after a number, at most `PAGE`."""
        counter = await self._log.find_one({"_id": _COUNTER})
        found = self._log.find({"_id": {"$gt": number}}).sort("_id").limit(PAGE)
        return RevocationPage(
            revocations=tuple(
                [
                    Revocation(
                        number=document["_id"],
                        session=document["session"],
                        expires=int(document["expires"].timestamp()),
                    )
                    async for document in found
                ]
            ),
            last=counter["number"] if counter else 0,
        )
