"""session-recorder: captures displays into its spool and sees every chunk through to its anchor."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from lucid.contracts import session_recorder as contract
from lucid.contracts.types import SessionPath
from lucid.kit import app as kit
from lucid.kit import settings
from lucid.kit.app import Call, Handlers
from lucid.kit.client import CLIENT
from lucid.kit.errors import Code, Conflict, Invalid, NotFound, StorageFull
from lucid.kit.health import CHECKS
from lucid.kit.launch import service_client
from lucid.kit.logs import log
from lucid.kit.routes import NOTHING, Nothing
from lucid.kit.tasks import TASKS, Tasks
from lucid.sessions import metrics
from lucid.sessions import recording_state as rules
from lucid.sessions.delivery import Delivery, Peers
from lucid.sessions.recorder_session_spool import SessionSpool
from lucid.sessions.recording import Recording, now_ms, view
from lucid.sessions.recording_errors import SpoolDamagedError, SpoolError, SpoolFullError
from lucid.sessions.recording_state import State
from lucid.sessions.signer import Signer
from lucid.sessions.spool import Spool

START_SECONDS = 20.0
"""How long the first fragment of a recording may take to become durable."""
KEPT_SECONDS = 300.0
"""How long a finished recording can still be asked about."""


class RecorderSettings(settings.Common, frozen=True, kw_only=True):
    """The recorder's key, its spool and how often it anchors."""

    recorder_key: settings.Secret
    recorder_key_previous: settings.Secret | None = None
    """The key before, while recordings run that it has opened in the log."""
    host_name: Annotated[str, msgspec.Meta(description="this host's name; empty: ask the system")] = ""
    spool_quota_gb: Annotated[
        float,
        msgspec.Meta(gt=0, description="size of the spool, all sessions together", extra={"unit": "GB"}),
    ] = 50.0
    anchor_interval_seconds: Annotated[
        float, msgspec.Meta(gt=0, le=600, description="time between interim anchors of a running session")
    ] = 60.0
    capture_socket: Annotated[
        str,
        msgspec.Meta(
            description="socket behind which systemd runs each capture as a user of its own; empty: they are"
            " processes of the recorder's own",
            examples=["/run/lucid-capture/socket"],
        ),
    ] = ""


