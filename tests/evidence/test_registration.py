"""Registrations of keys, and the genesis."""

import msgspec
import pytest

from lucid.evidence import block, dsse, log, merkle, registration, statements
from lucid.evidence.errors import EvidenceError, FormatError, SignatureError
from lucid.evidence.registration import Genesis, Registration
from tests.evidence.world import ORIGIN, World, public_key

WORLD = World()
KEY = WORLD.key("recorder")
REGISTRATION = Registration(role="recorder", public_key=public_key(KEY).hex(), host="desk1", time_ms=1)
GENESIS = registration.verify_genesis(log.parse_entry(WORLD.entries[0]))


class TestRegistration:
    def test_is_signed_by_the_key_that_it_introduces(self) -> None:
        envelope = dsse.parse(statements.sign(REGISTRATION, KEY))
        assert registration.verify_registration(envelope) == REGISTRATION
        assert REGISTRATION.key_id == envelope.signer

    def test_nobody_registers_a_key_that_they_do_not_hold(self) -> None:
        envelope = dsse.parse(statements.sign(REGISTRATION, WORLD.key("somebody else")))
        with pytest.raises(SignatureError, match="not by"):
            registration.verify_registration(envelope)

    def test_another_statement_is_not_a_registration(self) -> None:
        with pytest.raises(SignatureError, match="manifest"):
            registration.verify_registration(dsse.parse(statements.sign(WORLD.manifest, KEY)))


class TestGenesis:
    def test_is_signed_by_its_first_validator_and_gives_block_0(self) -> None:
        header = block.genesis_header(WORLD.entries[0])
        assert (header.chain, header.height, header.log_size) == (ORIGIN, 0, 1)
        assert header.log_root == merkle.leaf_hash(WORLD.entries[0]).hex()
        assert header.proposer == dsse.key_id(bytes.fromhex(GENESIS.validators[0].public_key))

    def test_another_validator_cannot_sign_it(self) -> None:
        entry = statements.sign(GENESIS, WORLD.key(WORLD.validator_names[1]))
        with pytest.raises(SignatureError, match="not by"):
            block.genesis_header(entry)

    def test_another_entry_is_not_a_genesis(self) -> None:
        with pytest.raises(EvidenceError, match="genesis"):
            block.genesis_header(WORLD.entries[1])

    def test_validators_are_distinct(self) -> None:
        first, second = GENESIS.validators[:2]
        for twin, problem in (
            (msgspec.structs.replace(second, name=first.name), "share a name"),
            (msgspec.structs.replace(second, public_key=first.public_key), "share a public_key"),
        ):
            with pytest.raises(ValueError, match=problem):
                msgspec.structs.replace(GENESIS, validators=(first, twin))

    def test_needs_a_validator_and_a_name_that_fits_a_checkpoint(self) -> None:
        for change in ({"validators": ()}, {"origin": "two words"}, {"block_time_ms": 0}):
            genesis: Genesis = msgspec.structs.replace(GENESIS, **change)
            with pytest.raises(FormatError, match=next(iter(change))):
                statements.sign(genesis, KEY)
