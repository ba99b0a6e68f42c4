"""Starts one service of the catalogue: its settings, its sockets, its metrics directory, then gunicorn."""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import msgspec
from prometheus_client import multiprocess

from lucid import catalog
from lucid.kit import client, logs, serve, settings, tls

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LOOPBACK = "127.0.0.1"


class LaunchSettings(settings.Common, frozen=True, kw_only=True):
    """Settings that decide where a service listens."""

    bind_address: Annotated[
        str, msgspec.Meta(description="address of TLS sockets; plain ones are on loopback", examples=["::"])
    ] = LOOPBACK
    lucid_ports: Annotated[
        Literal["hosts", "local"], msgspec.Meta(description="column of the catalogue that ports come from")
    ] = "hosts"


def run(name: str) -> NoReturn:
    """Serves until told to stop. Exit status 2: settings at fault; others as `lucid.kit.serve.run`."""
    service = catalog.load().services[name]
    try:
        found = settings.load(LaunchSettings)
    except settings.SettingsError as error:
        sys.exit(f"lucid serve {name}: {error}")
    logs.configure(name, found.log_level)
    os.environ[METRICS_VARIABLE] = str(_metrics_directory(found))
    factory = _factory(service)
    options = serve.ServeOptions(workers=service.workers, drain_seconds=found.drain_seconds)
    serve.run(factory, listeners(service, found), options, on_worker_exit=multiprocess.mark_process_dead)


def listeners(service: catalog.Service, found: LaunchSettings) -> list[serve.Listener]:
    """The service's sockets, as the catalogue names them. Plain sockets are only ever on loopback."""
    directory = Path(found.tls_directory)
    cert, key, ca = (directory / file for file in (f"{service.name}.crt", f"{service.name}.key", "ca.crt"))
    made = []
    for listen in service.listen:
        port = listen.local_port if found.lucid_ports == "local" else listen.port
        if listen.tls is catalog.Tls.NONE:
            made.append(serve.Listener(listen.name, LOOPBACK, port))
        else:
            mutual = listen.tls is catalog.Tls.MUTUAL
            config = tls.TlsConfig(cert, key, ca if mutual else None, "mutual" if mutual else "server")
            made.append(serve.Listener(listen.name, found.bind_address, port, config))
    return made


def service_client(found: settings.Common, name: str) -> client.ServiceClient | None:
    """The client for the services that `name` may call, or None where it calls nobody.

    Raises SettingsError that names every missing URL.
    """
    callees = catalog.load().services[name].calls
    if not callees:
        return None
    variables = {callee: client.variable(callee) for callee in callees}
    if missing := [v for v in variables.values() if not os.environ.get(v)]:
        lines = "\n  ".join(f"{v}: is missing (base URL, for example https://10.0.0.2:8086)" for v in missing)
        raise settings.SettingsError(f"cannot start, settings at fault:\n  {lines}")
    directory = Path(found.tls_directory)
    context = tls.client_context(directory / f"{name}.crt", directory / f"{name}.key", directory / "ca.crt")
    return client.ServiceClient({callee: os.environ[v] for callee, v in variables.items()}, context)


def _metrics_directory(found: LaunchSettings) -> Path:
    """An empty directory for this run's metric files: an earlier run's counters must not be added to ours."""
    directory = Path(found.state_directory) / "metrics"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _factory(service: catalog.Service) -> serve.AppFactory:
    module, _, function = service.app.partition(":")

    async def create() -> object:
        # Imported in the worker: metrics choose their files on import, one set for each process.
        return await getattr(import_module(module), function)()

    return create  # type: ignore[return-value]  # the catalogue names coroutines that return applications
