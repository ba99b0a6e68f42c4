"""blockchain-engine over HTTP: its answers hold against the published rules, not only against itself."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from lucid.blocks import engine_settings
from lucid.blocks.engine import RUNNER
from lucid.blocks.entries import LogEntry
from lucid.contracts import blockchain_engine as contract
from lucid.dev import servers
from lucid.dev.processes import Processes
from lucid.evidence import block, checkpoint, dsse, merkle, statements, trust
from lucid.evidence.block import Vote
from lucid.kit.errors import Code, Invalid, LucidError, NotFound, Unavailable
from lucid.kit.routes import NOTHING, Nothing, Route, Stream
from lucid.kit.settings import SettingsError
from lucid.kit.tls import internal_name
from tests.blocks.world import Signer, genesis_entry, recording, session_id
from tests.deployment import Deployment, deployment

CALLER = "session-anchoring"
RECORDER = Signer("recorder")
ENTRIES = [RECORDER.registration(), *recording(RECORDER, session_id(1), anchors=6)]


@pytest.fixture
async def chain(tmp_path: Path, mongodb_url: str) -> AsyncIterator[Deployment]:
    async with deployment(tmp_path, mongodb_url, "", BLOCK_TIME_SECONDS="0.1") as made:
        await made.start("blockchain-engine")
        await published(made, 1)
        yield made


@pytest.fixture
async def sealed(chain: Deployment) -> Deployment:
    """A chain whose checkpoint covers ENTRIES."""
    await submit(chain, *ENTRIES)
    await published(chain, 1 + len(ENTRIES))
    return chain


async def submit(made: Deployment, *entries: LogEntry) -> contract.Accepted:
    body = contract.Transaction("session_anchor", tuple(entry.data.decode() for entry in entries))
    return await made.call(CALLER, contract.SUBMIT, NOTHING, body)


async def stands(made: Deployment, entry: LogEntry) -> contract.Entry:
    return await made.call(CALLER, contract.ENTRY, contract.EntryPath(entry.hash))


async def published(made: Deployment, size: int) -> None:
    """Wait until a checkpoint covers `size` entries."""
    runner = made.apps["blockchain-engine"][RUNNER]
    async with asyncio.timeout(10):
        while True:
            try:
                found = runner.chain.published
            except Unavailable:
                found = None
            if found and found.header.log_size >= size:
                return
            await asyncio.sleep(0.02)


async def read(made: Deployment, route: Route[Nothing, Nothing, Stream]) -> bytes:
    client = await made.client(CALLER)
    return b"".join([piece async for piece in client.stream(route, NOTHING)])


async def trusted(made: Deployment) -> trust.Trust:
    return trust.parse(await read(made, contract.TRUST))


def raw(hashes: tuple[str, ...]) -> list[bytes]:
    return [bytes.fromhex(each) for each in hashes]


class TestProofs:
    async def test_the_checkpoint_is_cosigned_by_a_quorum_of_the_trust_file(self, sealed: Deployment) -> None:
        told = await trusted(sealed)
        note = checkpoint.parse_note(await read(sealed, contract.CHECKPOINT))
        assert len(checkpoint.verify_cosignatures(note, told.validators).times) >= told.quorum
        assert checkpoint.parse_body(note.body).size == 1 + len(ENTRIES)

    async def test_each_entry_is_proven_to_the_checkpoint(self, sealed: Deployment) -> None:
        signed = checkpoint.parse_body(checkpoint.parse_note(await read(sealed, contract.CHECKPOINT)).body)
        for index, entry in enumerate(ENTRIES, 1):
            proof = await sealed.call(CALLER, contract.INCLUSION, contract.InclusionQuery(entry.hash))
            assert (proof.index, proof.size, proof.root) == (index, signed.size, signed.root.hex())
            merkle.verify_inclusion(
                merkle.leaf_hash(entry.data), index, signed.size, raw(proof.proof), signed.root
            )

    async def test_growth_is_proven_between_any_two_sizes(self, sealed: Deployment) -> None:
        for first, second in ((1, 3), (3, 8), (8, 8)):
            roots = [await root_of_size(sealed, size) for size in (first, second)]
            query = contract.ConsistencyQuery(first, second)
            answer = await sealed.call(CALLER, contract.CONSISTENCY, query)
            merkle.verify_consistency(first, second, roots[0], roots[1], raw(answer.proof))

    async def test_evidence_is_one_snapshot_that_an_outsider_can_check(self, sealed: Deployment) -> None:
        told = await trusted(sealed)
        wanted = (ENTRIES[4].hash, ENTRIES[0].hash, ENTRIES[-1].hash)
        answer = await sealed.call(CALLER, contract.EVIDENCE, NOTHING, contract.EvidenceQuery(wanted))
        header, first = block.decode(answer.header.encode()), block.decode(answer.genesis.encode())
        root = bytes.fromhex(header.log_root)
        assert block.block_hash(first) == told.genesis_hash
        assert checkpoint.parse_note(answer.checkpoint.encode()).body == checkpoint.body(header)
        merkle.verify_consistency(
            1, header.log_size, bytes.fromhex(first.log_root), root, raw(answer.consistency)
        )
        assert [item.envelope.encode() for item in answer.entries] == [
            ENTRIES[0].data,
            ENTRIES[4].data,
            ENTRIES[-1].data,
        ]
        for item in answer.entries:
            leaf = merkle.leaf_hash(item.envelope.encode())
            merkle.verify_inclusion(leaf, item.index, header.log_size, raw(item.proof), root)

    async def test_evidence_of_an_older_checkpoint_is_what_it_was(self, sealed: Deployment) -> None:
        wanted = tuple(entry.hash for entry in ENTRIES[:3])
        before = await sealed.call(CALLER, contract.EVIDENCE, NOTHING, contract.EvidenceQuery(wanted))
        height = block.decode(before.header.encode()).height
        later = Signer("later").registration()
        await submit(sealed, later)
        await published(sealed, 2 + len(ENTRIES))
        query = contract.EvidenceQuery(wanted, height)
        assert await sealed.call(CALLER, contract.EVIDENCE, NOTHING, query) == before
        newest = await sealed.call(CALLER, contract.EVIDENCE, NOTHING, contract.EvidenceQuery(wanted))
        assert newest.checkpoint != before.checkpoint
        for entries, block_height in (((later.hash,), height), (wanted, height + 1000)):
            query = contract.EvidenceQuery(entries, block_height)
            with pytest.raises(NotFound):
                await sealed.call(CALLER, contract.EVIDENCE, NOTHING, query)

    async def test_what_is_not_under_the_checkpoint_is_not_found(self, sealed: Deployment) -> None:
        with pytest.raises(NotFound) as caught:
            await sealed.call(
                CALLER, contract.EVIDENCE, NOTHING, contract.EvidenceQuery((ENTRIES[0].hash, "0" * 64))
            )
        assert caught.value.code is Code.NOT_FOUND
        with pytest.raises(NotFound):
            await sealed.call(CALLER, contract.INCLUSION, contract.InclusionQuery(ENTRIES[-1].hash, 3))

    async def test_sizes_beyond_the_checkpoint_are_out_of_range(self, sealed: Deployment) -> None:
        with pytest.raises(Invalid) as caught:
            await sealed.call(CALLER, contract.CONSISTENCY, contract.ConsistencyQuery(1, 99))
        assert caught.value.code is Code.OUT_OF_RANGE
        with pytest.raises(Invalid, match="above second"):
            await sealed.call(CALLER, contract.CONSISTENCY, contract.ConsistencyQuery(3, 2))
        with pytest.raises(Invalid, match="above the newest checkpoint"):
            await sealed.call(CALLER, contract.INCLUSION, contract.InclusionQuery(ENTRIES[0].hash, 99))


async def root_of_size(made: Deployment, size: int) -> bytes:
    """The log's root at a size, from an inclusion proof of its entry 0."""
    answer = await made.call(CALLER, contract.BLOCK, contract.HeightPath(0))
    entry = block.decode(answer.header.encode()).log_root
    proof = await made.call(CALLER, contract.INCLUSION, contract.InclusionQuery(entry, size))
    merkle.verify_inclusion(bytes.fromhex(entry), 0, size, raw(proof.proof), bytes.fromhex(proof.root))
    return bytes.fromhex(proof.root)


