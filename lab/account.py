"""The deployed gateway and the account of whoever runs the lab: `python -m lab.account STATE` makes it."""

import os
import secrets
import sys
from pathlib import Path

import msgspec

from lab.place import here
from lucid.cli.api import ApiError, Target
from lucid.cli.output import run
from lucid.contracts import auth_service
from lucid.dev.operator import MAIL, Operator
from lucid.kit.errors import Code
from lucid.kit.routes import NOTHING

GATEWAY_PORT = 8081


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


def _account(state: Path) -> Operator:
    path = state / "operator.json"
    if not path.exists():
        account = Operator(MAIL, secrets.token_urlsafe(24))
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(account))
    return msgspec.json.decode(path.read_bytes(), type=Operator)


if __name__ == "__main__":
    STATE = Path(sys.argv[1])
    run(register(gateway(STATE), STATE))
