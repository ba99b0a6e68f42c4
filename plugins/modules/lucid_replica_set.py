#!/usr/bin/python
# ruff: noqa: E402 - Ansible wants a module's documentation above its imports
"""Ansible module: brings a MongoDB replica set, its administrator and its users to the wanted state.

It runs on one member, speaks the server's own commands through pymongo (3.11 or newer) and needs no shell.
What it may change is decided in `lucid_replica_rules`; `ReplicaSet` carries that out.
"""

DOCUMENTATION = """
module: lucid_replica_set
short_description: Initiate and extend a MongoDB replica set and keep its users
description:
  - Initiates the set with this host as its only member if no member holds one yet, creates the administrator
    by the localhost exception, and adds the other members one after another.
  - A set that exists is only ever extended. One with members that are not listed, with another name, or two
    sets among the members make the module fail before it changes anything.
  - Users log in with their certificates (MONGODB-X509). Those under I(subject_suffix) that are not listed are
    dropped; all others are left alone.
  - Each user has one role, C(lucid-NAME), to read, write and index its own collections. It may drop nothing,
    delete no document, and touch nothing that is not its own.
options:
  name: {description: Name of the replica set., type: str, required: true}
  local: {description: This host among I(members)., type: str, required: true}
  members: {description: Every member as host:port., type: list, elements: str, required: true}
  settings: {description: Wanted C(settings) of the set's configuration., type: dict, default: {}}
  tls_ca: {description: File with the authority's certificate., type: path, required: true}
  tls_certificate_key: {description: File with this host's certificate and key., type: path, required: true}
  admin: {description: Name of the administrator., type: str, default: lucid-admin}
  admin_password: {description: Its password., type: str, required: true}
  admin_previous_password:
    description: The password before, tried when the new one is refused, and then replaced.
    type: str
    default: ""
  subject_suffix: {description: What follows C(CN=name) in a user's certificate., type: str, required: true}
  users:
    description: Users, each with the C(name) in its certificate, a C(database), and its C(collections) there.
    type: list
    elements: dict
    default: []
  timeout: {description: How long to wait for members and elections in seconds., type: int, default: 60}
author: [Lucid]
"""

EXAMPLES = """
- name: Bring up the replica set
  lucid_replica_set:
    name: lucid
    local: data1:27017
    members: [data1:27017, data2:27017, data3:27017]
    settings: {electionTimeoutMillis: 2000}
    tls_ca: /etc/lucid/tls/ca.crt
    tls_certificate_key: /etc/lucid/tls/mongodb/mongodb.pem
    admin_password: "{{ mongodb_admin_password }}"
    subject_suffix: OU=services,O=Lucid
    users:
      - {name: auth-service, database: lucid, collections: [users]}
"""

RETURN = """
members: {description: The set's members after the run., returned: success, type: list, elements: str}
"""

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ansible.module_utils.basic import (  # type: ignore[import-untyped]  # ansible ships no types
    AnsibleModule,
    missing_required_lib,
)

from ..module_utils.lucid_replica_rules import (  # noqa: TID252 - Ansible packs what is named in this way
    ROLE_PREFIX,
    Document,
    Refused,
    find_set,
    next_config,
    role_changes,
    role_of,
    user_changes,
)

try:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure, PyMongoError
except ImportError:
    PYMONGO_MISSING = traceback.format_exc()
else:
    PYMONGO_MISSING = ""

ADMIN_ROLES = ("userAdminAnyDatabase", "clusterAdmin", "backup", "restore")
AUTHENTICATION_FAILED = 18
UNAUTHORIZED = 13
TRANSIENT = {
    103,  # NewReplicaSetConfigurationIncompatible: the step before is not yet known to a majority
    109,  # ConfigurationInProgress
    308,  # CurrentConfigNotCommittedYet
}
PAUSE = 0.2
CONNECT_MS = 2000


