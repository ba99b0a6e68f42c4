"""One rdp host as session-controller knows it, with everything behind it real but for systemd and RDP."""

import asyncio
import socket
import uuid
from contextlib import AsyncExitStack
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.contracts import session_anchoring, session_api, session_recorder, xrdp
from lucid.contracts import session_controller as contract
from lucid.contracts.managed_sessions import CreateManaged
from lucid.contracts.types import SessionPath
from lucid.evidence import dsse, statements
from lucid.evidence import policy as policies
from lucid.evidence.life import Violation
from lucid.evidence.policy import TrustPolicy
from lucid.kit.client import ServiceClient
from lucid.kit.errors import NotFound
from lucid.kit.routes import NOTHING
from lucid.kit.tls import server_context
from tests.deployment import Deployment
from tests.rdp.real_displays import RealDisplays
from tests.sessions.waiting import until

SETTINGS = {
    "BLOCK_TIME_SECONDS": "0.3",
    "ANCHOR_INTERVAL_SECONDS": "1",
    "ANCHOR_POLL_SECONDS": "0.1",
    "RECORDER_LOST_SECONDS": "60",
    "FIRST_LOGIN_SECONDS": "7",
    "DISCONNECTED_SECONDS": "3",
}
CHAIN = ("auth-service", "blockchain-engine", "session-anchoring")
SESSIONS = ("session-storage", "chunk-processor", "session-pipeline", "session-recorder", "session-api")
CONTROLLER = "session-controller"
CLIENT = "192.0.2.7"
OWNER = Ed25519PrivateKey.generate()
FIRST_PORT = xrdp.FIRST_PORT


def signed(**changes: Any) -> str:
    """A trust policy's envelope."""
    key = OWNER.public_key().public_bytes_raw().hex()
    return policies.sign(TrustPolicy(name="desk", owner_key=key, **changes), OWNER).decode()


class Site:
    """The rdp host, and rdp-manager's part in what happens there."""

    def __init__(self, house: Deployment, displays: RealDisplays, manager: ServiceClient) -> None:
        self.house = house
        self.displays = displays
        self.manager = manager
        self._agent = AsyncExitStack()
        self._ports = iter(range(FIRST_PORT, FIRST_PORT + 100))

    async def start(self, *names: str) -> None:
        """Starts the agent, and services."""
        await self.start_agent()
        await self.house.start(*names)
        if "session-recorder" in names:
            await until(lambda: self.house.ready("session-recorder"))

    async def start_agent(self) -> None:
        """The agent answers."""
        context = server_context(self.house._tls_config("xrdp"))
        await self._agent.enter_async_context(self.displays.served(self.house.ports["xrdp"], context))

    async def stop_agent(self) -> None:
        """The agent does not answer any more; what it has started lives."""
        await self._agent.aclose()

    async def create(self, **policy: Any) -> tuple[str, contract.Begin]:
        """A session in session-api's books, and what is to begin."""
        session, trust = str(uuid.uuid4()), signed(**policy)
        body = CreateManaged(
            session=session, owner=str(uuid.uuid4()), name="desk", frame_rate=10, quality="low",
            max_bytes=2**30, retention_days=7, trust=trust, host=socket.gethostname(),
        )  # fmt: skip
        await self.manager.call(session_api.CREATE_MANAGED, NOTHING, body)
        return session, contract.Begin(port=next(self._ports), trust=trust, width=320, height=240)

    async def begin(self, session: str, begin: contract.Begin) -> contract.RdpSession:
        """Asks for the desktop."""
        return await self.manager.call(contract.BEGIN, SessionPath(session), begin, seconds=40)

    async def begun(self, **policy: Any) -> tuple[str, int]:
        """A desktop that is recorded: its session and port."""
        session, begin = await self.create(**policy)
        assert (await self.begin(session, begin)).state == "ready"
        return session, begin.port

    async def used(self, **policy: Any) -> tuple[str, int]:
        """A desktop with somebody at it."""
        session, port = await self.begun(**policy)
        await self.admit(session)
        self.displays.log_in(port)
        await self.comes_to(session, "connected")
        return session, port

    async def admit(self, session: str) -> xrdp.Admitted:
        """Lets the client in."""
        admission = xrdp.Admission(client=CLIENT, password_sha256="0" * 64, seconds=60)
        return await self.manager.call(contract.ADMIT, SessionPath(session), admission)

    async def end(self, session: str, reason: contract.Ending = "requested") -> contract.RdpSession:
        """Asks for its end."""
        return await self.manager.call(
            contract.END, SessionPath(session), contract.End(reason=reason), seconds=20
        )

    async def get(self, session: str) -> contract.RdpSession:
        """The session."""
        return await self.manager.call(contract.GET, SessionPath(session))

    async def comes_to(self, session: str, state: contract.State, seconds: float = 15) -> contract.RdpSession:
        """The session, once it is in this state."""

        async def there() -> bool:
            return (await self.get(session)).state == state

        try:
            await until(there, seconds)
        except TimeoutError:
            raise AssertionError(f"not {state} but {await self.get(session)}") from None
        return await self.get(session)

    async def recording(self, session: str) -> session_recorder.Recording:
        """What the recorder says."""
        return await self.house.call(CONTROLLER, session_recorder.GET, SessionPath(session))

    async def booked(self, session: str) -> session_api.Session:
        """What session-api says."""
        return await self.manager.call(session_api.GET_MANAGED, SessionPath(session))

    async def closed(self, session: str) -> session_api.Session:
        """What session-api says, once the recording is proved complete."""

        async def done() -> bool:
            return (await self.booked(session)).state in {"completed", "failed"}

        await until(done, 30)
        return await self.booked(session)

    async def recorder_ends(self, session: str) -> None:
        """Somebody ends the recording who has no business there."""
        client = await self.house.client("session-api")
        await client.call(session_recorder.STOP, session_recorder.StopRecording(session))

    async def records(self, session: str) -> bool:
        """Whether the recorder records it."""
        return (await self.recording(session)).state == "recording"

    async def was_told(self, operation: str, port: int) -> bool:
        """Whether the agent was told to do this."""
        return (operation, port) in self.displays.told

    async def violations(self, session: str) -> list[tuple[str, str]]:
        """Kind and detail of each violation that is on the log."""
        api = await self.house.client("session-api")

        async def all_there() -> bool:
            anchors = (await api.call(session_anchoring.OF_SESSION, SessionPath(session))).anchors
            return anchors[-1].kind in {"manifest", "violation"} and all(a.state == "final" for a in anchors)

        await until(all_there, 30)
        page = await api.call(session_anchoring.LIFE, session_anchoring.LifeQuery(session))
        statement = [statements.read(dsse.parse(each.envelope.encode()), Violation) for each in page.entries]
        return [(each.kind, each.detail) for each in statement]

    async def nothing_left(self, port: int) -> None:
        """Returns once the slot is free."""

        async def free() -> bool:
            return port not in self.displays.desks

        await until(free)

    async def close(self) -> None:
        """Ends the agent."""
        await self._agent.aclose()


async def unknown(site: Site, session: str) -> bool:
    """Whether the controller has forgotten a session."""
    try:
        await site.get(session)
    except NotFound:
        return True
    return False


async def wait(seconds: float) -> None:
    """Lets time pass in which nothing may happen."""
    await asyncio.sleep(seconds)
