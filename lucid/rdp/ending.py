"""Ends desktops on their hosts. A port is free again only once its host says that it is."""

from pymongo.errors import PyMongoError

from lucid.contracts import session_api
from lucid.contracts import session_controller as controller
from lucid.contracts.session_recorder import StopRecording
from lucid.contracts.types import SessionPath
from lucid.kit.client import ServiceClient
from lucid.kit.errors import LucidError, NotFound
from lucid.kit.logs import log
from lucid.kit.mongo import Document
from lucid.rdp.clock import now_ms
from lucid.rdp.desktop_store import DesktopStore

END_SECONDS = 8.0


class Ender:
    """Does what was decided; what cannot be done now is tried again by the watcher."""

    def __init__(self, desktops: DesktopStore, client: ServiceClient) -> None:
        self._desktops = desktops
        self._client = client

    async def end(self, desktop: Document) -> Document:
        """Has a desktop ended whose end is decided, and returns it as it then is.

        A host that does not answer leaves it `ending`.
        """
        if "live" not in desktop:
            return desktop
        path = SessionPath(desktop["_id"])
        try:
            told = await self._client.call(
                controller.END,
                path,
                controller.End(reason=desktop["closing"]),
                host=desktop["host"],
                seconds=END_SECONDS,
            )
        except NotFound:
            # Never begun there: its recording must not wait for a beginning either.
            await self._give_up_recording(path)
            return await self._desktops.close(desktop, desktop["closing"], desktop["detail"], now_ms())
        except LucidError as error:
            log.warning("a desktop could not be ended yet", session=desktop["_id"], error=error.message)
            return desktop
        return await self._desktops.bring(desktop, told)

    async def undo(self, session: str, reason: controller.Ending, detail: str) -> None:
        """Takes back a desktop whose start failed. What cannot be done now is left to the watcher."""
        try:
            await self.end(await self._desktops.decide_end(session, reason, detail))
        except (LucidError, PyMongoError) as error:
            log.warning("a start could not be undone yet", session=session, error=str(error))

    async def end_stray(self, session: str, host: str) -> None:
        """Ends what lives on a host though it has ended, or is unknown, to everybody else."""
        log.warning("a desktop lives on that has ended for us; it is ended", session=session, host=host)
        await self._client.call(
            controller.END,
            SessionPath(session),
            controller.End(reason="host_lost"),
            host=host,
            seconds=END_SECONDS,
        )

    async def _give_up_recording(self, path: SessionPath) -> None:
        try:
            stop = StopRecording(path.session)
            await self._client.call(session_api.STOP_MANAGED, stop, seconds=END_SECONDS)
        except NotFound:
            pass
        except LucidError as error:
            log.warning("a recording could not be given up", session=path.session, error=error.message)
