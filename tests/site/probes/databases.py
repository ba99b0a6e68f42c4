"""What users of MongoDB may do, each with a certificate; runs on a host of the replica set."""

import os
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

DONE = "done"
NO_CHANGE = ({"_id": "nothing"}, {"$set": {"proof": True}})


def main(asked: dict[str, Any]) -> dict[str, dict[str, str]]:
    """`asked`: url, ca, collections (`database.collection`), and users: by name identity, user, anonymous.

    By user, what became of reading and writing each collection; `login` alone for one who is not let in.
    """
    return {
        name: _try(asked["url"], asked["ca"], asked["collections"], each)
        for name, each in asked["users"].items()
    }


def _try(url: str, ca: str, collections: list[str], each: dict[str, Any]) -> dict[str, str]:
    identity, authority = _in_memory("".join(each["identity"])), _in_memory(ca)
    login = {} if each["user"] is None else {"username": each["user"]}
    if not each["anonymous"]:
        login |= {"authMechanism": "MONGODB-X509", "authSource": "$external"}
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(
            url,
            tls=True,
            tlsCAFile=authority,
            tlsCertificateKeyFile=identity,
            serverSelectionTimeoutMS=3000,
            **login,
        )
        if not each["anonymous"]:
            client.admin.command("ping")
        found = {}
        for name in collections:
            database, _, collection = name.partition(".")
            place = client[database][collection]
            found[name] = _outcome(place.find_one) + "/" + _outcome(place.update_one, *NO_CHANGE)
        client.close()
    except PyMongoError as error:
        return {"login": type(error).__name__}
    return found


def _outcome(command: Any, *arguments: Any) -> str:
    try:
        command(*arguments)
    except OperationFailure as failure:
        return str((failure.details or {}).get("codeName", failure.code))
    return DONE


def _in_memory(text: str) -> str:
    part = os.memfd_create("pem")
    os.write(part, text.encode())
    return f"/proc/self/fd/{part}"
