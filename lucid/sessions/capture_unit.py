"""The recorder's side of `capture_host`: programs of a capture that run in a unit, as a user, of their own.

What runs there has looked at pictures and bytes that the session's user makes, so what it says is
believed in this form only, and nothing here waits for it without end.
"""

import asyncio
import contextlib
import json
import signal
import socket
from typing import Annotated, Self

import msgspec

from lucid.kit.logs import log
from lucid.sessions.capture_host import LARGEST_MESSAGE
from lucid.sessions.capture_jobs import Job
from lucid.sessions.recording_errors import CaptureStartError

SECONDS_TO_START = 10.0
SECONDS_TO_DIE = 5.0
"""After SIGKILL, and after the connection was closed. Who has said nothing by then counts as dead."""


class _Started(msgspec.Struct, forbid_unknown_fields=True):
    started: str
    pid: Annotated[int, msgspec.Meta(gt=0)]


class _Refused(msgspec.Struct, forbid_unknown_fields=True):
    refused: str
    why: str


class _Ended(msgspec.Struct, forbid_unknown_fields=True):
    ended: str
    status: Annotated[int, msgspec.Meta(ge=-64, le=255)]


class UnitProcess:
    """Running there. ``pid`` is for people to read: only the unit can signal it."""

    def __init__(self, unit: "CaptureUnit", kind: str, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._unit = unit
        self._kind = kind
        self._ended = asyncio.Event()

    def send_signal(self, number: int) -> None:
        """SIGTERM or SIGKILL. One whom SIGKILL does not end in time is given up together with its unit."""
        self._unit.send({"signal": self._kind, "number": int(number)})
        if number == signal.SIGKILL:
            asyncio.get_running_loop().call_later(SECONDS_TO_DIE, self._unit.give_up_unless, self._ended)

    async def wait(self) -> int:
        """Its exit status, or minus the number of the signal that ended it."""
        await self._ended.wait()
        assert self.returncode is not None  # noqa: S101 - set with the event
        return self.returncode

    def end(self, status: int) -> None:
        """It has ended; the first word stands."""
        if self.returncode is None:
            self.returncode = status
            self._ended.set()


class CaptureUnit:
    """One connection, and so one unit. ``close`` ends all that runs in it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._processes: dict[str, UnitProcess] = {}
        self._starting: dict[str, asyncio.Future[_Started | _Refused]] = {}
        self._listening = asyncio.create_task(self._listen(), name="capture unit")

    @classmethod
    async def open(cls, path: str) -> Self:
        """Connect to the socket behind which systemd starts units. Raises CaptureStartError."""
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.setblocking(False)
        try:
            async with asyncio.timeout(SECONDS_TO_START):
                await asyncio.get_running_loop().sock_connect(channel, path)
        except BaseException as error:
            channel.close()
            if isinstance(error, OSError):  # TimeoutError is one
                raise CaptureStartError(f"capture_socket={path!r} does not answer: {error}") from error
            raise
        return cls(channel)

    async def start(self, job: Job, *, stdin: int, stdout: int, stderr: int) -> UnitProcess:
        """Have a program run. Raises CaptureStartError: it was refused, or nobody answered within 10 s."""
        answer = asyncio.get_running_loop().create_future()
        self._starting[job.kind] = answer
        try:
            request = {"start": job.kind, "arguments": job.arguments}
            socket.send_fds(self._channel, [json.dumps(request).encode()], [stdin, stdout, stderr])
            async with asyncio.timeout(SECONDS_TO_START):
                told = await answer
        except TimeoutError:
            raise CaptureStartError(f"{job.kind}: no answer within {SECONDS_TO_START:g} s") from None
        except OSError as error:
            raise CaptureStartError(f"{job.kind} cannot be asked for: {error}") from error
        finally:
            del self._starting[job.kind]
        if isinstance(told, _Refused):
            raise CaptureStartError(f"{job.kind} cannot be run: {told.why}")
        return self._processes[job.kind]

    def send(self, request: dict[str, str | int]) -> None:
        """A request without an answer. Where the unit has gone, so have its programs."""
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps(request).encode())

    def give_up_unless(self, ended: asyncio.Event) -> None:
        """Called some time after SIGKILL: a unit that has not said what became of it is broken."""
        if not ended.is_set():
            log.warning("a capture's unit does not answer and is given up")
            self._listening.cancel()

    async def close(self) -> None:
        """End all that runs there, and wait until it has, for 5 s."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        await asyncio.wait([self._listening], timeout=SECONDS_TO_DIE)
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while message := await loop.sock_recv(self._channel, LARGEST_MESSAGE):
                self._take(msgspec.json.decode(message, type=dict[str, str | int]))
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            log.warning("a capture's unit is given up", error=str(error))
        finally:
            self._channel.close()
            for process in self._processes.values():
                process.end(-signal.SIGKILL)
            for waiting in self._starting.values():
                if not waiting.done():
                    waiting.set_exception(CaptureStartError("the capture's unit has ended"))

    def _take(self, fields: dict[str, str | int]) -> None:
        """One answer. Raises ValueError, msgspec.ValidationError."""
        if "ended" in fields:
            ended = msgspec.convert(fields, _Ended)
            if ended.status < 0:
                signal.Signals(-ended.status)
            self._of(ended.ended).end(ended.status)
            return
        told: _Started | _Refused
        if "started" in fields:
            told = msgspec.convert(fields, _Started)
            kind = told.started
        else:
            told = msgspec.convert(fields, _Refused)
            kind = told.refused
        waiting = self._starting.get(kind)
        if waiting is None or waiting.done():
            raise ValueError("it answers what was not asked")
        if isinstance(told, _Started):
            self._processes[kind] = UnitProcess(self, kind, told.pid)
        waiting.set_result(told)

    def _of(self, kind: str) -> UnitProcess:
        if kind not in self._processes:
            raise ValueError("it tells of the end of what it did not start")
        return self._processes[kind]
