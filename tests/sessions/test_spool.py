"""The spool as a whole: its sessions, its lock, and what is left after kill -9."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lucid.sessions.recording_errors import SpoolBusyError, SpoolError
from lucid.sessions.spool import Spool

QUOTA = 100_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(root: Path) -> Iterator[Spool]:
    with Spool(root, QUOTA) as spool:
        yield spool


class TestSessions:
    def test_are_one_process_at_a_time(self, spool: Spool) -> None:
        with pytest.raises(SpoolBusyError, match="stop that first"):
            Spool(spool.root, QUOTA)

    def test_are_created_once_and_opened_if_there(self, spool: Spool) -> None:
        spool.create("s1").close()
        with pytest.raises(SpoolError, match="open it instead"):
            spool.create("s1")
        with pytest.raises(SpoolError, match="not in the spool"):
            spool.open("s2")

    @pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a\n", "x" * 65])
    def test_have_names_that_are_safe_in_a_path(self, spool: Spool, name: str) -> None:
        with pytest.raises(SpoolError, match="letters, digits"):
            spool.create(name)

    def test_are_discarded_whole(self, spool: Spool) -> None:
        session = spool.create("s1")
        session.append_chunk("screen", [b"abc"], 0, 1)
        session.close()
        spool.discard("s1")
        assert spool.sessions() == []
        assert spool.usage_bytes() == 0
        spool.discard("s1")
        assert spool.usage_bytes() == 0

    def test_whose_discarding_was_interrupted_are_gone_at_the_next_start(self, root: Path) -> None:
        (root / ".discarded-s1").mkdir(parents=True)
        (root / ".discarded-s1" / "00000000.chunk").touch()
        with Spool(root, QUOTA) as spool:
            assert spool.sessions() == []
        assert not (root / ".discarded-s1").exists()

    def test_start_with_nothing(self, spool: Spool) -> None:
        session = spool.create("s1")
        assert (session.pending(), session.leaves(), session.load_state()) == ([], [], None)
        session.close()


WRITER = """
import sys
from pathlib import Path
from lucid.sessions.spool import Spool

spool = Spool(Path(sys.argv[1]), 10**9)
session = spool.open("s1") if "s1" in spool.sessions() else spool.create("s1")
print("ready", flush=True)
while True:
    number = len(session.leaves())
    now = session.last_end_ms
    claim = session.append_chunk("screen", [b"%d" % now] * 5000, now, now + 1)
    session.append_leaves(number, [b"leaf %d" % number])
    session.save_state(b"%d" % claim.seq)
    print(claim.seq, claim.raw_commitment, flush=True)
    if claim.seq % 3 == 0:
        session.forget(claim.seq - 1)
"""


def test_a_kill_at_any_moment_leaves_only_valid_chunks_and_all_that_were_confirmed(root: Path) -> None:
    confirmed: dict[int, str] = {}
    for attempt in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.005 + 0.026 * attempt)
            child.send_signal(signal.SIGKILL)
            lines = [line for line in child.stdout if line.endswith("\n")]
        for line in lines:
            number, commitment = line.split()
            assert int(number) not in confirmed
            confirmed[int(number)] = commitment
        with Spool(root, QUOTA) as spool:
            session = spool.open("s1")
            held = {claim.seq: claim for claim in session.pending()}
            assert session.damaged == []
            for seq, claim in held.items():
                assert session.read(seq) == b"%d" % claim.start_ms * 5000
                assert confirmed.get(seq, claim.raw_commitment) == claim.raw_commitment
            newest = max(confirmed, default=-1)
            assert newest < 0 or newest in held
            assert [int(leaf.split()[1]) for leaf in session.leaves()] == list(range(len(session.leaves())))
            assert spool.usage_bytes() == sum(path.stat().st_size for path in root.glob("*/*"))
            session.close()
    assert len(confirmed) > 8
