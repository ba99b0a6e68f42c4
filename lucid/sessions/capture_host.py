"""Runs the programs of one capture for the recorder, as a user that nothing else on the host runs as.

``python -m lucid.sessions.capture_host``, its standard input one connection of the recorder's: systemd
accepts it (``lucid-capture.socket``) and starts this in a unit for it alone. When the connection ends,
whichever way, all that runs here is killed. Only the standard library, and what of the tree needs no more.

Each message is one JSON object:

- ``{"start": KIND, "arguments": [TEXT, ...]}`` with three descriptors, the program's standard streams. The
  answer is ``{"started": KIND, "pid": N}`` or ``{"refused": KIND, "why": TEXT}``. Each kind once.
- ``{"signal": KIND, "number": N}``, SIGTERM or SIGKILL; not answered.
- ``{"ended": KIND, "status": N}`` comes by itself: an exit status, or minus a signal's number.

Whatever else comes ends the connection.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass

from lucid.kit.notify import Notifier
from lucid.sessions import capture_jobs, handed_over
from lucid.sessions.capture_jobs import Job
from lucid.sessions.recording_errors import CaptureSettingError, RecordingError

LARGEST_MESSAGE = 4096
"""Bytes of a message, either way."""
STREAMS = 3
SIGNALS = frozenset({signal.SIGTERM, signal.SIGKILL})


class RequestError(RecordingError):
    """A message is not one that there is; the text says why."""


@dataclass(frozen=True, slots=True)
class Start:
    """Run this, with the descriptors that came along as its standard input, output and error."""

    job: Job


@dataclass(frozen=True, slots=True)
class Signal:
    """Send this to what was started."""

    kind: str
    number: int


def parse(message: bytes, files: int) -> Start | Signal:
    """A request, and how many descriptors came with it. Raises RequestError."""
    try:
        found = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"a message is no JSON: {type(error).__name__}") from None
    match found:
        case {"start": str(kind), "arguments": [*arguments], **rest} if not rest:
            texts = tuple(each for each in arguments if isinstance(each, str))
            if len(texts) != len(arguments):
                raise RequestError("`arguments` are texts")
            if files != STREAMS:
                raise RequestError(f"{files} descriptors came with `start`: there are {STREAMS} streams")
            return Start(Job(kind, texts))
        case {"signal": str(kind), "number": int(number), **rest} if not rest:
            if number not in SIGNALS or isinstance(number, bool):
                raise RequestError("`number` is neither SIGTERM nor SIGKILL")
            if files:
                raise RequestError("descriptors came with `signal`")
            return Signal(kind, number)
    raise RequestError("a message is neither `start` with `arguments` nor `signal` with `number`")


class CaptureHost:
    """The programs of one connection."""

    def __init__(self, channel: socket.socket, notifier: Notifier) -> None:
        self._channel = channel
        self._notifier = notifier
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._ends: dict[int, str] = {}
        """By descriptor of a process: its kind, until it has ended."""
        self._poll = select.poll()

    def serve(self) -> None:
        """Do what is asked for until the connection ends; nothing runs any more then.

        Raises RecordingError (what came is no request) or OSError, with nothing left running too.
        """
        watchdog = self._notifier.watchdog_seconds
        self._poll.register(self._channel, select.POLLIN)
        try:
            while True:
                ready = self._poll.poll(None if watchdog is None else 1000 * watchdog / 3)
                self._notifier.send("WATCHDOG=1")
                for descriptor, _ in ready:
                    if descriptor in self._ends:
                        self._reap(descriptor)
                    elif not self._answer():
                        return
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            for process in self._started.values():
                process.kill()
                process.wait()

    def _answer(self) -> bool:
        message, files = handed_over.read(self._channel, LARGEST_MESSAGE, STREAMS)
        try:
            if not message:
                return False
            request = parse(message, len(files))
            if isinstance(request, Start):
                self._start(request.job, files)
            elif request.kind not in self._started:
                raise RequestError("a signal is for a program that was not started")
            else:
                self._started[request.kind].send_signal(request.number)
        finally:
            handed_over.close(files)
        return True

    def _start(self, job: Job, streams: list[int]) -> None:
        if job.kind in self._started:
            raise RequestError(f"the {job.kind} was started before")
        stdin, stdout, stderr = streams
        try:
            process = subprocess.Popen(
                capture_jobs.command(job),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=capture_jobs.environment(job),
                start_new_session=True,
                preexec_fn=capture_jobs.die_with_parent(),  # noqa: PLW1509 - there are no threads here
            )
        except (OSError, CaptureSettingError) as error:
            return self._say({"refused": job.kind, "why": str(error)[:500]})
        self._started[job.kind] = process
        descriptor = os.pidfd_open(process.pid)
        self._ends[descriptor] = job.kind
        self._poll.register(descriptor, select.POLLIN)
        return self._say({"started": job.kind, "pid": process.pid})

    def _reap(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        os.close(descriptor)
        kind = self._ends.pop(descriptor)
        self._say({"ended": kind, "status": self._started[kind].wait()})

    def _say(self, answer: dict[str, str | int]) -> None:
        self._channel.send(json.dumps(answer).encode())


def main() -> int:
    """Returns the exit status; what was wrong is said on standard error."""
    try:
        with socket.socket(fileno=handed_over.STANDARD_INPUT) as channel:
            if (channel.family, channel.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
                raise RequestError("standard input is no connection of the recorder's")
            CaptureHost(channel, Notifier.from_environment(os.environ)).serve()
    except (RecordingError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
