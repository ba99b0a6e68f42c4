"""The desktops of this host: what is in each slot, and how it comes and goes."""

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from lucid.contracts import xrdp as contract
from lucid.evidence import policy as policies
from lucid.evidence.errors import EvidenceError
from lucid.kit.errors import Code, Conflict, Invalid, NotFound, Unavailable
from lucid.kit.logs import log
from lucid.rdp import connected, slot_directory, slots
from lucid.rdp.logins import Question
from lucid.rdp.slot_directory import Directory, Kept
from lucid.rdp.systemd import Systemd, UnitError

START_SECONDS = 10.0
"""How long X server and xorgxrdp may take until they listen."""
LOOK_SECONDS = 0.02
_STATES: dict[str, contract.DesktopState] = {"active": "running", "activating": "starting"}
"""Of a desktop, by its unit's; any other means that it is over."""


class Desks:
    """All slots. Each changes under a lock of its own."""

    def __init__(self, root: Path, systemd: Systemd) -> None:
        self._root = root
        self._systemd = systemd
        self._kept: dict[int, Kept] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    def recover(self) -> None:
        """Takes up the slots of an earlier life. One that cannot be read is left for `end`."""
        for port in slot_directory.in_use(self._root):
            try:
                kept = Directory(self._root, port).read()
            except msgspec.MsgspecError as error:
                log.error("slot cannot be read", port=port, error=str(error))
                kept = None
            if kept is not None:
                self._kept[port] = kept

    async def prepare(self, port: int, desktop: contract.Desktop) -> contract.Shown:
        """Starts the slot's desktop; the same again is no error. Raises Conflict, Invalid, Unavailable."""
        try:
            policy = policies.verify(desktop.trust.encode())
        except EvidenceError as error:
            raise Invalid(f"trust: {error}") from None
        async with self._lock(port):
            if kept := self._kept.get(port):
                if kept.desktop != desktop:
                    raise Conflict(f"port {port} is session {kept.desktop.session}'s")
            else:
                await self._start(port, desktop, policy)
            cookie = await asyncio.to_thread(Directory(self._root, port).cookie)
            return contract.Shown(display=f":{contract.display_number(port)}", cookie=cookie)

    async def admit(self, port: int, admission: contract.Admission) -> contract.Admitted:
        """Begins to listen for one client. Raises NotFound, Conflict, Unavailable."""
        try:
            address = ipaddress.ip_address(admission.client)
        except ValueError:
            raise Invalid(f"client: {admission.client!r} is no IP address") from None
        admission = msgspec.structs.replace(
            admission, client=str(getattr(address, "ipv4_mapped", None) or address)
        )
        async with self._lock(port):
            kept = self._find(port)
            if await self._desktop_state(port) != "running":
                raise Conflict(f"the desktop at port {port} is over", code=Code.SESSION_STATE)
            directory = Directory(self._root, port)
            await self._stop(slots.listener_of(port))
            now = time.time_ns() // 1_000_000
            kept = msgspec.structs.replace(kept, admission=admission, admitted_ms=now, logged_in_ms=None)
            await self._keep(port, kept)
            await asyncio.to_thread(directory.admit, admission)
            await self._begin(slots.listener_of(port))
            return contract.Admitted(certificate_sha256=await asyncio.to_thread(_fingerprint, directory))

    async def close(self, port: int) -> None:
        """Listens no more; nothing there is no error. Raises Unavailable."""
        async with self._lock(port):
            await self._stop(slots.listener_of(port))
            if kept := self._kept.get(port):
                await self._keep(port, msgspec.structs.replace(kept, admission=None))

    async def end(self, port: int) -> None:
        """Ends the slot's desktop and removes all of it; nothing there is no error. Raises Unavailable."""
        async with self._lock(port):
            # The directory goes last: as long as it is there, the slot is known to be in use.
            await self._stop(slots.listener_of(port))
            await self._stop(slots.desktop_of(port))
            await self._stop(slots.slice_of(port))
            await asyncio.to_thread(Directory(self._root, port).remove)
            if self._kept.pop(port, None) is not None:
                log.info("slot is free", port=port)

    async def view(self, port: int) -> contract.Slot:
        """What is in a slot. Raises NotFound, Unavailable."""
        kept = self._find(port)
        tables = await asyncio.to_thread(lambda: [table.read_text() for table in connected.TABLES])
        return await self._view(port, kept, connected.clients(tables))

    async def views(self) -> contract.Slots:
        """All slots in use, those that cannot be read left out. Raises Unavailable."""
        tables = await asyncio.to_thread(lambda: [table.read_text() for table in connected.TABLES])
        clients = connected.clients(tables)
        return contract.Slots(
            tuple([await self._view(port, kept, clients) for port, kept in self._kept.items()])
        )

    def log_in(self, asked: Question) -> bool:
        """Whether this is the first login of the client that was admitted at the port that asks."""
        port = int(asked.user) if asked.user.isdigit() and len(asked.user) == 5 else 0
        kept = self._kept.get(port)
        admission = kept.admission if kept else None
        given = hashlib.sha256(asked.password).hexdigest()
        if kept is None or admission is None or not hmac.compare_digest(admission.password_sha256, given):
            log.warning("login refused", port=port)
            return False
        if not self._open(kept):
            log.warning("login came too late", port=port, session_id=kept.desktop.session)
            return False
        now = time.time_ns() // 1_000_000
        self._kept[port] = msgspec.structs.replace(kept, admission=None, logged_in_ms=now)
        Directory(self._root, port).keep(self._kept[port])  # before the answer: used up is used up
        log.info("logged in", port=port, session_id=kept.desktop.session)
        return True

    @staticmethod
    def _open(kept: Kept) -> bool:
        if kept.admission is None or kept.admitted_ms is None:
            return False
        return time.time_ns() // 1_000_000 <= kept.admitted_ms + 1000 * kept.admission.seconds

    async def _start(self, port: int, desktop: contract.Desktop, policy: policies.TrustPolicy) -> None:
        directory = Directory(self._root, port)
        await self._stop(slots.listener_of(port))
        await self._stop(slots.desktop_of(port))
        await asyncio.to_thread(directory.remove)
        try:
            await asyncio.to_thread(directory.make, desktop, policy, secrets.token_hex(16))
            self._kept[port] = Kept(desktop=desktop)
            await self._begin(slots.desktop_of(port))
            await self._listening(port, directory)
        except BaseException:
            self._kept.pop(port, None)
            with suppress(Unavailable):
                await self._stop(slots.desktop_of(port))
            await asyncio.to_thread(directory.remove)
            raise
        log.info("desktop started", port=port, session_id=desktop.session)

    async def _listening(self, port: int, directory: Directory) -> None:
        until = time.monotonic() + START_SECONDS
        while not (directory.display_socket.is_socket() and directory.desktop_socket.is_socket()):
            if await self._desktop_state(port) == "over":
                raise Unavailable(f"the desktop at port {port} ended before it was there", code=Code.EXTERNAL)
            if time.monotonic() > until:
                raise Unavailable(f"no X server within {START_SECONDS:g} s at port {port}", code=Code.TIMEOUT)
            await asyncio.sleep(LOOK_SECONDS)

    async def _view(self, port: int, kept: Kept, clients: dict[int, tuple[str, ...]]) -> contract.Slot:
        try:
            listener = await self._systemd.state(slots.listener_of(port))
        except UnitError as error:
            raise _away(error) from None
        return contract.Slot(
            port=port,
            session=kept.desktop.session,
            desktop=await self._desktop_state(port),
            listening=listener == "active",
            clients=clients.get(port, ()),
            logged_in_ms=kept.logged_in_ms,
        )

    async def _desktop_state(self, port: int) -> contract.DesktopState:
        try:
            state = await self._systemd.state(slots.desktop_of(port))
        except UnitError as error:
            raise _away(error) from None
        return _STATES.get(state, "over")

    async def _begin(self, unit: str) -> None:
        try:
            await self._systemd.start(unit)
        except UnitError as error:
            raise _away(error) from None

    async def _stop(self, unit: str) -> None:
        try:
            await self._systemd.stop(unit)
        except UnitError as error:
            raise _away(error) from None

    async def _keep(self, port: int, kept: Kept) -> None:
        self._kept[port] = kept
        await asyncio.to_thread(Directory(self._root, port).keep, kept)

    def _find(self, port: int) -> Kept:
        if port not in self._kept:
            raise NotFound(f"nothing is at port {port}")
        return self._kept[port]

    def _lock(self, port: int) -> asyncio.Lock:
        return self._locks.setdefault(port, asyncio.Lock())


def _away(error: UnitError) -> Unavailable:
    return Unavailable(f"systemd: {' '.join(map(str, error.args))}", code=Code.EXTERNAL)


def _fingerprint(directory: Directory) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(directory.certificate())
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the listener's certificate cannot be read: {error}", code=Code.CONFIGURATION
        ) from None
    return certificate.fingerprint(SHA256()).hex()
