"""The package proxy serves the machine's mirrors and nothing else, and fetches each file once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession, web
from aiohttp.test_utils import BaseTestServer, RawTestServer
from yarl import URL

from lab.proxy import PackageProxy
from lab.sources import Source

CHANGED = "Sat, 21 Nov 2026 00:00:00 GMT"


@dataclass
class Mirror:
    """A real mirror: what it serves, and how often each file was asked for and sent."""

    files: dict[str, bytes]
    sent: Counter[str] = field(default_factory=Counter)
    confirmed: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        name = request.path.removeprefix("/debian/")
        if name not in self.files:
            return web.Response(status=404)
        if request.headers.get("If-Modified-Since") == CHANGED:
            self.confirmed[name] += 1
            return web.Response(status=304)
        self.sent[name] += 1
        await asyncio.sleep(0.05)
        return web.Response(body=self.files[name], headers={"Last-Modified": CHANGED})


@dataclass
class Setup:
    """A proxy in front of a mirror, and a client that knows no other way."""

    mirror: Mirror
    server: BaseTestServer
    client: ClientSession
    proxy: str

    async def get(self, address: str) -> tuple[int, bytes]:
        async with self.client.get(address, proxy=self.proxy) as answer:
            return answer.status, await answer.read()

    def at_mirror(self, name: str) -> str:
        return str(self.server.make_url(f"/debian/{name}"))


@asynccontextmanager
async def running(cache: Path, fresh: float = 3600) -> AsyncIterator[Setup]:
    mirror = Mirror({"pool/a_1.deb": b"package", "dists/InRelease": b"index"})
    async with RawTestServer(mirror.answer) as server, ClientSession() as client:
        source = Source(str(server.make_url("/debian")), ("stable",), ("main",), "")
        proxy = PackageProxy(client, cache, [source], {}, fresh)
        async with RawTestServer(proxy.answer) as front:
            yield Setup(mirror, server, client, str(front.make_url("")))


class TestWhatIsServed:
    async def test_hosts_that_ask_for_a_package_at_once_cause_one_download(self, tmp_path: Path) -> None:
        async with running(tmp_path) as setup:
            package = setup.at_mirror("pool/a_1.deb")
            assert await asyncio.gather(*(setup.get(package) for _ in range(8))) == [(200, b"package")] * 8
            assert setup.mirror.sent["pool/a_1.deb"] == 1

    async def test_an_old_index_is_asked_for_and_not_sent_if_it_is_the_same(self, tmp_path: Path) -> None:
        async with running(tmp_path, fresh=0) as setup:
            index = setup.at_mirror("dists/InRelease")
            assert [await setup.get(index) for _ in range(2)] == [(200, b"index")] * 2
            assert (setup.mirror.sent, setup.mirror.confirmed) == (
                Counter({"dists/InRelease": 1}),
                Counter({"dists/InRelease": 1}),
            )

    async def test_a_package_is_never_asked_for_again(self, tmp_path: Path) -> None:
        async with running(tmp_path, fresh=0) as setup:
            package = setup.at_mirror("pool/a_1.deb")
            assert [await setup.get(package) for _ in range(2)] == [(200, b"package")] * 2
            assert not setup.mirror.confirmed

    async def test_what_is_cached_is_served_while_the_mirror_is_away(self, tmp_path: Path) -> None:
        async with running(tmp_path, fresh=0) as setup:
            index, package = setup.at_mirror("dists/InRelease"), setup.at_mirror("pool/a_1.deb")
            await setup.get(index)
            await setup.server.close()
            assert await setup.get(index) == (200, b"index")
            assert (await setup.get(package))[0] == 502


class TestWhatIsRefused:
    async def test_an_address_below_no_mirror(self, tmp_path: Path) -> None:
        async with running(tmp_path) as setup:
            for address in ("http://elsewhere.invalid/debian/x", str(setup.server.make_url("/other/x"))):
                assert (await setup.get(address))[0] == 403

    async def test_a_path_that_climbs_out_of_the_mirror(self, tmp_path: Path) -> None:
        async with running(tmp_path) as setup:
            climbing = URL(setup.at_mirror("") + "%2e%2e/%2e%2e/secret", encoded=True)
            async with setup.client.get(climbing, proxy=setup.proxy) as answer:
                assert answer.status == 403

    async def test_a_file_that_the_mirror_does_not_have_is_not_cached(self, tmp_path: Path) -> None:
        async with running(tmp_path) as setup:
            late = setup.at_mirror("pool/late.deb")
            assert (await setup.get(late))[0] == 404
            setup.mirror.files["pool/late.deb"] = b"late"
            assert await setup.get(late) == (200, b"late")
