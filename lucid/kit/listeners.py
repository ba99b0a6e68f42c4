"""The named sockets a service listens on, bound here or held by systemd across restarts."""

import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass

from lucid.kit.tls import TlsConfig

_FIRST_FD = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


class ListenerError(ValueError):
    """The declared listeners and the sockets at hand do not fit; the message names the socket and the fix."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One socket of a service: `name` as in the socket unit's `FileDescriptorName=`, plain without `tls`.

    `carried`: each connection begins with a PROXY protocol header that says whose it is (lucid.kit.carried).
    """

    name: str
    host: str
    port: int
    tls: TlsConfig | None = None
    carried: bool = False


class ListeningSocket(socket.socket):
    """A listening socket which knows the `Listener` it was opened for."""

    listener: Listener

    def __str__(self) -> str:
        host, port = self.getsockname()[:2]
        scheme = "https" if self.listener.tls else "http"
        return f"{self.listener.name} {scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def open_sockets(
    listeners: Sequence[Listener], environ: MutableMapping[str, str], *, backlog: int
) -> list[ListeningSocket]:
    """Return one listening socket per listener, in their order.

    If systemd passed sockets (`sd_listen_fds(3)`), these are taken and matched by name; otherwise each
    listener's host and port is bound. systemd's variables are removed from `environ`. Raises ListenerError.
    """
    names = [listener.name for listener in listeners]
    if not names or len(set(names)) != len(names):
        raise ListenerError(f"listeners must have one distinct name each, not {names}")
    passed = _take_passed(environ)
    if passed is None:
        return [_bind(listener, backlog) for listener in listeners]
    if missing := sorted(set(names) - set(passed)):
        raise ListenerError(
            f"systemd passed no socket named {missing[0]!r}; set FileDescriptorName={missing[0]}"
        )
    if unknown := sorted(set(passed) - set(names)):
        raise ListenerError(
            f"systemd passed a socket named {unknown[0]!r}, which is no listener of this service;"
            f" FileDescriptorName= must be one of: {', '.join(names)}"
        )
    return [_adopt(listener, passed[listener.name]) for listener in listeners]


def _take_passed(environ: MutableMapping[str, str]) -> dict[str, int] | None:
    """Return the descriptors systemd passed to this process by name, None if it passed none."""
    pid, count, names = (environ.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()):
        return None
    if not count.isdecimal() or int(count) != len(names.split(":")):
        raise ListenerError(f"LISTEN_FDS={count!r} sockets need as many LISTEN_FDNAMES, not {names!r}")
    passed = {name: _FIRST_FD + index for index, name in enumerate(names.split(":"))}
    if len(passed) != int(count):
        raise ListenerError(
            f"LISTEN_FDNAMES={names!r} holds a name twice; use one ListenStream= per socket unit"
        )
    return passed


def _bind(listener: Listener, backlog: int) -> ListeningSocket:
    where = f"{listener.host}:{listener.port}"
    try:
        found = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        bound = ListeningSocket(family, kind, protocol)
    except OSError as error:
        raise ListenerError(f"listener {listener.name!r}: {where} is no usable address: {error}") from error
    bound.listener = listener
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(backlog)
    except OSError as error:
        bound.close()
        raise ListenerError(f"listener {listener.name!r} cannot listen on {where}: {error}") from error
    bound.setblocking(False)
    return bound


def _adopt(listener: Listener, fd: int) -> ListeningSocket:
    try:
        adopted = ListeningSocket(fileno=fd)
        listening = adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ListenerError(f"descriptor {fd}, passed as {listener.name!r}, is no socket: {error}") from error
    internet = adopted.family in {socket.AF_INET, socket.AF_INET6}
    if not (listening and internet and adopted.type == socket.SOCK_STREAM):
        raise ListenerError(
            f"the socket passed as {listener.name!r} is no listening TCP socket; use ListenStream="
        )
    adopted.listener = listener
    adopted.setblocking(False)
    adopted.set_inheritable(False)
    return adopted
