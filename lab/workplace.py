"""Somebody who opens remote desktops through the deployed gateway: an account, a signing key, a policy."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lab.errors import LabError
from lucid.cli.api import Api, ApiError
from lucid.contracts import rdp_manager as manager
from lucid.contracts import session_api
from lucid.contracts.rdp_manager import Connection, CreateRdpSession, Policy, RdpHost, RdpSession
from lucid.contracts.session_api import Session
from lucid.contracts.types import SessionPath
from lucid.evidence import policy as trust
from lucid.kit.errors import Code
from lucid.kit.routes import NOTHING

TURN_SECONDS = 0.25
TERMINAL = ((255, 255, 255), 600, 400)
"""What a light desktop shows at first: white, there."""
USABLE = trust.Input(mouse=True, keyboard=True)


@dataclass(frozen=True)
class Workplace:
    """What is asked of the gateway in one person's name, whose policies `key` signs."""

    api: Api
    key: Ed25519PrivateKey

    async def policy(self, name: str, **terms: Any) -> Policy:
        """A policy that allows mouse and keyboard and what else is named; stored under its name."""
        public = self.key.public_key().public_bytes_raw().hex()
        made = trust.TrustPolicy(name=name, owner_key=public, **({"input": USABLE} | terms))
        body = manager.PutPolicy(trust.sign(made, self.key).decode())
        try:
            return await self.api.call(manager.CREATE_POLICY, NOTHING, body)
        except ApiError as error:
            if error.code is not Code.EXISTS:
                raise
        page = await self.api.call(manager.POLICIES, manager.PolicyQuery(limit=100))
        found = next(each for each in page.policies if each.name == name)
        return await self.api.call(manager.UPDATE_POLICY, manager.PolicyPath(found.id), body)

    async def open(self, policy: Policy, name: str = "", **how: Any) -> Connection:
        """A desktop; on return its recording is durable and one client may log in."""
        return await self.api.call(
            manager.CREATE, NOTHING, CreateRdpSession(policy=policy.id, name=name, **how)
        )

    async def again(self, session: str) -> Connection:
        """Another one-time password for the same desktop."""
        return await self.api.call(manager.CONNECT, SessionPath(session), manager.Connect())

    async def end(self, session: str) -> RdpSession:
        """Ends a desktop."""
        return await self.api.call(manager.END, SessionPath(session))

    async def end_all(self) -> None:
        """Ends every desktop of this person's."""
        found = await self.api.call(manager.LIST, manager.RdpSessionsQuery(limit=100))
        for desktop in found.sessions:
            if desktop.state not in {"ending", "ended"}:
                await self.end(desktop.id)

    async def desktop(self, session: str) -> RdpSession:
        """A desktop as it is now."""
        return await self.api.call(manager.GET, SessionPath(session))

    async def until(self, session: str, state: str, seconds: float = 20.0) -> RdpSession:
        """Waits until a desktop is in this state. Raises LabError."""
        until = time.monotonic() + seconds
        while (found := await self.desktop(session)).state != state:
            if time.monotonic() > until:
                raise LabError(
                    f"desktop {session} is {found.state}, not {state}, after {seconds:g} s:"
                    f" {found.ending} {found.detail}"
                )
            await asyncio.sleep(TURN_SECONDS)
        return found

    async def hosts(self) -> tuple[RdpHost, ...]:
        """The hosts of desktops, for an admin."""
        return (await self.api.call(manager.HOSTS, NOTHING)).hosts

    async def drain(self, host: str, *, draining: bool = True) -> RdpHost:
        """Has a host take no new desktops, or take them again; for an admin."""
        return await self.api.call(
            manager.SET_HOST, manager.HostPath(host), manager.SetHost(draining=draining)
        )

    async def recording(self, session: str) -> Session:
        """The recording of a desktop."""
        return await self.api.call(session_api.GET, SessionPath(session))

    async def until_anchored(self, session: str, seconds: float = 120.0) -> Session:
        """Waits until a recording is complete and anchored, or has failed. Raises LabError."""
        until = time.monotonic() + seconds
        while (found := await self.recording(session)).state not in {"completed", "failed"}:
            if time.monotonic() > until:
                raise LabError(f"recording {session} is {found.state} after {seconds:g} s")
            await asyncio.sleep(TURN_SECONDS)
        return found


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file, made on first use."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(Ed25519PrivateKey.generate().private_bytes_raw().hex())
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text()))
