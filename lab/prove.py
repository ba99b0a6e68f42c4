"""A person's remote desktop through the deployed services, recorded and proved; runs on the control host.

`python -m lab.prove STATE SECONDS`. Everything goes through the gateway and RDP, as for any client.
"""

import asyncio
import sys
import time
from pathlib import Path

from lab import person
from lab.account import gateway, register
from lab.workplace import TERMINAL, Workplace, signing_key
from lucid.cli import report
from lucid.cli.api import Target
from lucid.cli.output import err, run
from lucid.cli.report import Proven
from lucid.cli.sessions import Details, details_of
from lucid.cli.up import Stopwatch, fetch, verify_files
from lucid.contracts.rdp_manager import Connection
from lucid.evidence.policy import Clipboard

WORDS = "All that is seen here is on record."


def main(state: Path, seconds: int) -> int:
    """Exit status as of `lucid verify`."""
    target = gateway(state)
    run(register(target, state))
    proof, timings = state / "proof", Stopwatch()
    proof.mkdir(mode=0o700, exist_ok=True)
    with person.seated() as somebody:
        details = run(_work(target, state, somebody, seconds, timings))
    files = fetch(target, details.session.id, proof, timings)
    with timings.measure("verify"):
        verification = verify_files(files)
    report.show(
        Proven(details=details, verification=verification, files=files, timings=tuple(timings.measured))
    )
    return verification.outcome.exit_code


async def _work(
    target: Target, state: Path, somebody: person.Person, seconds: int, timings: Stopwatch
) -> Details:
    """Opens a desktop, types into its terminal for a while, and ends it."""
    async with target.open() as api:
        workplace = Workplace(api, signing_key(state / "owner.key"))
        policy = await workplace.policy("lab", clipboard=Clipboard(to_desktop=True))
        with timings.measure("open a desktop, recording proven"):
            connection = await workplace.open(policy, "lab")
        session = connection.session.id
        err.print(f"a desktop on {connection.session.host}, session {session}: its recording is durable")
        with person.connected(somebody, connection):
            with timings.measure("see it in the client"):
                await asyncio.to_thread(somebody.wait_for, *TERMINAL)
            await workplace.until(session, "connected")
            await asyncio.to_thread(_type, somebody, connection, seconds)
            await asyncio.to_thread(somebody.look, state / "proof" / f"{session}-client.png")
        with timings.measure("end and anchor"):
            await workplace.end(session)
            await workplace.until_anchored(session)
        return await details_of(api, session)


def _type(somebody: person.Person, connection: Connection, seconds: int) -> None:
    until = time.monotonic() + seconds
    time.sleep(1.0)  # the first picture
    somebody.click(400, 300)
    somebody.type(f"echo '{WORDS}'\n")
    somebody.type(f"# {connection.session.name}: session {connection.session.id}\n")
    somebody.type("while sleep 0.5; do date; done\n")
    time.sleep(max(0.0, until - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
