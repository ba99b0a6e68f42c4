"""Numbers in the order of arrival, the same for every process that asks."""

from lucid.kit.mongo import Database


async def take_numbers(database: Database, name: str, count: int) -> int:
    """Return the first of `count` successive numbers that nobody else gets; a crash leaves a hole."""
    before = await database["meta"].find_one_and_update(
        {"_id": f"sequence:{name}"}, {"$inc": {"next": count}}, upsert=True
    )
    return int(before["next"]) if before else 0
