"""Many writes at once, of which some may meet documents that are there already."""

from collections.abc import Sequence

from pymongo import InsertOne, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from lucid.kit.mongo import Document

_DUPLICATE = 11000


async def write_unless_there(
    collection: AsyncCollection[Document], writes: Sequence[InsertOne[Document] | UpdateOne]
) -> None:
    """Carry out `writes` in no order; one that would make a second document of an id changes nothing."""
    if not writes:
        return
    try:
        await collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        if any(each["code"] != _DUPLICATE for each in error.details["writeErrors"]):
            raise
