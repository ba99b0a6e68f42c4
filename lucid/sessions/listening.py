"""One run of the listener on one X display, supervised from start to end, beside the picture's capture."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from lucid.contracts.session_recorder import Events
from lucid.sessions import events, handed_over, listen
from lucid.sessions.capture_jobs import LISTENER, Job
from lucid.sessions.capture_process import CaptureProcess
from lucid.sessions.capture_run import CaptureEnd, CaptureRun, EndCause, failed, killed
from lucid.sessions.events import Line, Still
from lucid.sessions.recorder_display import connect

STALL_SECONDS = 10.0
"""The listener says something once a second."""


class Listener(CaptureRun):
    """Use as a context manager, and iterate over it for its lines::

        async with Listener(7, cookie, ("input",)) as listener:
            async for line in listener:
                ...
        listener.end  # why there are no more

    `capture_socket` as in CaptureSettings: the listener, too, runs in a unit of its own there.
    """

    NAME = LISTENER
    SECONDS_TO_FINISH = 5.0

    def __init__(self, display: int, cookie: bytes, what: Sequence[Events], capture_socket: str = "") -> None:
        super().__init__(display, cookie, capture_socket, STALL_SECONDS)
        self._what = what

    def stop(self) -> None:
        """Ask for the end. Keep iterating: the last lines are still to come, for at most 5 s."""
        self._finish(CaptureEnd(EndCause.STOPPED, "stopped on request"))

    async def __aiter__(self) -> AsyncIterator[Line | Still]:
        rest = b""
        async with contextlib.aclosing(self._output()) as output:
            async for data in output:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    try:
                        yield events.decode(line)
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        self._give_up(f"the listener wrote what is no event: {error}")
                        break
                if len(rest) > events.LONGEST_LINE:
                    self._give_up("the listener wrote a line without an end")

    def _give_up(self, why: str) -> None:
        self._break_off(CaptureEnd(EndCause.FAILED, why))

    async def _start(self, opened: contextlib.AsyncExitStack) -> None:
        unit = await self._unit(opened)
        job = Job(LISTENER, (str(self._display), ",".join(self._what)))
        with (
            await connect(self._display, self._sockets) as connected,
            handed_over.give(connected, self._cookie) as stdin,
        ):
            process = await CaptureProcess.start(job, stdin=stdin.fileno(), unit=unit)
        self._writer = self._client = self._run(opened, process)

    async def _resolve_end(self) -> CaptureEnd:
        status = await self._writer.end_within(self.SECONDS_TO_FINISH)
        if self._asked is not None and (status == 0 or self._broken_off):
            return self._asked
        if status < 0:
            return killed(self._writer, status)
        if status == listen.CUT_OFF:
            return await self._lost() or self._evicted(LISTENER)
        return await failed(self._writer, status, f"the {LISTENER}", 1)