class ReplicaSet:
    """One run of the module: the wanted state in `wanted` (the options above), and what was changed."""

    def __init__(self, wanted: Document, *, check: bool) -> None:
        self.wanted = wanted
        self.check = check
        self.changed = False
        self.before: Document = {"members": [], "settings": {}, "users": {}, "roles": {}}
        self.after: Document = {"members": [], "settings": {}, "users": {}, "roles": {}}

    def ensure(self) -> None:
        """Brings all to the wanted state. Raises Refused, or PyMongoError for what the server refuses."""
        wanted = self.wanted
        members: list[str] = wanted["members"]
        users = {f"CN={u['name']},{wanted['subject_suffix']}": [role_of(u)] for u in wanted["users"]}
        roles = {role_of(u)["role"]: sorted(u["collections"]) for u in wanted["users"]}
        self.after = {
            "members": sorted(members), "settings": wanted["settings"], "users": users, "roles": roles,
        }  # fmt: skip
        hosts = find_set(wanted["name"], members, self._ask_members())
        if not hosts:
            self.changed = True
            if self.check:
                return
            self._initiate()
            hosts = [wanted["local"]]
        with self._log_in(hosts) as client:
            self._configure(client)
            before, afterwards = role_changes(self._roles(client), wanted["users"])
            self._carry_out(client, before)
            self._keep_users(client, users)
            self._carry_out(client, afterwards)

    def _connect(self, address: str, **options: Any) -> "MongoClient[Document]":
        return MongoClient(
            f"mongodb://{address}/",
            directConnection=True,
            tls=True,
            tlsCAFile=self.wanted["tls_ca"],
            tlsCertificateKeyFile=self.wanted["tls_certificate_key"],
            serverSelectionTimeoutMS=CONNECT_MS,
            connectTimeoutMS=CONNECT_MS,
            **options,
        )

    def _connect_here(self) -> "MongoClient[Document]":
        """Without a name and on loopback: what the server lets do until it has its first user."""
        return self._connect("localhost:" + self.wanted["local"].rpartition(":")[2])

    def _ask_members(self) -> dict[str, Document | None]:
        """Every member's answer to `hello`; one that starts just now is waited for."""
        answers: dict[str, Document | None] = {}
        until = time.monotonic() + (0 if self.check else self.wanted["timeout"])
        for member in self.wanted["members"]:
            answers[member] = self._hello(member)
        while True:
            known = set().union(*(a.get("hosts", []) for a in answers.values() if a))
            silent = [m for m, a in answers.items() if a is None and m not in known]
            if not silent or time.monotonic() > until:
                return answers
            time.sleep(PAUSE)
            answers |= {member: self._hello(member) for member in silent}

    def _hello(self, address: str) -> Document | None:
        try:
            with self._connect(address) as client:
                return dict(client.admin.command("hello"))
        except PyMongoError:
            return None

    def _initiate(self) -> None:
        member = {"_id": 0, "host": self.wanted["local"]}
        config = {"_id": self.wanted["name"], "members": [member], "settings": self.wanted["settings"]}
        with self._connect_here() as client:
            client.admin.command("replSetInitiate", config)
            self._wait("it is primary", lambda: client.admin.command("hello").get("isWritablePrimary"))

    def _log_in(self, hosts: list[str]) -> "MongoClient[Document]":
        """A client of the primary, logged in as the administrator, who is made if there is no user at all."""
        primary = self._wait("the set has a primary", lambda: self._primary(hosts))
        wanted = self.wanted
        for password in filter(None, (wanted["admin_password"], wanted["admin_previous_password"])):
            client = self._connect(
                primary,
                username=wanted["admin"],
                password=password,
                authSource="admin",
                authMechanism="SCRAM-SHA-256",
            )
            try:
                client.admin.command("ping")
            except OperationFailure as failure:
                client.close()
                if failure.code != AUTHENTICATION_FAILED:
                    raise
            else:
                if password != wanted["admin_password"]:
                    self._set_password(client)
                return client
        if primary != wanted["local"]:
            self._refuse_login(primary)
        self._create_admin(primary)
        return self._log_in(hosts)

    def _primary(self, hosts: list[str]) -> str | None:
        return next((a["primary"] for a in map(self._hello, hosts) if a and "primary" in a), None)

    def _set_password(self, client: "MongoClient[Document]") -> None:
        self.changed = True
        if not self.check:
            client.admin.command("updateUser", self.wanted["admin"], pwd=self.wanted["admin_password"])

    def _create_admin(self, primary: str) -> None:
        if self.check:
            self._refuse_login(primary)
        roles = [{"role": role, "db": "admin"} for role in ADMIN_ROLES]
        with self._connect_here() as client:
            try:
                client.admin.command(
                    "createUser", self.wanted["admin"], pwd=self.wanted["admin_password"], roles=roles
                )
            except OperationFailure as failure:
                if failure.code != UNAUTHORIZED:
                    raise
                self._refuse_login(primary)
        self.changed = True

    def _refuse_login(self, primary: str) -> NoReturn:
        raise Refused(
            f"{primary} refuses the password of {self.wanted['admin']}: set mongodb_admin_password to the one"
            " that the set was made with, or give that as mongodb_admin_previous_password to have it replaced"
        )

    def _configure(self, client: "MongoClient[Document]") -> None:
        config = client.admin.command("replSetGetConfig")["config"]
        current = {key: config.get("settings", {}).get(key) for key in self.wanted["settings"]}
        self.before |= {"members": sorted(m["host"] for m in config["members"]), "settings": current}
        while step := next_config(config, self.wanted["members"], self.wanted["settings"]):
            self.changed = True
            if self.check:
                return
            self._reconfigure(client, step)
            self._wait("all members are in step", lambda: self._in_step(client))
            config = client.admin.command("replSetGetConfig")["config"]

    def _reconfigure(self, client: "MongoClient[Document]", config: Document) -> None:
        until = time.monotonic() + self.wanted["timeout"]
        while True:
            try:
                client.admin.command("replSetReconfig", config)
            except OperationFailure as failure:
                if failure.code not in TRANSIENT or time.monotonic() > until:
                    raise
                time.sleep(PAUSE)
                # A member that has caught up becomes a voter by a configuration of the server's own.
                current = client.admin.command("replSetGetConfig")["config"]
                config = next_config(current, self.wanted["members"], self.wanted["settings"]) or current
            else:
                return

    def _in_step(self, client: "MongoClient[Document]") -> bool:
        members = client.admin.command("replSetGetStatus")["members"]
        config = client.admin.command("replSetGetConfig")["config"]
        joined = not any(member.get("newlyAdded") for member in config["members"])
        return joined and all(m["stateStr"] in {"PRIMARY", "SECONDARY"} for m in members if m["health"])

    def _keep_users(self, client: "MongoClient[Document]", users: Mapping[str, list[Document]]) -> None:
        found = client["$external"].command("usersInfo", 1)["users"]
        present = {user["user"]: user["roles"] for user in found}
        suffix = "," + self.wanted["subject_suffix"]
        self.before["users"] = {s: roles for s, roles in present.items() if s.endswith(suffix)}
        changes = user_changes(present, users, self.wanted["subject_suffix"])
        self._carry_out(client, [("$external", command) for command in changes])

    def _roles(self, client: "MongoClient[Document]") -> list[Document]:
        databases = sorted({user["database"] for user in self.wanted["users"]})
        found = [
            role
            for database in databases
            for role in client[database].command("rolesInfo", 1, showPrivileges=True)["roles"]
        ]
        self.before["roles"] = {
            role["role"]: sorted(p["resource"].get("collection", "") for p in role["privileges"])
            for role in found
            if role["role"].startswith(ROLE_PREFIX)
        }
        return found

    def _carry_out(self, client: "MongoClient[Document]", commands: list[tuple[str, Document]]) -> None:
        for database, command in commands:
            self.changed = True
            if not self.check:
                client[database].command(command)

    def _wait(self, what: str, test: Callable[[], Any]) -> Any:
        until = time.monotonic() + self.wanted["timeout"]
        while not (found := test()):
            if time.monotonic() > until:
                raise Refused(
                    f"waited {self.wanted['timeout']} s in vain until {what}; `journalctl -u mongod`"
                )
            time.sleep(PAUSE)
        return found


def main() -> None:
    """Runs the module."""
    required = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "name": required,
            "local": required,
            "members": {"type": "list", "elements": "str", "required": True},
            "settings": {"type": "dict", "default": {}},
            "tls_ca": {"type": "path", "required": True},
            "tls_certificate_key": {"type": "path", "required": True},
            "admin": {"type": "str", "default": "lucid-admin"},
            "admin_password": {"type": "str", "required": True, "no_log": True},
            "admin_previous_password": {"type": "str", "default": "", "no_log": True},
            "subject_suffix": required,
            "users": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if PYMONGO_MISSING:
        module.fail_json(msg=missing_required_lib("pymongo"), exception=PYMONGO_MISSING)
    run = ReplicaSet(module.params, check=module.check_mode)
    try:
        run.ensure()
    except (Refused, PyMongoError) as error:
        module.fail_json(msg=str(error))
    diff = {"before": run.before, "after": run.after if run.changed else run.before}
    module.exit_json(changed=run.changed, diff=diff, members=run.after["members"])


if __name__ == "__main__":
    main()
