"""Units of systemd, started and stopped through its D-Bus interface (org.freedesktop.systemd1(5)).

Whether the agent may do that to a unit is polkit's to say; the xrdp role lets it manage desktops and
listeners.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from dbus_fast import AuthError, BusType, Message, MessageType
from dbus_fast.aio import MessageBus

JOB_SECONDS = 30.0
CONNECT_SECONDS = 5.0
_SYSTEMD, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_MANAGER, _UNIT = f"{_SYSTEMD}.Manager", f"{_SYSTEMD}.Unit"
_GONE = f"{_SYSTEMD}.NoSuchUnit"


class UnitError(Exception):
    """A unit could not be started or stopped. The message is systemd's result or error."""


class Systemd:
    """The system's manager, over a connection that is made anew when the bus has ended it. `close` it."""

    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()
        self._ended: dict[str, str] = {}
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def check(self) -> None:
        """Raises UnitError."""
        await self.state("lucid.target")

    async def start(self, unit: str) -> None:
        """Returns when it has started. Raises UnitError."""
        await self._job("StartUnit", unit)

    async def stop(self, unit: str) -> None:
        """Returns when nothing of it runs any more; one that does not run is no error. Raises UnitError."""
        try:
            await self._job("StopUnit", unit)
        except UnitError as error:
            if error.args[0] != _GONE:
                raise

    async def state(self, unit: str) -> str:
        """Its ActiveState, e.g. `active`, `inactive`, `failed`. Raises UnitError."""
        try:
            (path,) = await self._call(_PATH, _MANAGER, "GetUnit", "s", unit)
        except UnitError as error:
            if error.args[0] == _GONE:
                return "inactive"
            raise
        properties = "org.freedesktop.DBus.Properties"
        (found,) = await self._call(path, properties, "Get", "ss", _UNIT, "ActiveState")
        return str(found.value)

    def close(self) -> None:
        """Ends the connection."""
        if self._bus is not None:
            self._bus.disconnect()

    async def _connected(self) -> MessageBus:
        """Raises UnitError."""
        async with self._connecting:
            if self._bus is not None and self._bus.connected:
                return self._bus
            bus = self._bus = MessageBus(bus_type=BusType.SYSTEM)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await bus.connect()
                    bus.add_message_handler(self._hear)
                    await bus.call(_to_systemd(_PATH, _MANAGER, "Subscribe", "", ()))
                    await bus.call(_match())
            except (OSError, EOFError, TimeoutError, AuthError) as error:
                bus.disconnect()
                raise UnitError(f"the system bus cannot be reached: {error}") from None
            return bus

    async def _job(self, method: str, unit: str) -> None:
        (path,) = await self._call(_PATH, _MANAGER, method, "ss", unit, "replace")
        result = self._ended.pop(path, None)
        if result is None:
            waiting = self._waiting[path] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(JOB_SECONDS):
                    result = await waiting
            except TimeoutError:
                raise UnitError(f"{unit}: {method} took longer than {JOB_SECONDS:g} s") from None
            finally:
                del self._waiting[path]
        if result != "done":
            raise UnitError(f"{unit}: {result}")

    def _hear(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.member == "JobRemoved":
            _number, path, _unit, result = message.body
            if waiting := self._waiting.get(path):
                if not waiting.done():
                    waiting.set_result(result)
            else:  # it may be over before the answer with its name is read
                self._ended[path] = result
                while len(self._ended) > 64:
                    self._ended.pop(next(iter(self._ended)))

    async def _call(self, path: str, interface: str, member: str, signature: str = "", *body: str) -> Any:
        bus = await self._connected()
        try:
            async with asyncio.timeout(JOB_SECONDS):
                answer = await bus.call(_to_systemd(path, interface, member, signature, body))
        except (OSError, EOFError) as error:
            raise UnitError(f"the system bus is gone: {error}") from None
        except TimeoutError:
            raise UnitError(f"systemd does not answer {member}") from None
        if answer.message_type is MessageType.ERROR:
            raise UnitError(answer.error_name, *answer.body)
        return answer.body


def _to_systemd(path: str, interface: str, member: str, signature: str, body: Sequence[str]) -> Message:
    return Message(
        destination=_SYSTEMD,
        path=path,
        interface=interface,
        member=member,
        signature=signature,
        body=list(body),
    )


def _match() -> Message:
    return Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member="AddMatch",
        signature="s",
        body=[f"type='signal',interface='{_MANAGER}',member='JobRemoved'"],
    )
