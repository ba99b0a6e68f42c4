"""Sends what its document allows, and what it does not, to every operation of the API; judges the answers."""

import asyncio
import subprocess
import sys
import time
import uuid
from pathlib import Path

from lucid.kit.routes import Access
from tests.api.conftest import Front

PROGRAM = Path(sys.executable).with_name("st")
CONFIGURATION = Path(__file__).with_suffix(".toml")


async def hold_to_the_document(
    front: Front, directory: Path, *, seed: int, examples: int, seconds: float
) -> str:
    """Runs schemathesis with at most `examples` for each operation; returns its report.

    All checks are on but for those that the configuration turns off somewhere, which it could not if they
    were named here.

    Fails with that report if one answer is an error of the server, has an undocumented status or shape, comes
    without the token that is needed, or is no refusal of what the document forbids.
    """
    token = front.token(Access.SUPER_ADMIN, int(time.time()), str(uuid.uuid4()))
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "--config-file", str(CONFIGURATION), "run", f"{front.url}/openapi.json",
        "--tls-verify", str(front.house.tls / "ca.crt"), "--header", f"Authorization:Bearer {token}",
        "--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure",
        "--generation-database", "none", "--no-shrink", "--no-color", "--warnings", "off",
        cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = output.decode(errors="replace")
    assert process.returncode == 0, report
    return report
