"""Answers the listeners of this host that ask who may log in, on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from lucid.contracts.xrdp import LOGIN_PORT
from lucid.kit.logs import log
from lucid.rdp import logins

SECONDS = 5.0
"""For one question; the firewall lets only listeners ask."""


@asynccontextmanager
async def serve_logins(
    log_in: Callable[[logins.Question], bool], port: int = LOGIN_PORT
) -> AsyncIterator[asyncio.Server]:
    """Answers with what `log_in` says, until the context ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                header = await reader.readexactly(logins.HEADER_SIZE)
                asked = logins.read(await reader.readexactly(logins.body_size(header)))
                writer.write(logins.answer(right=log_in(asked)))
                await writer.drain()
        except (logins.QuestionError, OSError, EOFError, TimeoutError) as error:
            log.warning("login not understood", error=f"{type(error).__name__}: {error}")
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=logins.MOST, reuse_address=True)
    async with server:
        yield server
