"""The envelope, there and back."""

import msgspec
import pytest

from lucid.kit import errors
from lucid.kit.errors import BY_LABEL, Code, Conflict, Envelope, LucidError, envelope, from_envelope


def sent(error: LucidError) -> bytes:
    return envelope(error, request_id="request-1", service="session-api", version="1.2.3")


class TestEnvelope:
    def test_says_all_that_the_reference_asks_for(self) -> None:
        body = msgspec.json.decode(sent(Conflict("it is there", name="x")))
        assert body["error"].pop("timestamp").endswith("Z")
        assert body == {
            "error": {
                "code": "LUCID_ERR_4011",
                "message": "it is there",
                "details": {"name": "x"},
                "request_id": "request-1",
                "service": "session-api",
                "version": "1.2.3",
            }
        }

    def test_time_is_rfc_3339_in_utc(self) -> None:
        timestamp = msgspec.json.decode(sent(Conflict("no")), type=Envelope).error.timestamp
        assert len(timestamp) == len("2026-01-01T00:00:00.000Z")

    @pytest.mark.parametrize("code", list(Code))
    def test_comes_back_with_its_code_and_its_kind(self, code: Code) -> None:
        back = from_envelope(sent(LucidError("no", code=code, a=1)), code.status, "x")
        assert (back.code, back.message, back.details) == (code, "no", {"a": 1})
        assert type(back) is not LucidError

    @pytest.mark.parametrize(
        "kind",
        [
            errors.Invalid, errors.Unauthenticated, errors.Forbidden, errors.Limited, errors.NotFound,
            errors.Conflict, errors.Unavailable, errors.StorageFull,
        ],
    )  # fmt: skip
    def test_of_each_kind_comes_back_as_that_kind(self, kind: type[LucidError]) -> None:
        assert type(from_envelope(sent(kind("no")), kind.default.status, "x")) is kind

    def test_may_have_details_of_any_name(self) -> None:
        error = Conflict("no")
        error.details = {"message": 1, "code": 2, "self": 3}
        assert from_envelope(sent(error), 409, "x").details == error.details

    @pytest.mark.parametrize(
        "body",
        [b"", b"<p>", b"{}", b'{"error": {"code": "LUCID_ERR_4011"}}', b'{"error": "\xff"}', b"null"],
    )
    def test_that_is_none_is_the_callee_s_fault(self, body: bytes) -> None:
        back = from_envelope(body, 418, "session-api")
        assert back.code is Code.EXTERNAL
        assert "session-api answered 418" in back.message

    def test_with_a_code_that_is_not_known_is_the_callee_s_fault(self) -> None:
        body = sent(Conflict("no")).replace(b"4011", b"9999")
        assert from_envelope(body, 409, "x").code is Code.EXTERNAL


class TestCodes:
    def test_have_one_number_each(self) -> None:
        assert len(BY_LABEL) == len(Code)

    def test_have_the_status_of_their_range(self) -> None:
        ranges = {1: {400, 413}, 2: {401, 403}, 3: {429}, 4: {404, 405, 409, 413, 503}}
        for code in Code:
            assert code.status in ranges.get(code.number // 1000, {500, 502, 503, 504, 507}), code
