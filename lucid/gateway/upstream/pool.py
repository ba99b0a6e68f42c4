"""Connections to one replica, kept between exchanges."""

import asyncio
import ssl

from lucid.gateway.upstream.balancing import Replica
from lucid.gateway.upstream.connection import Connection
from lucid.gateway.upstream.failures import NotReached, Overdue
from lucid.gateway.upstream.requests import Patience


class Pool:
    """Makes connections to `replica` and keeps those that are idle, the last used first.

    `context` and `server_name` are for replicas behind TLS: the certificate must be that name's.
    """

    def __init__(self, replica: Replica, context: ssl.SSLContext | None, server_name: str) -> None:
        self._replica = replica
        self._context = context if replica.tls else None
        self._server_name = server_name if replica.tls else None
        self._idle: list[Connection] = []

    def kept(self) -> Connection | None:
        """An idle connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def connect(self, patience: Patience) -> Connection:
        """A new connection. Raises NotReached, or Overdue where the caller's time was over before."""
        seconds = patience.connect if patience.total is None else min(patience.connect, patience.total)
        try:
            async with asyncio.timeout(seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection,
                    self._replica.host,
                    self._replica.port,
                    ssl=self._context,
                    server_hostname=self._server_name,
                )
        except TimeoutError:
            if seconds < patience.connect:
                raise Overdue(f"no connection within the {seconds:g} s that were left") from None
            raise NotReached(f"no connection within {seconds:g} s") from None
        except OSError as error:
            raise NotReached(type(error).__name__) from error
        return connection

    def give_back(self, connection: Connection) -> None:
        """Ends the exchange that `connection` was taken for."""
        if connection.release():
            self._idle.append(connection)

    def close(self) -> None:
        """Closes what is idle."""
        while self._idle:
            self._idle.pop().close()
