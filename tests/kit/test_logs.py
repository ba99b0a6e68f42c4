"""Logs, written by a process of their own as a service writes them."""

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import logging
from lucid.kit import context, logs, settings
from lucid.kit.logs import log
logs.configure("session-api", "INFO")
log.info("before")
context.request_id.set("request-0001")
import structlog
structlog.contextvars.bind_contextvars(session="s-1")
log.warning("with fields", number=7, secret=settings.Secret(b"horse"), raw=b"bytes", error=ValueError("x"))
log.debug("too low")
log.info("several\\nlines", text="a\\nb")
log.info("not UTF-8", header="\\udcff", key={(1, 2): 3})
try:
    raise RuntimeError("boom")
except RuntimeError:
    log.exception("failed")
logging.getLogger("gunicorn.error").info("from %s", "elsewhere")
logging.getLogger("pymongo.command").info("too chatty")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("library").exception("theirs")
"""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestEveryLine:
    def test_is_one_json_object(self, lines: list[dict[str, Any]]) -> None:
        assert [line["event"].strip("'") for line in lines] == [
            "before", "with fields", "several\nlines", "not UTF-8", "failed", "from elsewhere", "theirs",
        ]  # fmt: skip

    def test_says_who_when_and_how_bad(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            assert line["service"].strip("'") == "session-api"
            assert line["timestamp"].strip("'").endswith("Z")
            assert line["level"].strip("'") in {"info", "warning", "error"}

    def test_has_the_request_id_and_what_was_bound(self, lines: list[dict[str, Any]]) -> None:
        assert [line["request_id"].strip("'") for line in lines] == ["-"] + ["request-0001"] * 6
        assert all(line["session"].strip("'") == "s-1" for line in lines[1:])


class TestWhatALineCarries:
    def test_is_shown_without_secrets(self, lines: list[dict[str, Any]]) -> None:
        assert lines[1]["number"] == 7
        assert lines[1]["secret"] == "Secret(***)"
        assert lines[1]["error"] == "ValueError('x')"

    def test_is_kept_even_if_json_cannot_say_it(self, lines: list[dict[str, Any]]) -> None:
        assert lines[3]["header"] == r"'\udcff'"

    def test_is_the_trace_of_a_failure(self, lines: list[dict[str, Any]]) -> None:
        assert "RuntimeError: boom" in lines[4]["exception"]
        assert "ZeroDivisionError" in lines[6]["exception"]
