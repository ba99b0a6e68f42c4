"""The stack's first account: a super_admin, so that commands on this machine work without further ado."""

import secrets
from collections.abc import Mapping

import msgspec

from lucid import catalog
from lucid.contracts import auth_service
from lucid.dev.environment import local_url
from lucid.dev.errors import StackError
from lucid.dev.layout import State, write_private
from lucid.kit import tls
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError, Unauthenticated
from lucid.kit.routes import NOTHING

MAIL = "operator@lucid.internal"
_CALLER = "api-gateway"


class Operator(msgspec.Struct, frozen=True):
    """Mail address and password of the account."""

    email: str
    password: str

    def __repr__(self) -> str:
        return f"Operator(email={self.email!r}, password=***)"


def load(content: bytes) -> Operator:
    """Reads the account's file. Raises StackError."""
    try:
        return msgspec.json.decode(content, type=Operator)
    except msgspec.MsgspecError as error:
        raise StackError(
            f"the operator's account file is damaged ({error}): start with `lucid dev --fresh`"
        ) from None


async def ensure(state: State, services: Mapping[str, catalog.Service]) -> None:
    """Registers the account unless it can log in already. The services must be ready. Raises StackError."""
    if not state.operator.exists():
        operator = Operator(MAIL, secrets.token_urlsafe(24))
        write_private(state.operator, msgspec.json.encode(operator))
    operator = load(state.operator.read_bytes())
    context = tls.client_context(
        state.tls / f"{_CALLER}.crt", state.tls / f"{_CALLER}.key", state.tls / "ca.crt"
    )
    client = ServiceClient({auth_service.SERVICE: local_url(services[auth_service.SERVICE])}, context)
    try:
        await _log_in_or_register(client, state, operator)
    except LucidError as error:
        raise StackError(
            f"the operator's account cannot be made: {error.message} ({error.code.label});"
            " does the database belong to another state directory?"
        ) from None
    finally:
        await client.close()


async def _log_in_or_register(client: ServiceClient, state: State, operator: Operator) -> None:
    login = auth_service.Login(email=operator.email, password=operator.password)
    try:
        await client.call(auth_service.LOGIN, NOTHING, login)
    except Unauthenticated:
        token = (state.credentials(auth_service.SERVICE) / "bootstrap_token").read_text().strip()
        register = auth_service.Register(
            email=operator.email, password=operator.password, bootstrap_token=token
        )
        await client.call(auth_service.REGISTER, NOTHING, register)
