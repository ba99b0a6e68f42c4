"""Trust policies and the document of what was agreed on for a session."""

import hashlib
import json
from typing import Any

import msgspec
import pytest

from lucid.evidence import canonical, dsse, policy
from lucid.evidence.errors import EvidenceError, FormatError, SignatureError
from lucid.evidence.policy import Channels, Clipboard, Input, PolicyDocument, Recorded, TrustPolicy
from lucid.evidence.registration import Registration
from tests.evidence.world import private_key, public_key

OWNER = private_key("policy", "owner")
STRANGER = private_key("policy", "a stranger")
KEY = public_key(OWNER).hex()
NOTHING = TrustPolicy(name="locked", owner_key=KEY)
EVERYTHING = TrustPolicy(
    name="trusted",
    input=Input(mouse=True, keyboard=True),
    clipboard=Clipboard(to_desktop=True, from_desktop=True),
    record=Recorded(input=True, clipboard=True),
    on_recorder_loss="gap",
    owner_key=KEY,
)
FIELDS: dict[str, Any] = {
    "idle_seconds": 900, "name": "locked", "on_recorder_loss": "end", "owner_key": KEY,
    "session_seconds": 28_800, "v": 1,
}  # fmt: skip

RECORDING: dict[str, Any] = {
    "frame_rate": 30, "max_bytes": 10 * 1024**3, "quality": "high", "retention_days": 30,
}  # fmt: skip


def signed(fields: dict[str, Any], **channels: Any) -> bytes:
    """An envelope by the owner of whatever fields, in canonical form."""
    data = json.dumps(fields | channels, sort_keys=True, separators=(",", ":")).encode()
    return dsse.sign(TrustPolicy.PAYLOAD_TYPE, data, OWNER)


@pytest.mark.parametrize("made", [NOTHING, EVERYTHING])
def test_a_policy_comes_back_as_its_owner_signed_it(made: TrustPolicy) -> None:
    assert policy.verify(policy.sign(made, OWNER)) == made


def test_its_hash_is_that_of_its_bytes() -> None:
    body = dsse.parse(policy.sign(EVERYTHING, OWNER)).body
    assert policy.digest(EVERYTHING) == hashlib.sha256(body).hexdigest()
    assert policy.digest(NOTHING) != policy.digest(EVERYTHING)


class TestWhatIsNotNamed:
    def test_is_off(self) -> None:
        assert policy.verify(signed(FIELDS)) == NOTHING
        assert policy.allowed(NOTHING) == ()

    def test_is_not_written(self) -> None:
        assert json.loads(canonical.encode(NOTHING)) == FIELDS
        mouse = msgspec.structs.replace(NOTHING, input=Input(mouse=True))
        assert json.loads(canonical.encode(mouse)) == FIELDS | {"input": {"mouse": True}}

    @pytest.mark.parametrize(
        "other", [{"input": {}}, {"input": {"mouse": False}}, {"clipboard": {"to_desktop": False}},
                  {"record": {}}, {"record": {"input": False}}],
    )  # fmt: skip
    def test_has_no_second_spelling(self, other: dict[str, Any]) -> None:
        with pytest.raises(FormatError, match="not canonical"):
            policy.verify(signed(FIELDS, **other))

    def test_has_a_name_that_says_what_it_is(self) -> None:
        channels = {
            f"{group.name}.{channel.name}"
            for group in msgspec.structs.fields(TrustPolicy)
            if isinstance(group.default, Channels)
            for channel in msgspec.structs.fields(type(group.default))
        }
        assert channels == set(policy.CHANNELS) == set(policy.allowed(EVERYTHING))
        assert policy.words(NOTHING) == "'locked' allows nothing"
        assert policy.words(
            msgspec.structs.replace(NOTHING, input=Input(mouse=True), clipboard=Clipboard(from_desktop=True))
        ) == ("'locked' allows mouse, clipboard from the desktop; nothing else")


