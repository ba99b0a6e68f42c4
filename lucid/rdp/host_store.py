"""Hosts of desktops: `lucid.rdp_hosts`, what all managers know: which drain, when one answered."""

from lucid.kit.mongo import Database, Document


class HostStore:
    """The hosts that were heard of or drained; one that is not there was neither."""

    def __init__(self, database: Database) -> None:
        self._hosts = database["rdp_hosts"]

    async def all(self) -> dict[str, Document]:
        """By name."""
        return {host["_id"]: host async for host in self._hosts.find()}

    async def answered(self, host: str, now_ms: int) -> None:
        """Some manager has had an answer from it."""
        await self._hosts.update_one({"_id": host}, {"$max": {"answered_ms": now_ms}}, upsert=True)

    async def answered_ms(self, host: str) -> int:
        """When any manager had its last answer; 0 for never."""
        found = await self._hosts.find_one({"_id": host}) or {}
        return int(found.get("answered_ms", 0))

    async def set_draining(self, host: str, *, draining: bool) -> None:
        """Gives it no new desktops, or gives it some again."""
        await self._hosts.update_one({"_id": host}, {"$set": {"draining": draining}}, upsert=True)