class Recorder:
    """All recordings of this host."""

    def __init__(self, spool: Spool, peers: Peers, tasks: Tasks, capture_socket: str = "") -> None:
        self._spool = spool
        self._peers = peers
        self._tasks = tasks
        self._capture_socket = capture_socket
        self._recordings: dict[str, tuple[Recording, Delivery | None]] = {}
        self._starting: set[str] = set()
        """Sessions whose place in the spool is being made."""

    async def recover(self) -> None:
        """Goes on with every recording that an earlier life of this service left behind."""
        for session in self._spool.sessions():
            try:
                spool = await asyncio.to_thread(self._spool.open, session)
            except SpoolDamagedError as error:
                # The others must not wait for it; its files stay for a person to see.
                log.error("session in the spool cannot be opened", session_id=session, error=str(error))
                continue
            saved = spool.load_state()
            state = rules.decode(saved) if saved else None
            begun = spool.next_seq > 0
            if state is None or state.phase == "finished" or not (begun or state.phase == "recording"):
                await self._discard(spool)
                continue
            log.info("recording found in the spool", session_id=session, phase=state.phase)
            recording = self._adopt(state, spool)
            if state.phase == "recording" or (state.phase == "paused" and state.stop_ms is not None):
                await recording.interrupted("recorder_restarted")
                self._start_capture(recording)
            if begun:
                self._start_delivery(recording)
            else:
                self._tasks.start(f"start:{session}", partial(self._settle, recording))

    async def start(self, request: contract.StartRecording) -> contract.Recording:
        """Begins a recording; returns when the first chunk of each of its tracks is durable."""
        if request.session in self._recordings:
            raise Conflict(f"session {request.session} is being recorded already", code=Code.EXISTS)
        await self._peers.signer.check()
        if request.session in self._starting:
            raise Conflict(f"session {request.session} is being started already", code=Code.EXISTS)
        self._starting.add(request.session)
        try:
            spool = await asyncio.to_thread(self._spool.create, request.session)
            state = State(request=request, phase="recording", started_ms=now_ms())
            recording = self._adopt(state, spool)
        except SpoolFullError as error:
            raise StorageFull(str(error)) from None
        except SpoolError as error:
            raise Conflict(str(error), code=Code.EXISTS) from None
        finally:
            self._starting.discard(request.session)
        try:
            await recording.change(lambda _: msgspec.structs.replace(state))
        except SpoolFullError as error:
            await self._discard(spool)
            raise StorageFull(str(error)) from None
        self._start_capture(recording)
        await self._settle(recording)
        if not recording.has_begun:
            why = recording.state.error or f"no picture within {START_SECONDS:g} s"
            if recording.state.end_reason == "quota":
                raise StorageFull(why)
            raise Invalid(f"display {request.display} cannot be recorded: {why}")
        return self.view(request.session)

    def find(self, session: str) -> Recording:
        """The recording of a session. Raises NotFound."""
        if session not in self._recordings:
            raise NotFound(f"session {session} is not being recorded here")
        return self._recordings[session][0]

    def view(self, session: str) -> contract.Recording:
        """The recording as its callers see it. Raises NotFound."""
        recording = self.find(session)
        delivery = self._recordings[session][1]
        return view(recording, stored=delivery.stored if delivery else 0)

    async def erase(self, session: str) -> None:
        """Removes what a recording that failed has left behind. Raises Conflict 4007 while it is under way.

        What has come to its end leaves no chunks behind; of an unknown one there may be remains all the same,
        which could not be opened.
        """
        recording = self._recordings[session][0] if session in self._recordings else None
        if recording is None:
            left = session in await asyncio.to_thread(self._spool.sessions)
            if session in self._starting or session in self._recordings:  # begun meanwhile
                raise Conflict("the recording is starting", code=Code.SESSION_STATE, state="recording")
            if left:
                await asyncio.to_thread(self._spool.discard, session)
        elif recording.state.phase == "failed":
            for work in ("capture", "delivery"):
                await self._tasks.ended(f"{work}:{session}")
            await self._discard(recording.spool)
        elif recording.state.phase != "finished":
            raise _wrong_phase(recording)

    async def resume(self, recording: Recording) -> None:
        """Captures again after a pause."""
        await self._tasks.ended(f"capture:{recording.session}")
        await recording.resume()
        self._start_capture(recording)

    def _adopt(self, state: State, spool: SessionSpool) -> Recording:
        recording = Recording(state, spool, self._capture_socket)
        self._recordings[spool.session] = (recording, None)
        self._count()
        return recording

    def _start_capture(self, recording: Recording) -> None:
        self._tasks.start(f"capture:{recording.session}", recording.capture)

    def _start_delivery(self, recording: Recording) -> None:
        delivery = Delivery(recording, self._peers)
        self._recordings[recording.session] = (recording, delivery)

        async def deliver() -> None:
            await delivery.run()
            self._count()
            if recording.state.phase == "finished":
                await asyncio.sleep(KEPT_SECONDS)
                await self._discard(recording.spool)

        self._tasks.start(f"delivery:{recording.session}", deliver)

    async def _settle(self, recording: Recording) -> None:
        """Waits for each track's first chunk and has it delivered; without, the recording is forgotten."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await recording.begun.wait()
        if recording.has_begun:
            self._start_delivery(recording)
            return
        with contextlib.suppress(SpoolFullError):  # no need to note it: nothing stays of this recording
            await recording.stop()
        await self._tasks.ended(f"capture:{recording.session}")
        await self._discard(recording.spool)

    def close(self) -> None:
        """Closes the spool's files; what is in them is for the recorder's next life."""
        for recording, _ in self._recordings.values():
            recording.spool.close()

    async def _discard(self, spool: SessionSpool) -> None:
        spool.close()
        self._recordings.pop(spool.session, None)
        self._count()
        await asyncio.to_thread(self._spool.discard, spool.session)

    def _count(self) -> None:
        failed = sum(recording.state.phase == "failed" for recording, _ in self._recordings.values())
        metrics.recordings_held.set(len(self._recordings))
        metrics.recordings_failed.set(failed)


RECORDER = web.AppKey("recorder", Recorder)

handlers = Handlers()


@handlers.on(contract.START)
async def start(call: Call, _: Nothing, body: contract.StartRecording) -> contract.Recording:
    """Starts recording a display."""
    return await call.app[RECORDER].start(body)


@handlers.on(contract.GET)
async def get(call: Call, params: SessionPath, _: Nothing) -> contract.Recording:
    """A recording."""
    return call.app[RECORDER].view(params.session)


@handlers.on(contract.PAUSE)
async def pause(call: Call, params: SessionPath, _: Nothing) -> contract.Recording:
    """Stops capturing for a while. A recording that is paused already is no error."""
    recording = _in_phase(call, params.session, *rules.UNDER_WAY)
    if recording.state.phase == "recording":
        await recording.pause()
    return call.app[RECORDER].view(params.session)


@handlers.on(contract.RESUME)
async def resume(call: Call, params: SessionPath, _: Nothing) -> contract.Recording:
    """Captures again. A recording that is not paused is no error while it runs."""
    recording = _in_phase(call, params.session, *rules.UNDER_WAY)
    if recording.state.phase == "paused":
        await call.app[RECORDER].resume(recording)
    return call.app[RECORDER].view(params.session)


@handlers.on(contract.STOP)
async def stop(call: Call, params: contract.StopRecording, _: Nothing) -> contract.Recording:
    """Ends the recording; one that has ended already is no error."""
    recording = call.app[RECORDER].find(params.session)
    if recording.state.phase in rules.UNDER_WAY:
        try:
            await recording.stop(params.reason)
        except SpoolFullError as error:
            raise StorageFull(f"the recording ends, but the recorder cannot note it: {error}") from None
    return call.app[RECORDER].view(params.session)


@handlers.on(contract.ERASE)
async def erase(call: Call, params: SessionPath, _: Nothing) -> Nothing:
    """Removes what a failed recording has left."""
    await call.app[RECORDER].erase(params.session)
    return NOTHING


async def create() -> web.Application:
    """The application of session-recorder."""
    found = settings.load(RecorderSettings)
    directory = Path(found.state_directory)
    host = found.host_name or socket.gethostname()
    signer = Signer(found.recorder_key, "recorder", host, directory)
    former = found.recorder_key_previous
    previous = Signer(former, "recorder", host, directory) if former else None

    async def resources(app: web.Application) -> AsyncIterator[None]:
        quota = int(found.spool_quota_gb * 1e9)
        with await asyncio.to_thread(Spool, directory / "spool", quota) as spool:
            peers = Peers(app[CLIENT], signer, found.anchor_interval_seconds, previous)
            recorder = Recorder(spool, peers, app[TASKS], found.capture_socket)
            app[RECORDER] = recorder
            app[CHECKS].add("registration", signer.check)
            app[TASKS].start("registration", lambda: signer.register(app[CLIENT]))
            await recorder.recover()
            yield
            await app[TASKS].close()
            recorder.close()

    return kit.build(
        contract.SERVICE,
        handlers,
        resources=[resources],
        client=service_client(found, contract.SERVICE),
    )


def _in_phase(call: Call, session: str, *phases: str) -> Recording:
    recording = call.app[RECORDER].find(session)
    if recording.state.phase not in phases:
        raise _wrong_phase(recording)
    return recording


def _wrong_phase(recording: Recording) -> Conflict:
    phase = recording.state.phase
    return Conflict(f"the recording is {phase}", code=Code.SESSION_STATE, state=phase)