class TestWhatIsRecordedBesideThePicture:
    def test_is_nothing_unless_it_is_said(self) -> None:
        assert policy.recorded(NOTHING) == ()
        assert b"record" not in canonical.encode(NOTHING).replace(b"on_recorder_loss", b"")

    def test_is_no_channel(self) -> None:
        only = msgspec.structs.replace(NOTHING, record=Recorded(input=True))
        assert (policy.recorded(only), policy.allowed(only)) == (("input",), ())
        assert json.loads(canonical.encode(only)) == FIELDS | {"record": {"input": True}}

    def test_is_said_in_words(self) -> None:
        assert set(policy.EVENTS) == set(Recorded.__struct_fields__) == set(policy.recorded(EVERYTHING))
        only = msgspec.structs.replace(NOTHING, record=Recorded(clipboard=True, input=True))
        assert policy.words(only) == (
            "'locked' allows nothing; recorded beside the picture: keys, clicks and movements and"
            " what the clipboard holds"
        )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"record": True}, "record"),
        ({"record": {"sound": True}}, "sound"),
        ({"drive": {"read": True}}, "drive"),
        ({"input": {"touch": True}}, "touch"),
        ({"input": {"mouse": 1}}, "mouse"),
        ({"input": True}, "input"),
        ({"clipboard": None}, "clipboard"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "line\n"}, "name"),
        ({"idle_seconds": 59}, "idle_seconds"),
        ({"idle_seconds": 86_401}, "idle_seconds"),
        ({"session_seconds": 59}, "session_seconds"),
        ({"session_seconds": 604_801}, "session_seconds"),
        ({"session_seconds": 900.5}, "session_seconds"),
        ({"on_recorder_loss": "shrug"}, "on_recorder_loss"),
        ({"owner_key": KEY.upper()}, "owner_key"),
        ({"v": 2}, "v"),
    ],
)
def test_what_breaks_a_field_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        policy.verify(signed(FIELDS, **change))


@pytest.mark.parametrize("name", FIELDS)
def test_no_field_but_a_channel_may_be_left_out(name: str) -> None:
    with pytest.raises(FormatError, match="TrustPolicy"):
        policy.verify(signed({key: value for key, value in FIELDS.items() if key != name}))


class TestItsSignature:
    def test_is_made_with_the_key_that_it_names(self) -> None:
        with pytest.raises(SignatureError, match="owner_key"):
            policy.sign(NOTHING, STRANGER)

    def test_by_another_key_is_refused(self) -> None:
        with pytest.raises(SignatureError, match="signed by key"):
            policy.verify(dsse.sign(TrustPolicy.PAYLOAD_TYPE, canonical.encode(NOTHING), STRANGER))

    def test_under_the_owners_name_is_refused(self) -> None:
        theirs = json.loads(dsse.sign(TrustPolicy.PAYLOAD_TYPE, canonical.encode(NOTHING), STRANGER))
        theirs["signatures"][0]["keyid"] = NOTHING.key_id
        with pytest.raises(SignatureError, match="does not cover"):
            policy.verify(json.dumps(theirs, sort_keys=True, separators=(",", ":")).encode())

    def test_of_another_kind_of_statement_is_refused(self) -> None:
        with pytest.raises(SignatureError, match="registration"):
            policy.verify(dsse.sign(Registration.PAYLOAD_TYPE, canonical.encode(NOTHING), OWNER))

    @pytest.mark.parametrize("data", [b"", b"{}", b" " + policy.sign(NOTHING, OWNER)])
    def test_is_in_one_envelope_and_nothing_else(self, data: bytes) -> None:
        with pytest.raises(FormatError, match="envelope"):
            policy.verify(data)


class TestADocument:
    def test_without_a_trust_policy_has_the_recordings_fields_alone(self) -> None:
        data = canonical.encode(PolicyDocument(**RECORDING))
        assert data == b'{"frame_rate":30,"max_bytes":10737418240,"quality":"high","retention_days":30}'
        assert policy.read(data).trust_policy is None

    def test_with_one_holds_its_envelope_as_it_was_signed(self) -> None:
        envelope = policy.sign(EVERYTHING, OWNER)
        data = canonical.encode(PolicyDocument(**RECORDING, trust=envelope.decode()))
        assert json.loads(data)["trust"].encode() == envelope
        assert policy.read(data).trust_policy == EVERYTHING

    def test_with_the_longest_policy_fits(self) -> None:
        long = msgspec.structs.replace(EVERYTHING, name="\U0001f512" * 100, idle_seconds=86_400)
        envelope = policy.sign(long, OWNER).decode()
        data = canonical.encode(PolicyDocument(**RECORDING, trust=envelope))
        assert policy.read(data).trust_policy == long
        assert len(data) < policy.DOCUMENT_LIMIT / 4

    @pytest.mark.parametrize(
        "change",
        [
            {"trust": None}, {"trust": ""}, {"trust": {}}, {"frame_rate": 0}, {"max_bytes": "all"},
            {"quality": "best"}, {"retention_days": 366}, {"colour": True},
            {"trust": dsse.sign(TrustPolicy.PAYLOAD_TYPE, canonical.encode(NOTHING), STRANGER).decode()},
        ],
    )  # fmt: skip
    def test_that_is_none_is_refused(self, change: dict[str, Any]) -> None:
        data = json.dumps(RECORDING | change, sort_keys=True, separators=(",", ":")).encode()
        with pytest.raises(EvidenceError):
            policy.read(data)