class TestBlocks:
    async def test_link_to_each_other_and_carry_their_votes(self, sealed: Deployment) -> None:
        told = await trusted(sealed)
        page = await sealed.call(CALLER, contract.BLOCKS, contract.BlocksQuery())
        newest_first = [block.decode(each.header.encode()) for each in page.blocks]
        assert [header.height for header in newest_first] == list(range(len(newest_first) - 1, -1, -1))
        for header, parent in itertools.pairwise(newest_first):
            assert header.previous == block.block_hash(parent)
        assert page.blocks[-1].hash == told.genesis_hash
        for each in page.blocks[:-1]:
            assert each.state == "final"
            envelope = dsse.parse(each.votes[0].encode())
            vote = statements.verify(envelope, Vote, told.validators[0].public_key)
            assert (vote.block, vote.verdict) == (each.hash, "accept")

    async def test_hold_what_was_submitted_in_order(self, sealed: Deployment) -> None:
        page = await sealed.call(CALLER, contract.BLOCKS, contract.BlocksQuery())
        held = [entry for each in reversed(page.blocks) for entry in each.entries]
        assert held == [entry.hash for entry in ENTRIES]

    async def test_come_in_pages(self, sealed: Deployment) -> None:
        query = contract.BlocksQuery(limit=1, before=1)
        page = await sealed.call(CALLER, contract.BLOCKS, query)
        assert [each.height for each in page.blocks] == [0]

    async def test_that_do_not_exist_are_not_found(self, chain: Deployment) -> None:
        with pytest.raises(NotFound, match="no block 4711"):
            await chain.call(CALLER, contract.BLOCK, contract.HeightPath(4711))


