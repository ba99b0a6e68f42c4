"""What the module lucid_replica_set may change: pure functions, from the answers of servers to commands."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

Document = dict[str, Any]

ACTIONS = ("createIndex", "find", "insert", "update")
"""What a user may do with a collection of its own."""
ROLE_PREFIX = "lucid-"
"""Begins the names of roles that are this module's; all others are somebody else's."""
CONCERN = {"w": "majority", "wtimeout": 10_000}


class Refused(Exception):
    """The wanted state cannot be reached safely; the message says why and what to do."""


def find_set(name: str, members: list[str], answers: Mapping[str, Document | None]) -> list[str]:
    """Returns the hosts of the set that the members hold, none if they hold none yet.

    `answers` has each member's reply to `hello`, None for one that cannot be reached. Raises Refused where
    going on could make a second set or lose a member.
    """
    holders = {member: answer for member, answer in answers.items() if answer and "setName" in answer}
    sets = {member: set(answer.get("hosts", [])) for member, answer in holders.items()}
    silent = [member for member in members if answers.get(member) is None]
    if not sets:
        if silent:
            raise Refused(
                f"{', '.join(silent)}: mongod cannot be reached, and a set is only initiated when every"
                " member is seen to hold none; `systemctl status mongod` there says why"
            )
        return []
    for member, answer in holders.items():
        if answer["setName"] != name:
            raise Refused(
                f"{member} belongs to replica set {answer['setName']!r}, not to {name!r}: set"
                " mongodb_replica_set to its name, or empty its data directory first"
            )
    for one, other in itertools.combinations(sets, 2):
        if not sets[one] & sets[other]:
            raise Refused(
                f"{one} and {other} hold two replica sets, which cannot be joined; empty the data directory"
                " of the one that is to be given up"
            )
    hosts = set().union(*sets.values())
    if unknown := sorted(hosts - set(members)):
        raise Refused(
            f"replica set {name} has members that are not in the inventory: {', '.join(unknown)};"
            " add them to its group, or take them out of the set by rs.remove() first"
        )
    if missing := [member for member in silent if member not in hosts]:
        raise Refused(
            f"{', '.join(missing)}: mongod cannot be reached, so it cannot join;"
            " `systemctl status mongod` there says why"
        )
    return sorted(hosts)


def next_config(config: Document, members: Iterable[str], settings: Document) -> Document | None:
    """Returns the configuration one step nearer to the wanted one, None if there is nothing to do.

    A step adds one member or changes settings: a set accepts no more than one new voter at a time.
    """
    changed = {**config, "version": config["version"] + 1}
    current = config.get("settings", {})
    if any(current.get(key) != value for key, value in settings.items()):
        return {**changed, "settings": {**current, **settings}}
    present = {member["host"] for member in config["members"]}
    for member in members:
        if member not in present:
            free = max(m["_id"] for m in config["members"]) + 1
            return {**changed, "members": [*config["members"], {"_id": free, "host": member}]}
    return None


def role_of(user: Document) -> Document:
    """Returns the role of one of the wanted users, as a user's `roles` have it."""
    return {"db": user["database"], "role": ROLE_PREFIX + user["name"]}


def role_changes(
    present: Iterable[Document], users: Iterable[Document]
) -> tuple[list[tuple[str, Document]], list[tuple[str, Document]]]:
    """Returns the commands, each with its database, that bring roles to what `users` need.

    The first are due before the users are changed, the others, which drop roles, afterwards. `present` has
    the roles of the users' databases as `rolesInfo` shows them, with privileges.
    """
    known = {(role["db"], role["role"]): role for role in present}
    before, wanted = list[tuple[str, Document]](), set()
    for user in users:
        database, name = (role := role_of(user))["db"], role["role"]
        wanted.add((database, name))
        privileges = [
            {"resource": {"db": database, "collection": each}, "actions": list(ACTIONS)}
            for each in sorted(user["collections"])
        ]
        change = {"privileges": privileges, "roles": [], "writeConcern": CONCERN}
        found = known.get((database, name))
        if found is None:
            before.append((database, {"createRole": name, **change}))
        elif _granted(found["privileges"]) != _granted(privileges) or found["roles"]:
            before.append((database, {"updateRole": name, **change}))
    stale = [key for key in known if key[1].startswith(ROLE_PREFIX) and key not in wanted]
    return before, [(database, {"dropRole": name, "writeConcern": CONCERN}) for database, name in stale]


def _granted(privileges: Iterable[Document]) -> list[tuple[str, str, list[str]]]:
    return sorted(
        (p["resource"].get("db", ""), p["resource"].get("collection", ""), sorted(p["actions"]))
        for p in privileges
    )


def user_changes(
    present: Mapping[str, list[Document]], wanted: Mapping[str, list[Document]], suffix: str
) -> list[Document]:
    """Returns the commands that turn the users `present` into those `wanted`, both subject → roles."""
    concern = {"writeConcern": CONCERN}
    commands: list[Document] = []
    for subject, roles in wanted.items():
        if subject not in present:
            commands.append({"createUser": subject, "roles": roles, **concern})
        elif _ordered(present[subject]) != _ordered(roles):
            commands.append({"updateUser": subject, "roles": roles, **concern})
    stale = [s for s in present if s.endswith("," + suffix) and s not in wanted]
    return commands + [{"dropUser": subject, **concern} for subject in stale]


def _ordered(roles: Iterable[Document]) -> list[tuple[str, str]]:
    return sorted((role["db"], role["role"]) for role in roles)
