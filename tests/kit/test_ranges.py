"""Parts of answers, by RFC 9110, section 14."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.kit import app, ranges
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, LucidError
from lucid.kit.ranges import Unsatisfiable, wanted
from lucid.kit.routes import NOTHING, Content, Nothing, Route, Stream
from tests.kit import live

BYTES = bytes(range(256)) * 40
SERVICE, CALLER = "session-storage", "session-api"


def content(length: int = 100) -> Content:
    async def read(first: int, stop: int) -> AsyncIterator[bytes]:
        yield BYTES[first:stop]

    return Content(read, length=length, etag="abc", filename="a.mp4")


class TestWhatIsAskedFor:
    @pytest.mark.parametrize(
        ("header", "span"),
        [
            ("bytes=0-0", (0, 1)),
            ("bytes=10-19", (10, 20)),
            ("bytes=10-", (10, 100)),
            ("bytes=10-1000", (10, 100)),
            ("bytes=-10", (90, 100)),
            ("bytes=-1000", (0, 100)),
            ("Bytes= 99-", (99, 100)),
        ],
    )
    def test_is_one_range(self, header: str, span: tuple[int, int]) -> None:
        assert wanted({"Range": header}, content()) == span

    @pytest.mark.parametrize(
        "header",
        ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2",
         "bytes=+1-2", "bytes=1-2-3", "bytes=" + "9" * 40 + "-", "bytes=1 -2"],
    )  # fmt: skip
    def test_is_everything_where_the_range_is_not_one(self, header: str) -> None:
        assert wanted({"Range": header}, content()) is None

    @pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
    def test_cannot_begin_behind_the_end(self, header: str) -> None:
        with pytest.raises(Unsatisfiable):
            wanted({"Range": header}, content())

    def test_has_no_part_where_there_is_nothing(self) -> None:
        for header in ("bytes=0-", "bytes=-1"):
            with pytest.raises(Unsatisfiable):
                wanted({"Range": header}, content(0))

    @pytest.mark.parametrize(
        ("condition", "met"),
        [('"abc"', True), ('W/"abc"', False), ('"abd"', False), ("abc", False),
         ("Sat, 29 Oct 1994 19:43:31 GMT", False), ("", False)],
    )  # fmt: skip
    def test_is_everything_unless_the_tag_is_this_very_content_s(self, condition: str, met: bool) -> None:
        found = wanted({"Range": "bytes=10-", "If-Range": condition}, content())
        assert found == ((10, 100) if met else None)

    @given(st.text(max_size=30), st.integers(0, 1000))
    def test_is_always_within_the_content(self, text: str, length: int) -> None:
        try:
            span = wanted({"Range": "bytes=" + text}, content(length))
        except Unsatisfiable:
            return
        if span is not None:
            assert 0 <= span[0] < span[1] <= length


DOWNLOAD: Route[Nothing, Nothing, Stream] = Route(
    SERVICE, "GET", "/download", Nothing, Nothing, Stream, "For a test", media="video/mp4"
)
handlers = app.Handlers()


@handlers.on(DOWNLOAD)
async def download(_: app.Call, __: Nothing, ___: Nothing) -> Stream:
    return content(len(BYTES))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[live.House]:
    made = live.House(tmp_path, SERVICE, CALLER)
    async with made.serve(app.build(SERVICE, handlers), SERVICE):
        yield made


@pytest.fixture
async def client(house: live.House) -> AsyncIterator[ServiceClient]:
    async with house.calling(CALLER, session_storage=house.url(SERVICE)) as made:
        yield made


class TestAnAnswer:
    async def test_says_that_parts_of_it_can_be_had(self, house: live.House) -> None:
        async with house.asking(CALLER, SERVICE) as asker, asker.ask("GET", "/download") as answer:
            assert await answer.read() == BYTES
            assert answer.status == 200
            assert answer.headers["Accept-Ranges"] == "bytes"
            assert answer.headers["ETag"] == ranges.tag(content())
            assert "Content-Range" not in answer.headers

    async def test_is_the_part_that_was_asked_for(self, house: live.House) -> None:
        headers = {"Range": "bytes=300-399", "If-Range": '"abc"'}
        async with (
            house.asking(CALLER, SERVICE) as asker,
            asker.ask("GET", "/download", headers=headers) as answer,
        ):
            assert answer.status == 206
            assert await answer.read() == BYTES[300:400]
            assert answer.headers["Content-Range"] == f"bytes 300-399/{len(BYTES)}"
            assert answer.content_length == 100
            assert answer.content_type == "video/mp4"

    async def test_of_a_range_behind_the_end_is_416_with_the_length(self, house: live.House) -> None:
        headers = {"Range": f"bytes={len(BYTES)}-"}
        async with (
            house.asking(CALLER, SERVICE) as asker,
            asker.ask("GET", "/download", headers=headers) as answer,
        ):
            assert answer.status == 416
            assert answer.headers["Content-Range"] == f"bytes */{len(BYTES)}"
            assert (await answer.json())["error"]["code"] == Code.OUT_OF_RANGE.label


class TestTheServiceClient:
    async def test_reads_a_part(self, client: ServiceClient) -> None:
        pieces = [piece async for piece in client.stream(DOWNLOAD, NOTHING, part=(5, 10_000))]
        assert b"".join(pieces) == BYTES[5:10_000]

    async def test_gets_the_refusal_of_a_part_that_is_not_there(self, client: ServiceClient) -> None:
        with pytest.raises(LucidError) as refused:
            await anext(client.stream(DOWNLOAD, NOTHING, part=(20_000, 20_001)))
        assert refused.value.code is Code.OUT_OF_RANGE
