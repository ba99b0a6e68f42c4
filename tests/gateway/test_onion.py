"""How the gateway sees Tor: by a file alone, and whatever is wrong with it counts as down."""

from pathlib import Path

import msgspec
import pytest

from lucid.gateway.onion import STALE_SECONDS, Status, check, judge, read
from lucid.kit.errors import Unavailable

GOOD = Status(at=1000.0, bootstrap=100, circuits=True, summary="Done", error="")


def test_tor_is_well_when_it_was_connected_lately() -> None:
    for now in (1000.0, 1000.0 + STALE_SECONDS):
        judge(GOOD, now)


@pytest.mark.parametrize(
    ("change", "now", "words"),
    [
        ({}, 1061.0, "nobody has asked Tor for 61 s"),
        ({}, 900.0, "nobody has asked Tor for -100 s"),
        ({"bootstrap": 10, "summary": "Connecting"}, 1000.0, "at 10 % of its start: Connecting"),
        ({"circuits": False}, 1000.0, "no circuit"),
        ({"error": "Connection refused"}, 1000.0, "cannot be asked: Connection refused"),
    ],
)
def test_everything_else_is_down_and_says_why(change: dict[str, object], now: float, words: str) -> None:
    with pytest.raises(Unavailable, match=words):
        judge(msgspec.structs.replace(GOOD, **change), now)


async def test_a_file_that_is_missing_or_makes_no_sense_is_down(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    with pytest.raises(Unavailable, match="No such file"):
        await check(file)()
    for content in (b"", b"{}", b'{"at": "now"}'):
        file.write_bytes(content)
        with pytest.raises(Unavailable, match=r"status\.json"):
            await check(file)()
    file.write_bytes(msgspec.json.encode(GOOD))
    assert read(file) == GOOD
