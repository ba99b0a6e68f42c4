"""A download is there whole or not at all; one that broke off goes on where it stopped."""

import errno
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lucid.cli import api, download
from lucid.cli.api import ApiError, Target
from lucid.cli.bundle import fetch_bundle
from lucid.cli.download import Partial, resumable_file, whole_file
from lucid.cli.output import Failure
from lucid.contracts.api_gateway import PREFIX
from lucid.contracts.session_access import BundleQuery
from lucid.contracts.session_api import BUNDLE
from lucid.dev.servers import free_port
from lucid.kit.ranges import tag, wanted
from lucid.kit.routes import Content

SESSION = "018f2b6e-7c1d-4b3a-9e52-0c4d8a6f1b27"
BYTES = bytes(range(256)) * 8000


class TestWholeFile:
    def test_has_its_name_only_once_it_is_complete(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        with whole_file(path) as file:
            file.write(b"content")
            assert not path.exists()
        assert path.read_bytes() == b"content"
        assert list(tmp_path.iterdir()) == [path]

    def test_that_fails_leaves_the_old_one_and_no_part(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old")

        def broken_off() -> None:
            with whole_file(path) as file:
                file.write(b"half")
                raise ConnectionError

        with pytest.raises(ConnectionError):
            broken_off()
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


class TestResumableFile:
    def test_that_fails_leaves_what_has_come_and_of_what_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "file"

        def broken_off() -> None:
            with resumable_file(path) as partial:
                partial.restart('"abc"')
                partial.file.write(b"half")
                raise ConnectionError

        with pytest.raises(ConnectionError):
            broken_off()
        assert not path.exists()
        with resumable_file(path) as partial:
            assert (partial.size, partial.tag) == (4, '"abc"')
            partial.file.write(b" more")
        assert path.read_bytes() == b"half more"
        assert list(tmp_path.iterdir()) == [path]


@dataclass
class Gateway:
    """Serves BYTES as a bundle, by parts, and breaks each answer off after `most` bytes, `cuts` times."""

    cuts: int = 0
    most: int = 500_000
    etag: str = "first"
    asked: list[str | None] = field(default_factory=list)

    async def bundle(self, request: web.Request) -> web.StreamResponse:
        async def read(first: int, stop: int) -> AsyncIterator[bytes]:
            yield BYTES[first:stop]

        content = Content(read, length=len(BYTES), etag=self.etag)
        self.asked.append(request.headers.get("Range"))
        first, stop = wanted(request.headers, content) or (0, len(BYTES))
        whole = (first, stop) == (0, len(BYTES))
        answer = web.StreamResponse(status=200 if whole else 206, headers={"ETag": tag(content)})
        answer.content_length = stop - first
        await answer.prepare(request)
        if self.cuts:
            self.cuts -= 1
            await answer.write(BYTES[first : first + self.most])
            assert request.transport is not None
            request.transport.close()
            return answer
        await answer.write(BYTES[first:stop])
        await answer.write_eof()
        return answer

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Target]:
        """As a target, for somebody who has a token."""
        app = web.Application()
        app.router.add_get(f"{PREFIX}/sessions/{SESSION}/bundle", self.bundle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield Target(f"http://127.0.0.1:{port}", None, token="token")
        finally:
            await runner.cleanup()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)


class TestABundle:
    async def test_goes_on_over_connections_that_break(self, tmp_path: Path) -> None:
        gateway, path = Gateway(cuts=3), tmp_path / "bundle"
        async with gateway.serving() as target:
            assert await fetch_bundle(target, BUNDLE, BundleQuery(SESSION), path) == len(BYTES)
        assert path.read_bytes() == BYTES
        assert gateway.asked == [None, "bytes=499999-", "bytes=999998-", "bytes=1499997-"]
        assert not path.with_name("bundle.part").exists()
        assert not path.with_name("bundle.part.etag").exists()

    async def test_goes_on_in_another_run_of_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gateway, path = Gateway(cuts=1000, most=1), tmp_path / "bundle"
        monkeypatch.setattr(api, "PATIENCE_SECONDS", 0.05)
        async with gateway.serving() as target:
            with pytest.raises(ApiError):
                await fetch_bundle(target, BUNDLE, BundleQuery(SESSION), path)
            kept = path.with_name("bundle.part").stat().st_size
            assert kept == 1
            assert not path.exists()
            gateway.cuts = 0
            await fetch_bundle(target, BUNDLE, BundleQuery(SESSION), path)
        assert gateway.asked[-1] == "bytes=0-"
        assert path.read_bytes() == BYTES

    async def test_that_is_another_by_now_begins_anew(self, tmp_path: Path) -> None:
        gateway, path = Gateway(), tmp_path / "bundle"
        path.with_name("bundle.part").write_bytes(b"of an older bundle")
        path.with_name("bundle.part.etag").write_text('"older"')
        async with gateway.serving() as target:
            await fetch_bundle(target, BUNDLE, BundleQuery(SESSION), path)
        assert gateway.asked == ["bytes=17-"]
        assert path.read_bytes() == BYTES

    async def test_whose_part_is_of_nobody_knows_what_begins_anew(self, tmp_path: Path) -> None:
        gateway, path = Gateway(), tmp_path / "bundle"
        path.with_name("bundle.part").write_bytes(b"x" * (len(BYTES) + 5))
        async with gateway.serving() as target:
            await fetch_bundle(target, BUNDLE, BundleQuery(SESSION), path)
        assert gateway.asked == [None]
        assert path.read_bytes() == BYTES

    async def test_that_was_there_but_for_its_name_gets_it(self, tmp_path: Path) -> None:
        gateway, path = Gateway(), tmp_path / "bundle"
        path.with_name("bundle.part").write_bytes(BYTES)
        path.with_name("bundle.part.etag").write_text('"first"')
        async with gateway.serving() as target:
            await fetch_bundle(target, BUNDLE, BundleQuery(SESSION), path)
        assert gateway.asked == [f"bytes={len(BYTES) - 1}-"]
        assert path.read_bytes() == BYTES

    async def test_on_a_full_disk_says_so_and_does_not_try_again(self) -> None:
        gateway = Gateway()
        async with gateway.serving() as target, target.open() as api:
            with pytest.raises(Failure, match="No space left on device"):
                await download.fetch(api, BUNDLE, BundleQuery(SESSION), Partial(FullFile()), "bundle")
        assert len(gateway.asked) == 1


class FullFile(io.BytesIO):
    """A file on a full disk."""

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
