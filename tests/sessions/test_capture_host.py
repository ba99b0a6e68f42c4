"""The host of a capture's programs: what it takes, what it runs, and that nothing outlives its connection."""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid.sessions.capture_host import Signal, Start, parse
from lucid.sessions.capture_jobs import Job, command
from lucid.sessions.capture_unit import CaptureUnit
from lucid.sessions.recording_errors import CaptureSettingError, CaptureStartError, RecordingError
from tests.sessions.capture_units import COMMAND, accepting

ENCODER = {"start": "encoder", "arguments": ["low"]}
GRABBER = {"start": "grabber", "arguments": ["7", "640", "480", "15"]}
WRONG = {
    "nothing": "",
    "no JSON": "{",
    "too deep": "[" * 4000,
    "a number": "1",
    "no verb": {},
    "two verbs": {"start": "encoder", "arguments": ["low"], "signal": "encoder", "number": 9},
    "an unknown field": ENCODER | {"environment": {}},
    "a command": {"start": ["/bin/sh"], "arguments": []},
    "arguments that are none": {"start": "encoder", "arguments": "low"},
    "a number for a text": {"start": "encoder", "arguments": [1]},
    "a signal by name": {"signal": "encoder", "number": "SIGKILL"},
    "another signal": {"signal": "encoder", "number": int(signal.SIGSTOP)},
    "true for a signal": {"signal": "encoder", "number": True},
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
named = st.dictionaries(st.sampled_from(["start", "arguments", "signal", "number", "pid"]), values)


class TestRequests:
    def test_are_read(self) -> None:
        assert parse(json.dumps(ENCODER).encode(), 3) == Start(Job("encoder", ("low",)))
        assert parse(b'{"signal": "grabber", "number": 15}', 0) == Signal("grabber", 15)

    @pytest.mark.parametrize("name", WRONG)
    def test_are_refused(self, name: str) -> None:
        message = WRONG[name] if isinstance(WRONG[name], str) else json.dumps(WRONG[name])
        with pytest.raises(RecordingError, match=r"message|arguments|number"):
            parse(str(message).encode(), 3 if "start" in message else 0)

    @pytest.mark.parametrize(("message", "files"), [(ENCODER, 2), ({"signal": "encoder", "number": 9}, 1)])
    def test_are_refused_with_other_files(self, message: dict[str, object], files: int) -> None:
        with pytest.raises(RecordingError, match="descriptors"):
            parse(json.dumps(message).encode(), files)

    @given(st.binary(max_size=100) | (named | values).map(lambda each: json.dumps(each).encode()))
    def test_never_break_the_parser(self, message: bytes) -> None:
        with contextlib.suppress(RecordingError):
            assert isinstance(parse(message, 3), Start | Signal)


class TestJobs:
    @pytest.mark.parametrize(
        ("kind", "arguments", "words"),
        [
            ("sh", ("-c", "id"), "no part of a capture: encoder, grabber, listener are"),
            ("encoder", (), "encoder takes quality, not 0 arguments"),
            ("encoder", ("-i",), "quality of the encoder is '-i': low, medium, high, ultra"),
            ("grabber", ("7", "640", "480"), "takes display, width, height, frame_rate, not 3"),
            ("grabber", ("-1", "640", "480", "15"), "display of the grabber is '-1': 0 to 65535"),
            ("grabber", ("7", "7681", "480", "15"), "width of the grabber is '7681': 320 to 7680"),
            ("grabber", ("7", "640", "\u0664\u0668\u0660", "15"), "height of the grabber"),
            ("grabber", ("7", "640", "480", "15 "), "frame_rate of the grabber is '15 ': 1 to 120"),
            (
                "listener",
                ("7", "input,"),
                "wanted of the listener is 'input,': input, clipboard, input,clipboard",
            ),
        ],
    )
    def test_are_of_the_known_kinds_and_forms_only(
        self, kind: str, arguments: tuple[str, ...], words: str
    ) -> None:
        with pytest.raises(CaptureSettingError, match=words):
            command(Job(kind, arguments))

    @given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=5))
    def test_never_become_another_command(self, kind: str, arguments: list[str]) -> None:
        for each in (kind, "encoder", "grabber"):
            with contextlib.suppress(CaptureSettingError):
                assert command(Job(each, tuple(arguments)))[0].endswith(("ffmpeg", "python", "python3"))


