"""Starts a real MongoDB replica set of one member and a real Redis on loopback, for the stack and tests."""

import socket
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from redis import Redis
from redis.exceptions import RedisError

from lucid.dev import binaries
from lucid.dev.errors import StackError
from lucid.dev.processes import Process, Processes

START_SECONDS = 60.0
REPLICA_SET = "lucid"
_NOT_YET_INITIALISED = 94
_ELECTION_MS = 500
_POLL_SECONDS = 0.05


def mongodb_url(port: int) -> str:
    """Address of the replica set that `start_mongod` makes."""
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


def redis_url(port: int) -> str:
    """Address of the server that `start_redis` starts."""
    return f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    """A TCP port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(name: str, port: int) -> None:
    """Raises StackError if somebody listens on `port` already: their answers would be taken for ours."""
    with socket.socket() as probe:
        # As the servers do, so that connections of an earlier run that are still closing do no harm.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(
                f"{name}: port {port} of 127.0.0.1 cannot be used: {error.strerror};"
                f" `ss -ltnp sport = :{port}` shows who listens there"
            ) from None


def mongod_command(directory: Path, port: int) -> list[str]:
    """zlib is left out of the compressors: versions before 6.0.27 leak memory through it (CVE-2025-14847)."""
    return [
        str(binaries.find(binaries.MONGOD)),
        *("--dbpath", str(directory), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--replSet", REPLICA_SET, "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.25"),
        *("--networkMessageCompressors", "snappy,zstd"),
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]


def redis_command(directory: Path, port: int) -> list[str]:
    """Nothing is written to disk: what Redis holds may be lost."""
    return [
        str(binaries.find(binaries.REDIS)),
        *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), "--daemonize", "no"),
        *("--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
    ]


def start_mongod(processes: Processes, directory: Path, log: Path, port: int) -> Process:
    """Starts mongod with its files in `directory` and returns once it takes writes. Raises StackError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_free("mongodb", port)
    process = processes.start("mongodb", mongod_command(directory, port), log)
    until = time.monotonic() + START_SECONDS
    with MongoClient[dict[str, object]](
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=200
    ) as client:
        while not _is_primary(client, port):
            _wait(process, until)
    return process


def start_redis(processes: Processes, directory: Path, log: Path, port: int) -> Process:
    """Starts redis-server and returns once it answers. Raises StackError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_free("redis", port)
    process = processes.start("redis", redis_command(directory, port), log)
    until = time.monotonic() + START_SECONDS
    with Redis(port=port, socket_timeout=1.0) as client:
        while not _answers(client):
            _wait(process, until)
    return process


def _is_primary(client: MongoClient[dict[str, object]], port: int) -> bool:
    """Whether the server takes writes; a new server is made the only member of its replica set."""
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure as failure:
        if failure.code != _NOT_YET_INITIALISED:
            return False
        member = {"_id": 0, "host": f"127.0.0.1:{port}"}
        settings = {"electionTimeoutMillis": _ELECTION_MS}
        client.admin.command(
            "replSetInitiate", {"_id": REPLICA_SET, "members": [member], "settings": settings}
        )
    except PyMongoError:
        return False
    return bool(client.admin.command("hello").get("isWritablePrimary"))


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def _wait(process: Process, until: float) -> None:
    """Sleeps a moment. Raises StackError if the server has ended or its time is over."""
    if process.status is not None or time.monotonic() >= until:
        state = "does not answer" if process.status is None else process.ending
        words = process.last_words()
        process.kill()
        raise StackError(f"{process.name} {state}; the end of its log, {process.log}:\n{words}")
    time.sleep(_POLL_SECONDS)
