"""Runs on a data host: whom its MongoDB takes for the primary, and whom its Sentinel takes for the master.

Prints a JSON object: `primary` (a host's name or null), `member` (whether this one is primary or secondary),
`master` (an address or null). With arguments, a host's name and address, it first waits until this host has
neither office any more and adds when each office was seen elsewhere, seconds since the epoch: `primary_at`,
`master_at`.
"""

import json
import re
import sys
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

TLS = "/etc/lucid/tls"


SECONDS = 60


def look(client: "MongoClient[dict[str, object]]") -> "dict[str, object]":
    """Asks MongoDB, which answers this to anybody, and reads what Sentinel writes down with each change."""
    try:
        hello = client.admin.command("isMaster")
    except PyMongoError:
        hello = {}
    sentinel = Path("/var/lib/redis/sentinel.conf").read_text()
    master = re.search(r"^sentinel monitor lucid (\S+) ", sentinel, re.MULTILINE)
    return {
        "primary": str(hello["primary"]).partition(":")[0] if "primary" in hello else None,
        "member": bool(hello.get("ismaster") or hello.get("secondary")),
        "master": master[1] if master else None,
    }


def main() -> None:
    """Prints the state, at once or when it has changed."""
    client: MongoClient[dict[str, object]] = MongoClient(
        "127.0.0.1",
        27017,
        directConnection=True,
        tls=True,
        tlsCAFile=f"{TLS}/ca.crt",
        tlsCertificateKeyFile=f"{TLS}/mongodb/mongodb.pem",
        serverSelectionTimeoutMS=2000,
    )
    state = look(client)
    moved: dict[str, float] = {}
    until = time.time() + SECONDS
    while len(sys.argv) > 1 and len(moved) < 2 and time.time() < until:
        state = look(client)
        for office in ("primary", "master"):
            if state[office] not in (None, *sys.argv[1:]):
                moved.setdefault(f"{office}_at", time.time())
        time.sleep(0.05)
    print(json.dumps(state | moved))  # noqa: T201 - its answer


main()
