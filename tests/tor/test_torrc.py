"""The role's torrc, judged by Tor itself: a client and one onion service, nothing for others."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tor.service import torrc, write_key

pytestmark = pytest.mark.skipif(
    not shutil.which("tor"), reason="tor is missing: `scripts/setup test` installs it"
)


def judged(data: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """What Tor says to the file."""
    path = data / "torrc"
    path.write_text("\n".join([*torrc(data, **options), ""]))
    command = ["tor", "--hush", "--verify-config", "-f", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("proof_of_work", [True, False])
def test_is_taken_with_and_without_proof_of_work(tmp_path: Path, *, proof_of_work: bool) -> None:
    tmp_path.chmod(0o700)
    write_key(tmp_path)
    done = judged(tmp_path, _tor_has_proof_of_work=proof_of_work)
    assert done.returncode == 0, done.stdout
    assert ("HiddenServicePoWDefensesEnabled 1" in torrc(tmp_path, _tor_has_proof_of_work=proof_of_work)) is (
        proof_of_work
    )


def test_further_lines_that_tor_does_not_take_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    done = judged(tmp_path, tor_network_options=["NoSuchOption 1"])
    assert done.returncode != 0
    assert "NoSuchOption" in done.stdout


def test_everything_listens_on_loopback_and_nothing_relays(tmp_path: Path) -> None:
    lines = torrc(tmp_path)
    assert "ClientOnly 1" in lines
    assert not [line for line in lines if line.startswith(("ORPort", "DirPort", "ExitRelay", "BridgeRelay"))]
    ports = [line.split()[1] for line in lines if line.startswith(("SocksPort ", "ControlPort "))]
    assert ports == ["127.0.0.1:9050", "127.0.0.1:9051"]
    assert "HiddenServiceExportCircuitID haproxy" in lines
    assert "CookieAuthentication 1" in lines
