"""The hosts' way to packages: a caching proxy that listens inside the lab and fetches outside it.

It serves what lies below the addresses of this machine's own package sources, and nothing else. Everything
stays in the cache that all labs share, so a second lab downloads nothing.
"""

import asyncio
import ctypes
import logging
import os
import re
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from lab import cgroups, sources
from lab.cache import Kept
from lab.place import CACHE, REPOSITORY, Lab
from lab.run import NETNS
from lab.sources import Source

PORT = 3142
MEMBER = "proxy"  # its control group in the lab's
NEW_NETWORK = 0x40000000  # CLONE_NEWNET, clone(2)
log = logging.getLogger("lab.proxy")


class PackageProxy:
    """Answers requests for packages from the directory `cache`, which it fills from the mirrors of `mirrors`.

    `proxies` are this machine's own, by scheme; `fresh` is the seconds for which an index, which can change,
    is served without asking the mirror again.
    """

    def __init__(
        self,
        client: ClientSession,
        cache: Path,
        mirrors: Sequence[Source],
        proxies: Mapping[str, str],
        fresh: float = 3600,
    ) -> None:
        self._client = client
        self._cache = cache
        self._mirrors = {re.sub(r"^https?://", "", m.address): m.address for m in mirrors}
        self._proxies = proxies
        self._fresh = fresh
        self._fetching: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serves one file: 403 outside the mirrors, 502 where the mirror is away and nothing is cached."""
        wanted = f"{request.url.authority.removesuffix(':80')}{request.url.path}"
        address = self._address(wanted)
        if request.method not in {"GET", "HEAD"} or address is None:
            log.warning("refused: %s %s", request.method, request.url)
            return web.Response(status=403, text="only this machine's package mirrors are served\n")
        kept = Kept(self._cache, wanted)
        async with self._fetching[wanted]:
            refusal = None if kept.current(self._fresh) else await self._fetch(address, kept)
        return web.FileResponse(kept.path) if refusal is None else refusal

    def _address(self, wanted: str) -> str | None:
        """The file's address at its mirror, or None if it lies below none."""
        if ".." in wanted.split("/") or wanted.endswith("/"):
            return None
        for below, mirror in self._mirrors.items():
            if wanted.startswith(f"{below}/"):
                return mirror + wanted.removeprefix(below)
        return None

    async def _fetch(self, address: str, kept: Kept) -> web.Response | None:
        """Brings a file into the cache or learns that the one there is right; else says what is wrong."""
        headers = {"Accept-Encoding": "identity"}
        if kept.exists():
            headers["If-Modified-Since"] = kept.modified()
        proxy = self._proxies.get(address.partition(":")[0])
        try:
            async with self._client.get(address, headers=headers, proxy=proxy) as answer:
                if answer.status == 200:
                    log.info("fetching %s", address)
                    with kept.written() as file:
                        async for piece in answer.content.iter_chunked(1 << 18):
                            file.write(piece)
                elif answer.status != 304:
                    log.warning("%s: status %d", address, answer.status)
                    return web.Response(status=answer.status)
                kept.confirm(answer.headers.get("Last-Modified", ""))
        except (ClientError, TimeoutError) as error:
            log.warning("%s: %r", address, error)
            if not kept.exists():
                return web.Response(status=502, text=f"{address}: {error!r}\n")
        return None


def start(lab: Lab) -> None:
    """Starts the lab's proxy, with its socket open when this returns; does nothing if it runs."""
    if cgroups.processes(lab, MEMBER):
        return
    joined = [str(file) for file in cgroups.make(lab, MEMBER)]
    with _listen(lab) as listening, (lab.state / "proxy.log").open("a") as said:
        subprocess.run(
            ["setsid", "--fork", sys.executable, "-m", "lab.proxy", str(listening.fileno()), *joined],
            cwd=REPOSITORY,
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            check=True,
        )


def _listen(lab: Lab) -> socket.socket:
    """A listening socket in the control namespace; a socket stays in the namespace that it was made in."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as outside, (NETNS / lab.netns("control")).open() as within:
        if libc.setns(within.fileno(), NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "cannot enter the control namespace")
        try:
            return socket.create_server((str(lab.inventory.control.ip), PORT), backlog=128)
        finally:
            libc.setns(outside.fileno(), NEW_NETWORK)


async def _serve(listening: socket.socket) -> None:
    options = sources.options()
    found = {scheme: options.get(f"Acquire::{scheme}::Proxy") for scheme in ("http", "https")}
    proxies = {scheme: proxy for scheme, proxy in found.items() if proxy}
    patience = ClientTimeout(total=None, sock_connect=30, sock_read=60)
    async with ClientSession(timeout=patience, trust_env=True, auto_decompress=False) as client:
        proxy = PackageProxy(client, CACHE / "packages", sources.of_this_machine(), proxies)
        runner = web.ServerRunner(web.Server(proxy.answer, access_log=None))
        await runner.setup()
        await web.SockSite(runner, listening).start()
        await asyncio.Event().wait()


def main(listening: int, joined: Sequence[str]) -> None:
    """Joins its control groups and serves until the lab ends it."""
    for file in joined:
        Path(file).write_text(str(os.getpid()))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(_serve(socket.socket(fileno=listening)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
