"""Records the lab's desktop through the deployed services and proves it; runs on the control host.

`python -m lab.prove STATE SECONDS`. Everything goes through the gateway, as for any client.
"""

import os
import secrets
import sys
from pathlib import Path

import msgspec

from lab.place import here
from lucid.cli import report
from lucid.cli.api import ApiError, Target
from lucid.cli.desktop import Desktop
from lucid.cli.output import run
from lucid.cli.record import meter, record_desktop
from lucid.cli.report import Proven
from lucid.cli.up import Stopwatch, fetch, verify_files
from lucid.contracts import auth_service
from lucid.contracts.session_api import CreateSession
from lucid.dev.operator import MAIL, Operator
from lucid.kit.errors import Code
from lucid.kit.routes import NOTHING

DISPLAY = 10
GATEWAY_PORT = 8081


def main(state: Path, seconds: int) -> int:
    """Exit status as of `lucid verify`."""
    gateway = here().inventory.find("edge")[0].management.ip
    target = Target(f"https://{gateway}:{GATEWAY_PORT}", state / "ca.crt", operator=_account(state))
    run(_register(target, state))
    proof, timings = state / "proof", Stopwatch()
    proof.mkdir(mode=0o700, exist_ok=True)
    display = Desktop(DISPLAY, bytes.fromhex((state / "cookie").read_text()))
    with timings.measure("record and anchor"), meter(seconds) as show:
        details = run(
            record_desktop(target, CreateSession(name="lab"), display, float(seconds), wait=True, show=show)
        )
    files = fetch(target, details.session.id, proof, timings)
    with timings.measure("verify"):
        verification = verify_files(files)
    report.show(
        Proven(details=details, verification=verification, files=files, timings=tuple(timings.measured))
    )
    return verification.outcome.exit_code


def _account(state: Path) -> Operator:
    path = state / "operator.json"
    if not path.exists():
        account = Operator(MAIL, secrets.token_urlsafe(24))
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(account))
    return msgspec.json.decode(path.read_bytes(), type=Operator)


async def _register(target: Target, state: Path) -> None:
    """Makes the first account, a super_admin, unless it was made before."""
    account = target.operator
    assert account is not None  # noqa: S101 - main gave it
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


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
