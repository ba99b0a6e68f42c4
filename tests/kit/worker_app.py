"""The sample service which the worker's tests run as a process: `worker_app.py CONFIG`, CONFIG being JSON.

`listeners`: [{name, port, tls?: {cert, key, ca, mode}, carried?: bool}], `options`: fields of ServeOptions,
`startup`: seconds its start takes, `cleanup`: seconds its end takes, `broken_by`: a file whose presence makes
the start fail, with SystemExit if it says "exit", with CancelledError if it says "cancel".
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from lucid.kit.draining import DRAINING
from lucid.kit.serve import Listener, ServeOptions, run
from lucid.kit.tls import TlsConfig, peer_names

log = logging.getLogger("sample")


async def who(request: web.Request) -> web.Response:
    names = sorted(peer_names(request.get_extra_info("peercert")))
    secretive = [name for name in os.environ if name.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_"))]
    told = {"pid": os.getpid(), "peer": names, "environment": secretive}
    return web.json_response(told | {"remote": request.remote, "circuit": request.get_extra_info("circuit")})


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def slow(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.query["seconds"]))
    return web.Response(text="done")


async def block(request: web.Request) -> web.Response:
    time.sleep(float(request.query["seconds"]))  # noqa: ASYNC251  # blocking the loop is the point
    return web.Response(text="done")


class Cycle:
    """Something that counting references does not free."""

    def __init__(self) -> None:
        self.itself = self


async def waste(request: web.Request) -> web.Response:
    made = [weakref.ref(Cycle()) for _ in range(int(request.query["cycles"]))]
    kept = sum(each() is not None for each in made)
    return web.json_response({"kept": kept, "spared": gc.get_freeze_count()})


async def ready(request: web.Request) -> web.Response:
    return web.Response(status=503 if request.app[DRAINING].active else 200)


async def until_draining(request: web.Request) -> web.Response:
    await request.app[DRAINING].wait()
    return web.Response(text="draining")


def make_app(config: dict[str, Any]) -> web.Application:
    async def resource(_: web.Application) -> AsyncIterator[None]:
        await asyncio.sleep(config.get("startup", 0))
        log.info("resource opened")
        yield
        await asyncio.sleep(config.get("cleanup", 0))
        log.info("resource closed")

    broken_by = Path(config.get("broken_by", "/nonexistent"))
    if broken_by.exists():
        if broken_by.read_text() == "exit":
            sys.exit("the sample exits")
        if broken_by.read_text() == "cancel":
            raise asyncio.CancelledError
        raise RuntimeError("the sample is broken")
    app = web.Application()
    app.cleanup_ctx.append(resource)
    app.router.add_get("/", who)
    app.router.add_post("/echo", echo)
    app.router.add_get("/slow", slow)
    app.router.add_get("/block", block)
    app.router.add_get("/waste", waste)
    app.router.add_get("/ready", ready)
    app.router.add_get("/until-draining", until_draining)
    return app


def tls_config(files: dict[str, Any] | None) -> TlsConfig | None:
    if files is None:
        return None
    return TlsConfig(Path(files["cert"]), Path(files["key"]), Path(files["ca"]), files["mode"])


def main() -> None:
    config = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")

    async def factory() -> web.Application:
        return make_app(config)

    listeners = [
        Listener(
            each["name"],
            "127.0.0.1",
            each["port"],
            tls_config(each.get("tls")),
            carried=each.get("carried", False),
        )
        for each in config["listeners"]
    ]
    run(
        factory,
        listeners,
        ServeOptions(**config.get("options", {})),
        on_worker_exit=lambda pid: log.info("told of the end of %s", pid),
    )


if __name__ == "__main__":
    main()
