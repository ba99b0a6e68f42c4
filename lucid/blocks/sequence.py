"""Numbers in the order of arrival, the same for every process that asks."""

from pymongo.asynchronous.collection import AsyncCollection

from lucid.kit.mongo import Document


async def take_numbers(counters: AsyncCollection[Document], name: str, count: int) -> int:
    """Return the first of `count` successive numbers that nobody else gets; a crash leaves a hole."""
    before = await counters.find_one_and_update(
        {"_id": f"sequence:{name}"}, {"$inc": {"next": count}}, upsert=True
    )
    return int(before["next"]) if before else 0


async def number_from(counters: AsyncCollection[Document], name: str, least: int) -> None:
    """See to it that no number below `least` is given any more."""
    await counters.update_one({"_id": f"sequence:{name}"}, {"$max": {"next": least}}, upsert=True)
