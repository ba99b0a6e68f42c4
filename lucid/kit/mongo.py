"""MongoDB: one client per process, majority writes, short deadlines, measured health."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pymongo
from aiohttp import web
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.int64 import Int64
from prometheus_client import Gauge, Histogram
from pymongo import AsyncMongoClient, monitoring
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from lucid.kit import settings
from lucid.kit.health import CHECKS

Document = dict[str, Any]
Database = AsyncDatabase[Document]

connections = Gauge("lucid_db_connections_active", "Open MongoDB connections.", multiprocess_mode="livesum")
query_seconds = Histogram(
    "lucid_db_query_duration_seconds", "Time of a MongoDB command, seconds.", ["command", "outcome"]
)

TIMEOUT_MS = 4000
"""A hung primary is noticed within about four seconds with these three together (driver defaults: 20 s)."""
CONNECT_TIMEOUT_MS = 2000
HEARTBEAT_MS = 1000
CLOSE_SECONDS = 1.0


class _PlainInteger(TypeDecoder):
    """64-bit integers come back as int: bson's own subclass of int is no JSON value for msgspec."""

    bson_type = Int64

    def transform_bson(self, value: int) -> int:
        return int(value)


CODEC_OPTIONS: CodecOptions[Document] = CodecOptions(type_registry=TypeRegistry([_PlainInteger()]))


def connect(url: str) -> AsyncMongoClient[Document]:
    """A client whose writes are acknowledged by a majority, journalled and retried.

    The pool keeps 5 connections ready, or what `minPoolSize` in the URL says.
    """
    if "minpoolsize=" not in url.lower():
        url += ("&" if "?" in url else "/?") + "minPoolSize=5"
    return AsyncMongoClient(
        url,
        w="majority",
        journal=True,
        retryWrites=True,
        timeoutMS=TIMEOUT_MS,
        connectTimeoutMS=CONNECT_TIMEOUT_MS,
        heartbeatFrequencyMS=HEARTBEAT_MS,
        maxPoolSize=20,
        readConcernLevel="majority",
        event_listeners=[_Commands(), _Pool()],
        appname="lucid",
    )


def context(
    url: str, name: str, key: web.AppKey[Database]
) -> Callable[[web.Application], AsyncIterator[None]]:
    """A cleanup context that puts database `name` under `key` and its health among the checks.

    Raises SettingsError for an empty `url`.
    """
    if not url:
        raise settings.missing(settings.Common, "mongodb_url")

    async def database(app: web.Application) -> AsyncIterator[None]:
        client = connect(url)
        app[key] = client.get_database(
            name,
            codec_options=CODEC_OPTIONS,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern(w="majority", j=True),
        )
        app[CHECKS].add("mongodb", lambda: client.admin.command("ping"))
        yield
        # Closing tells the server, for which it would look for half a minute if it is gone.
        with pymongo.timeout(CLOSE_SECONDS):
            await client.close()

    return database


class _Commands(monitoring.CommandListener):
    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Only ends are measured."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        query_seconds.labels(event.command_name, "ok").observe(event.duration_micros / 1e6)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        query_seconds.labels(event.command_name, "failed").observe(event.duration_micros / 1e6)


class _Pool(monitoring.ConnectionPoolListener):
    """Counts open connections; the pool's other events are of no interest."""

    def connection_created(self, _: monitoring.ConnectionCreatedEvent) -> None:
        connections.inc()

    def connection_closed(self, _: monitoring.ConnectionClosedEvent) -> None:
        connections.dec()

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None: ...
    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None: ...
    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None: ...
    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None: ...
    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None: ...
    def connection_check_out_started(self, event: monitoring.ConnectionCheckOutStartedEvent) -> None: ...
    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None: ...
    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None: ...
    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None: ...