class TestSubmitting:
    async def test_again_changes_nothing(self, sealed: Deployment) -> None:
        first, again = await submit(sealed, *ENTRIES), await submit(sealed, *ENTRIES)
        assert first == again
        status = await sealed.call(CALLER, contract.STATUS, NOTHING)
        assert (status.pending_entries, status.unanchored_seconds) == (0, 0.0)
        info = await sealed.call(CALLER, contract.INFO, NOTHING)
        assert info.log_size == 1 + len(ENTRIES)

    async def test_tells_where_an_entry_stands(self, sealed: Deployment) -> None:
        found = await sealed.call(CALLER, contract.ENTRY, contract.EntryPath(ENTRIES[2].hash))
        assert (found.state, found.index) == ("final", 3)
        assert found.height is not None
        with pytest.raises(NotFound):
            await sealed.call(CALLER, contract.ENTRY, contract.EntryPath("0" * 64))

    async def test_refuses_what_is_no_entry_and_takes_the_rest(self, chain: Deployment) -> None:
        bad = genesis_entry("somebody").decode()
        body = contract.Transaction("session_anchor", (bad, ENTRIES[0].data.decode(), "{}"))
        answer = await chain.call(CALLER, contract.SUBMIT, NOTHING, body)
        assert answer.entries == (ENTRIES[0].hash,)
        assert [("genesis" in refusal.reason) for refusal in answer.refused] == [True, False]
        await published(chain, 2)

    async def test_tells_why_the_chain_refused_an_entry(self, chain: Deployment) -> None:
        stray = Signer("stranger").anchor(session_id(9), 0)
        await submit(chain, stray)
        async with asyncio.timeout(10):
            while (found := await stands(chain, stray)).state != "refused":
                assert found.state == "pending"
                await asyncio.sleep(0.05)
        assert found.reason is not None
        assert "is not registered" in found.reason

    async def test_more_than_a_transaction_holds_is_too_large(self, chain: Deployment) -> None:
        body = contract.Transaction("session_anchor", ("x" * 60_000,) * 18)
        with pytest.raises(LucidError) as caught:
            await chain.call(CALLER, contract.SUBMIT, NOTHING, body)
        assert caught.value.code is Code.TOO_LARGE


class TestMongoDown:
    async def test_is_503_5002_and_the_chain_goes_on_afterwards(
        self, tmp_path: Path, processes: Processes
    ) -> None:
        port = servers.free_port()
        mongod = servers.start_mongod(processes, tmp_path / "data", tmp_path / "mongod.log", port)
        async with deployment(tmp_path, servers.mongodb_url(port), "", BLOCK_TIME_SECONDS="0.1") as made:
            await made.start("blockchain-engine")
            await published(made, 1)
            mongod.kill()
            assert await self.ask_once(made) == (503, "LUCID_ERR_5002")
            assert await read(made, contract.CHECKPOINT)
            again = servers.start_mongod(processes, tmp_path / "data", tmp_path / "mongod.log", port)
            await submit(made, *ENTRIES)
            await published(made, 1 + len(ENTRIES))
        again.kill()

    @staticmethod
    async def ask_once(made: Deployment) -> tuple[int, str]:
        """Status and code of one request; the services' own client would try again."""
        url = made.urls(["blockchain-engine"])["blockchain-engine"] + f"/chain/entries/{'0' * 64}"
        tls = made.client_context(CALLER)
        name = internal_name("blockchain-engine")
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, ssl=tls, server_hostname=name) as answer,
        ):
            return answer.status, (await answer.json())["error"]["code"]


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"ENVIRONMENT": "production", "BLOCK_TIME_SECONDS": "1"}, "BLOCK_TIME_SECONDS: 1 is for"),
            ({"BLOCK_TIME_SECONDS": "301"}, "BLOCK_TIME_SECONDS"),
            ({"CHAIN_ORIGIN": "two words"}, "CHAIN_ORIGIN"),
        ],
    )
    def test_at_fault_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], named: str
    ) -> None:
        environment(tmp_path, monkeypatch, "00" * 32, settings)
        with pytest.raises(SettingsError, match=named):
            engine_settings.load()

    def test_a_key_that_is_none_is_named_and_not_shown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        environment(tmp_path, monkeypatch, "00" * 31, {})
        with pytest.raises(SettingsError, match="credential validator_key: must be 64 hex") as caught:
            engine_settings.validator(engine_settings.load())
        assert "0000" not in str(caught.value)


def environment(directory: Path, monkeypatch: pytest.MonkeyPatch, key: str, settings: dict[str, str]) -> None:
    (directory / "validator_key").write_text(key + "\n")
    for name in ("STATE_DIRECTORY", "TLS_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.setenv(name, str(directory))
    for name, value in ({"ENVIRONMENT": "development"} | settings).items():
        monkeypatch.setenv(name, value)
