"""A recording from its creation to its anchor, driven through the API."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from lucid.cli.api import Api, ApiError
from lucid.cli.desktop import Desktop
from lucid.contracts import session_api
from lucid.contracts.session_api import CreateSession, Session, StartSession
from lucid.contracts.session_pipeline import Pipeline
from lucid.contracts.types import SessionPath
from lucid.kit.errors import Code
from lucid.kit.routes import NOTHING

POLL_SECONDS = 1.0
START_PATIENCE_SECONDS = 60.0
TURN_SECONDS = 0.1
OVER = {"stopped", "processing", "completed", "failed", "deleted"}
"""States in which nothing is captured any more."""


@dataclass(slots=True)
class Progress:
    """What is known of a recording at one moment."""

    session: Session
    pipeline: Pipeline | None
    seconds: float
    """Since the capture began."""


Show = Callable[[Progress], None]


class Recording:
    """Create it with `begin`; then `until_over`, `stop` and `until_anchored`."""

    def __init__(self, api: Api, session: Session, show: Show) -> None:
        self.session = session
        self._api = api
        self._path = SessionPath(session.id)
        self._show = show
        self._begun = time.monotonic()

    @classmethod
    async def begin(cls, api: Api, how: CreateSession, desktop: Desktop, show: Show) -> "Recording":
        """Creates a session and starts it; returns when the first fragment is durable. Raises ApiError."""
        session = await api.call(session_api.CREATE, NOTHING, how)
        start = StartSession(display=desktop.name, cookie=desktop.cookie.hex())
        return cls(api, await _started(api, SessionPath(session.id), start), show)

    async def until_over(self, desktop: Desktop, seconds: float | None, interrupted: asyncio.Event) -> None:
        """Waits until the command or the time is over, somebody interrupts, or the recording has ended."""
        next_look = 0.0
        while not (desktop.over or interrupted.is_set() or self.session.state in OVER):
            elapsed = time.monotonic() - self._begun
            if seconds is not None and elapsed >= seconds:
                return
            if elapsed >= next_look:
                next_look = elapsed + POLL_SECONDS
                await self._look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(interrupted.wait(), TURN_SECONDS)

    async def stop(self) -> None:
        """Ends the capture. It may have ended by itself already."""
        while self.session.state not in OVER:
            try:
                self.session = await self._api.call(session_api.STOP, self._path)
            except ApiError as error:
                if not error.unavailable and error.code is not Code.SESSION_STATE:
                    raise
                # Not known whether it arrived: look, and try again if it didn't.
                await asyncio.sleep(POLL_SECONDS)
                await self._look()

    async def until_anchored(self, interrupted: asyncio.Event) -> None:
        """Waits until everything is stored and the manifest is in a final block, or it has failed."""
        while self.session.state not in {"completed", "failed", "deleted"} and not interrupted.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(interrupted.wait(), POLL_SECONDS)
            await self._look()

    async def _look(self) -> None:
        self.session = await self._api.call(session_api.GET, self._path)
        pipeline = None
        # Only for show: a recording does not depend on it.
        with contextlib.suppress(ApiError):
            pipeline = await self._api.call(session_api.PIPELINE, self._path, patient=False)
        self._show(Progress(self.session, pipeline, time.monotonic() - self._begun))


async def _started(api: Api, path: SessionPath, start: StartSession) -> Session:
    """Starts a session. Where the answer was lost, finds out whether it began. Raises ApiError."""
    try:
        return await api.call(session_api.START, path, start)
    except ApiError as error:
        if not error.unavailable:
            raise
        until = time.monotonic() + START_PATIENCE_SECONDS
        while (session := await api.call(session_api.GET, path)).state == "starting":
            if time.monotonic() > until:
                raise
            await asyncio.sleep(POLL_SECONDS)
        if session.state == "created":
            return await api.call(session_api.START, path, start)
        if session.state == "failed":
            raise
        return session