class Recorder:
    """The other end of a host's connection, and pipes for what is started."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(10)
        with theirs:
            self.host = subprocess.Popen(COMMAND, stdin=theirs.fileno(), stderr=subprocess.PIPE)
        self.stdin, self.given = os.pipe()
        self.taken, self.stdout = os.pipe()

    def ask(self, request: object, *files: int) -> None:
        socket.send_fds(self.channel, [json.dumps(request).encode()], files)

    def answer(self) -> dict[str, object]:
        return dict(json.loads(self.channel.recv(4096)))

    def start_encoder(self) -> int:
        """Returns its process id. It waits for frames."""
        self.ask(ENCODER, self.stdin, self.stdout, self.stdout)
        answer = self.answer()
        assert answer.keys() == {"started", "pid"}
        return int(str(answer["pid"]))

    def end(self) -> tuple[int, str]:
        """The host's exit status and what it said, once it has ended."""
        assert self.host.stderr is not None
        status = self.host.wait(timeout=10)
        return status, self.host.stderr.read().decode()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    one = Recorder()
    yield one
    one.channel.close()
    one.host.wait(timeout=10)
    assert one.host.stderr is not None
    one.host.stderr.close()
    for each in (one.stdin, one.given, one.taken, one.stdout):
        os.close(each)


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


class TestHost:
    def test_ends_what_it_is_told_to_and_says_how(self, recorder: Recorder) -> None:
        pid = recorder.start_encoder()
        recorder.ask({"signal": "encoder", "number": int(signal.SIGKILL)})
        assert recorder.answer() == {"ended": "encoder", "status": -signal.SIGKILL}
        assert gone(pid)
        assert recorder.host.poll() is None

    def test_says_what_it_cannot_run(self, recorder: Recorder) -> None:
        recorder.ask({"start": "encoder", "arguments": ["best"]}, *[recorder.stdin] * 3)
        assert recorder.answer().keys() == {"refused", "why"}

    @pytest.mark.parametrize(
        "how", ["close", "kill the host", "nonsense", "twice", "strange signal", "files"]
    )
    def test_leaves_nothing_running(self, recorder: Recorder, how: str) -> None:
        pid = recorder.start_encoder()
        if how == "close":
            recorder.channel.close()
        elif how == "kill the host":
            recorder.host.kill()
        elif how == "nonsense":
            recorder.channel.send(b"nonsense")
        elif how == "twice":
            recorder.ask(ENCODER, *[recorder.stdin] * 3)
        elif how == "strange signal":
            recorder.ask({"signal": "grabber", "number": 9})
        else:
            recorder.ask(ENCODER, *[recorder.stdin] * 4)
        status, said = recorder.end()
        wanted = {"close": 0, "kill the host": -signal.SIGKILL}.get(how, 1)
        assert status == wanted, said
        assert bool(said) == (wanted == 1)
        poll = select.poll()
        with contextlib.suppress(ProcessLookupError):  # it is another's child by now, and may be reaped
            poll.register(os.pidfd_open(pid), select.POLLIN)
            assert poll.poll(2000)

    def test_does_not_serve_another_standard_input(self) -> None:
        done = subprocess.run(COMMAND, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
        assert done.returncode == 1
        assert done.stderr.count(b"\n") == 1


class Liar:
    """In place of a unit: answers the first request with what it is told to."""

    def __init__(self, path: Path, *answers: object) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen()
        self.answers = answers

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with self.listener, connection:
            _, files, _, _ = socket.recv_fds(connection, 4096, 3)
            for answer in self.answers:
                connection.send(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
            connection.recv(4096)
            for each in files:
                os.close(each)


STARTED = {"started": "encoder", "pid": 1}


class TestRecorder:
    @pytest.mark.parametrize(
        "answer",
        [b"nonsense", {}, {"started": "grabber", "pid": 1}, {"started": "encoder", "pid": "1"}, ENCODER, b""],
    )
    async def test_does_not_believe_a_strange_answer(self, tmp_path: Path, answer: object) -> None:
        liar = Liar(tmp_path / "unit", answer)
        unit = await CaptureUnit.open(str(tmp_path / "unit"))
        serving = asyncio.create_task(asyncio.to_thread(liar.serve))
        with pytest.raises(CaptureStartError, match="the capture's unit has ended"):
            await unit.start(Job("encoder", ("low",)), stdin=0, stdout=1, stderr=2)
        await unit.close()
        await serving

    @pytest.mark.parametrize("status", [256, -65, -32, "0", None])
    async def test_counts_who_ends_strangely_as_killed(self, tmp_path: Path, status: object) -> None:
        liar = Liar(tmp_path / "unit", STARTED, {"ended": "encoder", "status": status})
        unit = await CaptureUnit.open(str(tmp_path / "unit"))
        serving = asyncio.create_task(asyncio.to_thread(liar.serve))
        process = await unit.start(Job("encoder", ("low",)), stdin=0, stdout=1, stderr=2)
        assert await process.wait() == -signal.SIGKILL
        await unit.close()
        await serving

    async def test_gives_up_who_does_not_die(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lucid.sessions.capture_unit.SECONDS_TO_DIE", 0.3)
        with accepting(tmp_path / "unit") as hosts:
            unit = await CaptureUnit.open(str(tmp_path / "unit"))
            reading, writing = os.pipe()
            process = await unit.start(Job("encoder", ("low",)), stdin=reading, stdout=1, stderr=2)
            hosts[0].send_signal(signal.SIGSTOP)
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
            await unit.close()
            hosts[0].send_signal(signal.SIGCONT)
            os.close(reading)
            os.close(writing)
