"""People with accounts, who call session-api as the gateway passes their calls on."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from lucid.contracts import auth_service as auth
from lucid.contracts import session_api as contract
from lucid.contracts.types import SessionPath
from lucid.kit import context
from lucid.kit.client import ServiceClient
from lucid.kit.routes import NOTHING
from tests.deployment import Deployment

PASSWORD = "correct horse battery staple"


class Person:
    """Somebody with an account, calling as the gateway passes calls on."""

    def __init__(self, gateway: ServiceClient, token: str) -> None:
        self.gateway = gateway
        self._token = token

    @contextmanager
    def speaking(self) -> Iterator[ServiceClient]:
        """The client with this person's token on its calls."""
        before = context.authorization.set(f"Bearer {self._token}")
        try:
            yield self.gateway
        finally:
            context.authorization.reset(before)

    async def create(self, **options: object) -> str:
        """A new session's id."""
        body = contract.CreateSession(**options)  # type: ignore[arg-type]  # any field may be given
        with self.speaking() as client:
            return (await client.call(contract.CREATE, NOTHING, body)).id

    async def get(self, session: str) -> contract.Session:
        """The session as this person sees it."""
        with self.speaking() as client:
            return await client.call(contract.GET, SessionPath(session))


async def person(house: Deployment, name: str, bootstrap: str | None = None) -> Person:
    """Somebody new; with the bootstrap token the first super_admin."""
    gateway = await house.client("api-gateway")
    email = f"{name}-{uuid.uuid4().hex[:8]}@example.org"
    account = auth.Register(email=email, password=PASSWORD, bootstrap_token=bootstrap)
    await gateway.call(auth.REGISTER, NOTHING, account)
    tokens = await gateway.call(auth.LOGIN, NOTHING, auth.Login(email=email, password=PASSWORD))
    return Person(gateway, tokens.access_token)


async def administrator(house: Deployment) -> Person:
    """The deployment's first super_admin."""
    token = (house.directory / "credentials/auth-service/bootstrap_token").read_text().strip()
    return await person(house, "admin", bootstrap=token)
