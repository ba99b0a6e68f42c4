"""Desktops: `lucid.rdp_sessions`, one document for each, of all managers.

While a desktop has not ended it is `live`, and as long as it is, nobody else has its port on its host, nor
its seat among those of its owner: two unique indexes say so, whoever writes. `closing` is why it is to end,
from the moment on when that is decided; nothing takes that back.
"""

from collections.abc import Collection

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from lucid.contracts.rdp_manager import RdpSession
from lucid.contracts.session_controller import Ending
from lucid.contracts.session_controller import RdpSession as HostSession
from lucid.contracts.xrdp import FIRST_PORT, LAST_PORT
from lucid.kit.errors import Code, Conflict, Limited, NotFound, Unavailable
from lucid.kit.mongo import Database, Document
from lucid.rdp import manager_metrics as metrics

LIVE = {"live": True}
PORTS = range(FIRST_PORT, LAST_PORT + 1)


class DesktopStore:
    """All desktops of the deployment."""

    def __init__(self, database: Database) -> None:
        self._desktops = database["rdp_sessions"]

    async def prepare(self) -> None:
        """Makes the indexes that ports and quotas rest on; to be done before the first desktop."""
        for names in (("host", "port"), ("owner", "seat")):
            keys = [(name, ASCENDING) for name in names]
            await self._desktops.create_index(keys, unique=True, partialFilterExpression=LIVE)
        await self._desktops.create_index("live", sparse=True)
        for first in (["owner"], []):
            order = [("created_ms", DESCENDING), ("_id", DESCENDING)]
            await self._desktops.create_index([*((name, ASCENDING) for name in first), *order])

    async def add(self, desktop: Document, *, quota: int) -> Document:
        """Writes a new desktop down, with the lowest port that is free on its host.

        Raises Limited 3002 if its owner has `quota` already, Unavailable if no port is left.
        """
        ports, seats = set[int](), set[int]()
        either = [{"host": desktop["host"]}, {"owner": desktop["owner"]}]
        async for other in self._desktops.find({**LIVE, "$or": either}, {"host", "port", "owner", "seat"}):
            if other["host"] == desktop["host"]:
                ports.add(other["port"])
            if other["owner"] == desktop["owner"]:
                seats.add(other["seat"])
        while True:
            seat = _lowest(range(quota), seats)
            if seat is None or len(seats) >= quota:
                raise Limited(
                    f"you have {len(seats)} desktops, and may have {quota} at once; end one"
                    " (`lucid rdp list`, `lucid rdp end ID`)"
                )
            port = _lowest(PORTS, ports)
            if port is None:
                raise Unavailable(f"{desktop['host']} has no port left for another desktop")
            made = {**desktop, **LIVE, "port": port, "seat": seat}
            try:
                await self._desktops.insert_one(made)
            except DuplicateKeyError as error:
                # Somebody was quicker: whose place it was that is taken decides what to try next.
                if "port" in (keys := (error.details or {})["keyPattern"]):
                    ports.add(port)
                elif "seat" in keys:
                    seats.add(seat)
                else:
                    raise
                continue
            return made

    async def get(self, session: str) -> Document:
        """One desktop. Raises NotFound."""
        found = await self._desktops.find_one({"_id": session})
        if found is None:
            raise NotFound(f"there is no desktop {session}")
        return found

    async def some(self, sessions: Collection[str]) -> dict[str, Document]:
        """Those of these desktops that are written down, by id."""
        cursor = self._desktops.find({"_id": {"$in": list(sessions)}})
        return {desktop["_id"]: desktop async for desktop in cursor}

    async def live(self) -> list[Document]:
        """All that have not ended."""
        return await self._desktops.find(LIVE).to_list()

    async def page(self, chosen: Document, limit: int, before: Document | None) -> list[Document]:
        """Desktops newest first whose fields are as `chosen`, after `before`."""
        query = dict(chosen)
        if before is not None:
            query["$or"] = [
                {"created_ms": {"$lt": before["created_ms"]}},
                {"created_ms": before["created_ms"], "_id": {"$lt": before["_id"]}},
            ]
        cursor = self._desktops.find(query).sort([("created_ms", DESCENDING), ("_id", DESCENDING)])
        return await cursor.limit(limit).to_list()

    async def begun(self, session: str) -> Document:
        """The desktop runs and is recorded. Raises Conflict 4007 if it is at its end already."""
        await self._desktops.update_one(
            {"_id": session, **LIVE, "closing": None, "state": "starting"}, {"$set": {"state": "ready"}}
        )
        found = await self.get(session)
        if "live" not in found or found["closing"]:
            raise Conflict(
                f"the desktop ended while it was being started{_because(found)}", code=Code.SESSION_STATE
            )
        return found

    async def bring(self, desktop: Document, told: HostSession) -> Document:
        """Brings a live desktop up to date with what its host says of it, and returns it."""
        if told.state == "ended":
            ending = told.ending or desktop["closing"] or "failed"
            return await self.close(desktop, ending, told.detail, told.ended_ms or told.began_ms)
        state = "ending" if desktop["closing"] else told.state
        news = {"state": state, "client": told.client, "detail": told.detail or desktop["detail"]}
        if all(desktop[name] == value for name, value in news.items()):
            return desktop
        found = await self._desktops.find_one_and_update(
            {"_id": desktop["_id"], **LIVE, "closing": desktop["closing"]},
            {"$set": news},
            return_document=ReturnDocument.AFTER,
        )
        return found or await self.get(desktop["_id"])

    async def decide_end(self, session: str, reason: Ending, detail: str | None = None) -> Document:
        """Decides that a desktop ends, if that is still to be decided; returns it. Raises NotFound."""
        await self._desktops.update_one(
            {"_id": session, **LIVE, "closing": None},
            {"$set": {"closing": reason, "state": "ending", "detail": detail}},
        )
        return await self.get(session)

    async def close(self, desktop: Document, ending: Ending, detail: str | None, ended_ms: int) -> Document:
        """The desktop has ended: its port and its seat are free. One that has ended stays as it is."""
        found = await self._desktops.find_one_and_update(
            {"_id": desktop["_id"], **LIVE},
            {
                "$set": {
                    "state": "ended",
                    "ending": ending,
                    "detail": detail or desktop["detail"],
                    "ended_ms": ended_ms,
                    "client": None,
                },
                "$unset": {"live": ""},
            },
            return_document=ReturnDocument.AFTER,
        )
        if found is not None:
            metrics.ended_total.labels(ending).inc()
        return found or await self.get(desktop["_id"])


def view(desktop: Document) -> RdpSession:
    """The desktop as people see it."""
    return RdpSession(
        id=desktop["_id"],
        **{name: desktop[name] for name in RdpSession.__struct_fields__ if name in desktop},
    )


def _lowest(numbers: range, taken: Collection[int]) -> int | None:
    return next((number for number in numbers if number not in taken), None)


def _because(desktop: Document) -> str:
    return f": {detail}" if (detail := desktop["detail"]) else ""
