"""A page on loopback that plays a recording as its chunks come."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from importlib import resources

from aiohttp import web
from aiohttp.typedefs import Handler

from lucid.cli.api import ApiError
from lucid.cli.output import Failure
from lucid.cli.watch_pieces import Pieces, RecordingOverError

ADDRESS = "127.0.0.1"
FILES = {"": ("watch.html", "text/html"), "watch.js": ("watch.js", "text/javascript")}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; media-src blob:;"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@contextlib.asynccontextmanager
async def serving(pieces: Pieces, port: int = 0) -> AsyncIterator[str]:
    """Serves the page for as long as the context lasts; yields its address. Raises OSError.

    Everybody on this machine reaches its loopback, so the address has a part that nobody can guess.
    """
    secret = secrets.token_urlsafe(24)
    app = web.Application()
    app.router.add_get(f"/{secret}/pieces/{{index:[0-9]{{1,9}}}}", _piece_of(pieces))
    for name, (file, kind) in FILES.items():
        app.router.add_get(f"/{secret}/{name}", _file(file, kind, pieces))
    app.on_response_prepare.append(_harden)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, ADDRESS, port)
        await site.start()
        yield f"http://{ADDRESS}:{runner.addresses[0][1]}/{secret}/"
    finally:
        await runner.cleanup()


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _file(name: str, kind: str, pieces: Pieces) -> Handler:
    text = (resources.files("lucid.cli") / name).read_text()
    text = text.replace("{session}", pieces.session).replace("{first}", str(pieces.first))

    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind)

    return handle


def _piece_of(pieces: Pieces) -> Handler:
    """200: a chunk; 204: none yet; 410: there will be no more; 404: before the first; 502: what failed."""

    async def handle(request: web.Request) -> web.Response:
        index = int(request.match_info["index"])
        if index < pieces.first:
            return web.Response(status=404, text=f"what is shown begins with chunk {pieces.first}")
        try:
            piece = await pieces.piece(index)
        except RecordingOverError:
            return web.Response(status=410)
        except (ApiError, Failure) as error:
            return web.Response(status=502, text=str(error))
        if piece is None:
            return web.Response(status=204)
        headers = {"Lucid-Codec": piece.codec, "Lucid-Offset": f"{piece.offset:.6f}"}
        return web.Response(body=piece.data, content_type="video/mp4", headers=headers)

    return handle
