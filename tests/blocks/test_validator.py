"""A validator judges blocks and never signs two histories."""

from pathlib import Path

import msgspec
import pytest

from lucid.blocks.proposal import Waiting, propose
from lucid.blocks.state import InvalidBlock
from lucid.blocks.validator import MAX_AHEAD_MS, ForkError, Validator, judge
from lucid.evidence import checkpoint, dsse, merkle, statements
from lucid.evidence.block import Header, Vote
from tests.blocks.world import ORIGIN, START_MS, Signer, genesis, seed

GENESIS, EMPTY = genesis("validator")


@pytest.fixture
def validator(tmp_path: Path) -> Validator:
    return Validator("validator", seed("validator"), tmp_path / "cosigned")


def header_of(log: merkle.Tree) -> Header:
    return msgspec.structs.replace(GENESIS, log_size=len(log), log_root=log.root().hex())


def log_of(*leaves: bytes) -> merkle.Tree:
    return merkle.Tree(merkle.leaf_hash(leaf) for leaf in leaves)


class TestJudging:
    def test_a_sound_block_gives_the_state_after_it(self, validator: Validator) -> None:
        entry = Signer("recorder").registration()
        made = propose(
            GENESIS, EMPTY, [Waiting("0" * 64, entry)], proposer=validator.key_id, time_ms=START_MS + 1
        )
        after = judge(
            GENESIS,
            EMPTY,
            made.header,
            made.transactions,
            validators=[validator.cosigner],
            now_ms=START_MS + 1,
        )
        assert after.log.size == 2

    def test_a_stranger_may_not_propose(self, validator: Validator) -> None:
        made = propose(GENESIS, EMPTY, [], proposer="0" * 64, time_ms=START_MS + 1)
        with pytest.raises(InvalidBlock, match="no admitted validator"):
            judge(GENESIS, EMPTY, made.header, (), validators=[validator.cosigner], now_ms=START_MS)

    def test_a_block_from_the_future_is_invalid(self, validator: Validator) -> None:
        time_ms = START_MS + MAX_AHEAD_MS + 1
        made = propose(GENESIS, EMPTY, [], proposer=validator.key_id, time_ms=time_ms)
        with pytest.raises(InvalidBlock, match="ahead of this validator's clock"):
            judge(GENESIS, EMPTY, made.header, (), validators=[validator.cosigner], now_ms=START_MS)

    def test_the_earliest_time_that_the_block_before_allows_is_never_the_future(
        self, validator: Validator
    ) -> None:
        made = propose(GENESIS, EMPTY, [], proposer=validator.key_id, time_ms=START_MS + 1)
        set_back = START_MS - 3_600_000
        judge(GENESIS, EMPTY, made.header, (), validators=[validator.cosigner], now_ms=set_back)
        later = propose(GENESIS, EMPTY, [], proposer=validator.key_id, time_ms=START_MS + 2)
        with pytest.raises(InvalidBlock, match="ahead of this validator's clock"):
            judge(GENESIS, EMPTY, later.header, (), validators=[validator.cosigner], now_ms=set_back)


class TestSigning:
    def test_a_vote_is_a_verifiable_envelope(self, validator: Validator) -> None:
        envelope = dsse.parse(validator.vote(GENESIS, "reject").encode())
        vote = statements.verify(envelope, Vote, validator.cosigner.public_key)
        assert (vote.chain, vote.height, vote.verdict) == (ORIGIN, 0, "reject")

    def test_what_was_cosigned_is_remembered_across_restarts(
        self, validator: Validator, tmp_path: Path
    ) -> None:
        log = log_of(b"one", b"two")
        validator.cosign(header_of(log), log, 1)
        restarted = Validator("validator", seed("validator"), tmp_path / "cosigned")
        assert restarted.remembered() == checkpoint.parse_body(checkpoint.body(header_of(log)))

    @pytest.mark.parametrize(
        "other",
        [log_of(b"one"), log_of(b"one", b"another"), log_of(b"zero", b"two", b"three")],
        ids=["set back", "exchanged", "rewritten and longer"],
    )
    def test_a_log_that_does_not_extend_it_is_not_cosigned(
        self, validator: Validator, other: merkle.Tree
    ) -> None:
        log = log_of(b"one", b"two")
        validator.cosign(header_of(log), log, 1)
        with pytest.raises(ForkError, match="restore newer data"):
            validator.cosign(header_of(other), other, 2)

    def test_a_log_that_extends_it_is(self, validator: Validator) -> None:
        for log in (log_of(b"one"), log_of(b"one", b"two"), log_of(b"one", b"two", b"three")):
            line = validator.cosign(header_of(log), log, 5)
            note = checkpoint.parse_note(checkpoint.write_note(checkpoint.body(header_of(log)), [line]))
            assert checkpoint.verify_cosignatures(note, [validator.cosigner]).times == {"validator": 5}

    def test_a_damaged_memory_stops_it(self, validator: Validator, tmp_path: Path) -> None:
        (tmp_path / "cosigned").write_text("what?")
        with pytest.raises(ForkError, match="is damaged"):
            validator.remembered()
