"""Which addresses and ports each of some unix users reaches by TCP, all tried at once.

A port that nobody listens on answers with a reset where the packet filters let the packet pass; what they do
not let pass they drop, and nothing comes back.
"""

import errno
import json
import os
import pwd
import resource
import selectors
import socket
import time
from typing import Any

Place = tuple[str, int]
REACHED = (0, errno.ECONNREFUSED)


def main(asked: dict[str, Any]) -> dict[str, list[Place]]:
    """`asked`: users (names), targets (address and port), seconds to wait. What was reached, by user.

    Without users it asks as itself, under the name `self`.
    """
    if "users" not in asked:
        return {"self": reached(asked["targets"], asked["seconds"])}
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pipes = {user: _ask_as(pwd.getpwnam(user), asked) for user in asked["users"]}
    found = {}
    for user, (pid, pipe) in pipes.items():
        with os.fdopen(pipe) as answer:
            found[user] = json.load(answer)
        os.waitpid(pid, 0)
    return found


def _ask_as(user: pwd.struct_passwd, asked: dict[str, Any]) -> tuple[int, int]:
    pipe, end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(end)
        return pid, pipe
    try:
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        with os.fdopen(end, "w") as answer:
            json.dump(reached(asked["targets"], asked["seconds"]), answer)
    finally:
        os._exit(0)


def reached(targets: list[Place], seconds: float) -> list[Place]:
    """The pairs of `targets` that answer within `seconds`."""
    found: list[Place] = []
    opened: list[socket.socket] = []
    with selectors.DefaultSelector() as waiting:
        for address, port in targets:
            connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            opened.append(connection)
            connection.setblocking(False)
            result = connection.connect_ex((address, port))
            if result == errno.EINPROGRESS:
                waiting.register(connection, selectors.EVENT_WRITE, (connection, (address, port)))
            elif result in REACHED:
                found.append((address, port))
        end = time.monotonic() + seconds
        while waiting.get_map() and time.monotonic() < end:
            for key, _ in waiting.select(end - time.monotonic()):
                answered, place = key.data
                waiting.unregister(answered)
                if answered.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in REACHED:
                    found.append(place)
                answered.close()
    for connection in opened:
        connection.close()
    return found
