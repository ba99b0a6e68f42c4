"""A person's remote desktop through the deployed services, recorded and proved; runs on the control host.

`python -m lab.prove STATE SECONDS`. Everything goes through the gateway and RDP, as for any client.
"""

import asyncio
import os
import secrets
import sys
import time
from pathlib import Path

import msgspec

from lab import person
from lab.place import here
from lab.workplace import Workplace, signing_key
from lucid.cli import report
from lucid.cli.api import ApiError, Target
from lucid.cli.output import err, run
from lucid.cli.report import Proven
from lucid.cli.sessions import Details, details_of
from lucid.cli.up import Stopwatch, fetch, verify_files
from lucid.contracts import auth_service
from lucid.contracts.rdp_manager import Connection
from lucid.dev.operator import MAIL, Operator
from lucid.evidence.policy import Clipboard
from lucid.kit.errors import Code
from lucid.kit.routes import NOTHING

GATEWAY_PORT = 8081
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


def gateway(state: Path) -> Target:
    """The deployed gateway, and the account of whoever runs the lab."""
    address = here().inventory.find("edge")[0].management.ip
    return Target(f"https://{address}:{GATEWAY_PORT}", state / "ca.crt", operator=_account(state))


async def register(target: Target, state: Path) -> None:
    """Makes the first account, a super_admin, unless it was made before."""
    account = target.operator
    assert account is not None  # noqa: S101 - `gateway` gave it
    body = auth_service.Register(
        email=account.email,
        password=account.password,
        bootstrap_token=(state / "bootstrap-token").read_text().strip(),
    )
    async with Target(target.url, target.ca).open() as api:
        try:
            await api.call(auth_service.REGISTER, NOTHING, body)
        except ApiError as error:
            if error.code not in {Code.EXISTS, Code.PERMISSION}:
                raise


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
            with timings.measure("connect"):
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


def _account(state: Path) -> Operator:
    path = state / "operator.json"
    if not path.exists():
        account = Operator(MAIL, secrets.token_urlsafe(24))
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(account))
    return msgspec.json.decode(path.read_bytes(), type=Operator)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
