"""Units of systemd, started and stopped through its D-Bus interface (org.freedesktop.systemd1(5)).

Whether the agent may do that to a unit is polkit's to say; the xrdp role lets it manage desktops and
listeners.
"""

import asyncio
from typing import Any, Self

from dbus_fast import BusType, DBusError, Message, MessageType
from dbus_fast.aio import MessageBus

from lucid.kit.errors import Unavailable

JOB_SECONDS = 30.0
_SYSTEMD, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_MANAGER, _UNIT = f"{_SYSTEMD}.Manager", f"{_SYSTEMD}.Unit"
_GONE = f"{_SYSTEMD}.NoSuchUnit"


class UnitError(Exception):
    """A unit could not be started or stopped. The message is systemd's result or error."""


class Systemd:
    """The system's manager. `close` it."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._ended: dict[str, str] = {}
        self._waiting: dict[str, asyncio.Future[str]] = {}
        bus.add_message_handler(self._hear)

    @classmethod
    async def connect(cls) -> Self:
        """Raises Unavailable."""
        try:
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            manager = cls(bus)
            await manager._call(_PATH, _MANAGER, "Subscribe")
            match = f"type='signal',interface='{_MANAGER}',member='JobRemoved'"
            await manager._ask(
                Message(
                    destination="org.freedesktop.DBus",
                    path="/org/freedesktop/DBus",
                    interface="org.freedesktop.DBus",
                    member="AddMatch",
                    signature="s",
                    body=[match],
                )
            )
        except (OSError, EOFError, DBusError, UnitError) as error:
            raise Unavailable(f"systemd cannot be reached: {error}") from None
        return manager

    @property
    def connected(self) -> bool:
        """Whether the bus is there."""
        return bool(self._bus.connected)

    async def check(self) -> None:
        """Raises Unavailable."""
        if not self.connected:
            raise Unavailable("systemd cannot be reached: the system bus has ended the connection")
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
        self._bus.disconnect()

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
        return await self._ask(
            Message(
                destination=_SYSTEMD,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
            )
        )

    async def _ask(self, message: Message) -> Any:
        try:
            async with asyncio.timeout(JOB_SECONDS):
                answer = await self._bus.call(message)
        except (OSError, EOFError) as error:
            raise UnitError(f"the system bus is gone: {error}") from None
        except TimeoutError:
            raise UnitError(f"systemd does not answer {message.member}") from None
        if answer.message_type is MessageType.ERROR:
            raise UnitError(answer.error_name, *answer.body)
        return answer.body
