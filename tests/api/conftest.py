"""A whole deployment behind its gateway, for tests of the API as the outside sees it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from lucid import catalog
from lucid.auth.tokens import Signer
from lucid.contracts import auth_service
from lucid.contracts.api_gateway import PREFIX
from lucid.kit.routes import NOTHING, Access
from lucid.sessions.api_access import ACCESS
from tests.deployment import Deployment, deployment
from tests.gateway.conftest import UNLIMITED
from tests.sessions.waiting import until

BEHIND = (
    "auth-service", "blockchain-engine", "session-anchoring", "session-storage", "chunk-processor",
    "session-pipeline", "session-recorder", "session-api", "resource-monitor", "session-controller",
    "rdp-manager", "rate-limiter", "api-gateway",
)  # fmt: skip
MAIL = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "9", "SMTP_TLS": "none", "SMTP_FROM": "lucid@example.org"}
"""Letters go nowhere: what is asked of the API is answered before they are sent."""
CHAIN = {"BLOCK_TIME_SECONDS": "0.2"}


@dataclass(frozen=True)
class Front:
    """The gateway of a deployment, an account, and the key that its tokens are signed with."""

    house: Deployment
    session: aiohttp.ClientSession
    account: str
    signer: Signer

    @property
    def url(self) -> str:
        """The API's base URL."""
        return f"https://127.0.0.1:{self.house.ports['api-gateway']}{PREFIX}"

    def token(self, role: Access, now: int, login: str) -> str:
        """A token of the account with any role, given out at `now` (Unix seconds) for a login."""
        return self.signer.mint(self.account, role.role, now, login)


@pytest.fixture
async def front(tmp_path: Path, mongodb_url: str, redis_url: str) -> AsyncIterator[Front]:
    """Every service that people reach, and those behind them; nobody is counted."""
    async with deployment(tmp_path / "house", mongodb_url, redis_url, **UNLIMITED, **MAIL, **CHAIN) as house:
        assert {service.name for service in catalog.load().exposed()} <= set(BEHIND)
        await house.start(*BEHIND)

        async def registered() -> bool:
            # Until the keys of both are in the log, what needs a signature is answered with 503.
            ours = house.apps["session-api"][ACCESS].signer.registered
            return ours and await house.ready("session-recorder")

        await until(registered)
        credentials = tmp_path / "house/credentials/auth-service"
        register = auth_service.Register(
            email="anna@example.org",
            password="seven wet horses 7",
            bootstrap_token=(credentials / "bootstrap_token").read_text().strip(),
        )
        account = await house.call("api-gateway", auth_service.REGISTER, NOTHING, register)
        connector = aiohttp.TCPConnector(ssl=house.client_context("stranger"))
        async with aiohttp.ClientSession(connector=connector) as session:
            signer = Signer(bytes.fromhex((credentials / "token_key").read_text()))
            yield Front(house, session, account.id, signer)
