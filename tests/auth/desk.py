"""Somebody at auth-service's door: registers, logs in by every method, and speaks with the tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import pytest
from coincurve import PrivateKey

from lucid.auth import tron
from lucid.contracts import auth_service as contract
from lucid.kit import context
from lucid.kit.client import ServiceClient
from lucid.kit.errors import Code, LucidError
from lucid.kit.routes import NOTHING, Route
from tests.auth.live import BOOTSTRAP_TOKEN, PASSWORD

P = TypeVar("P", bound=msgspec.Struct)
R = TypeVar("R")

MAIL = "anna@example.org"
ROOT = "root@example.org"


class Desk:
    """Calls with a service's certificate, on behalf of whoever the token says, from the address `client`."""

    def __init__(self, calls: ServiceClient, client: str = "") -> None:
        self.calls = calls
        self.client = client

    async def ask(
        self, route: Route[P, Any, R], body: object = None, *, token: str = "", params: Any = NOTHING
    ) -> R:
        """One call; raises the error that was answered."""
        with speaking(token):
            headers = {context.CLIENT_HEADER: self.client} if self.client else {}
            return await self.calls.call(route, params, body, headers=headers)

    async def refused(self, route: Route[Any, Any, Any], body: object = None, **more: Any) -> LucidError:
        """The error of a call that must fail."""
        with pytest.raises(LucidError) as caught:
            await self.ask(route, body, **more)
        return caught.value

    async def code(self, route: Route[Any, Any, Any], body: object = None, **more: Any) -> Code:
        """The code of a call that must fail."""
        return (await self.refused(route, body, **more)).code

    async def register(self, email: str = MAIL, bootstrap: str | None = None) -> contract.User:
        """A new account with the usual password."""
        body = contract.Register(email=email, password=PASSWORD, bootstrap_token=bootstrap)
        return await self.ask(contract.REGISTER, body)

    async def login(self, email: str = MAIL, password: str = PASSWORD, **more: str) -> contract.Tokens:
        """A login with a password."""
        return await self.ask(contract.LOGIN, contract.Login(email=email, password=password, **more))

    async def joined(self, email: str = MAIL) -> tuple[contract.User, contract.Tokens]:
        """A new account, logged in."""
        return await self.register(email), await self.login(email)

    async def founder(self) -> contract.Tokens:
        """The first super_admin, logged in."""
        await self.register(ROOT, BOOTSTRAP_TOKEN)
        return await self.login(ROOT)

    async def holds(self, token: str) -> bool:
        """Whether the access token is taken."""
        try:
            await self.ask(contract.STATUS, token=token)
        except LucidError as error:
            if error.code is not Code.LOGIN_ENDED:
                raise
            return False
        return True


class Wallet:
    """A TRON wallet that signs as signMessageV2 does."""

    def __init__(self, key: bytes = b"\x07" * 32) -> None:
        self._key = PrivateKey(key)
        self.address = tron.address_of(self._key.public_key)

    def sign(self, message: str, first_v: int = 27) -> str:
        """The signature in hex, with a v of 0 or 1 above `first_v`."""
        raw = self._key.sign_recoverable(tron.message_hash(message), hasher=None)
        return (raw[:64] + bytes([raw[64] + first_v])).hex()


@contextmanager
def speaking(token: str) -> Iterator[None]:
    """Calls within carry the token."""
    before = context.authorization.set(f"Bearer {token}" if token else None)
    try:
        yield
    finally:
        context.authorization.reset(before)
