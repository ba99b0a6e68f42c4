"""Starts one service of the catalogue: its settings, its sockets, its metrics directory, then gunicorn.

prometheus_client decides on import where values are kept. Nothing that imports it may be imported here before
`run` has set PROMETHEUS_MULTIPROC_DIR: that is why two imports below stand inside functions.
"""

import ctypes
import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec

from lucid import catalog
from lucid.kit import hosts, logs, serve, settings, tls

if TYPE_CHECKING:
    from lucid.kit import client

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LOOPBACK = "127.0.0.1"
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h


class LaunchSettings(settings.Common, frozen=True, kw_only=True):
    """Settings that decide where a service listens."""

    bind_address: Annotated[
        str, msgspec.Meta(description="address of TLS sockets; plain ones are on loopback", examples=["::"])
    ] = LOOPBACK
    tls_public_file: Annotated[
        str,
        msgspec.Meta(
            description="PEM file with private key and certificates for TLS sockets that anybody may use;"
            " empty: the service's own",
            examples=["/etc/lucid/tls/public/public.pem"],
        ),
    ] = ""


def run(name: str) -> NoReturn:
    """Serves until told to stop. Exit status 2: settings at fault; others as `lucid.kit.serve.run`."""
    service = catalog.load().services[name]
    try:
        found = settings.load(LaunchSettings)
        metrics_directory = _metrics_directory(found)
    except settings.SettingsError as error:
        sys.stderr.write(f"lucid serve {name}: {error}\n")
        sys.exit(2)
    logs.configure(name, found.log_level)
    _return_memory()
    os.environ[METRICS_VARIABLE] = str(metrics_directory)
    factory = _factory(service)
    options = serve.ServeOptions(workers=service.workers, drain_seconds=found.drain_seconds)
    serve.run(factory, listeners(service, found), options, on_worker_exit=_forget_worker)


def listeners(service: catalog.Service, found: LaunchSettings) -> list[serve.Listener]:
    """The service's sockets, as the catalogue names them. Plain sockets are only ever on loopback."""
    directory = Path(found.tls_directory)
    cert, key, ca = (directory / file for file in (f"{service.name}.crt", f"{service.name}.key", "ca.crt"))
    mutual = tls.TlsConfig(cert, key, ca, "mutual")
    # One file, so that a renewal is one step: no worker finds one certificate and the key of another.
    public = Path(found.tls_public_file) if found.tls_public_file else None
    server = tls.TlsConfig(public or cert, public or key, None, "server")
    made = []
    for listen in service.listen:
        if listen.tls is catalog.Tls.NONE:
            carried = listen.carrier is not None
            made.append(serve.Listener(listen.name, LOOPBACK, listen.port, carried=carried))
        else:
            config = mutual if listen.tls is catalog.Tls.MUTUAL else server
            made.append(serve.Listener(listen.name, found.bind_address, listen.port, config))
    return made


def service_client(found: settings.Common, name: str) -> "client.ServiceClient":
    """The client for the services that `name` may call.

    Raises SettingsError that names every missing URL or one that is at fault, or where the catalogue lets it
    call nobody.
    """
    from lucid.kit import client  # noqa: PLC0415 - imports metrics, see above

    callees = catalog.load().services[name].calls
    if not callees:
        raise settings.SettingsError(f"cannot start: the catalogue lets {name} call nobody")
    variables = {callee: client.variable(callee) for callee in callees}
    if missing := [v for v in variables.values() if not os.environ.get(v)]:
        lines = "\n  ".join(f"{v}: is missing (base URL, for example https://10.0.0.2:8086)" for v in missing)
        raise settings.SettingsError(f"cannot start, settings at fault:\n  {lines}")
    directory = Path(found.tls_directory)
    context = tls.client_context(directory / f"{name}.crt", directory / f"{name}.key", directory / "ca.crt")
    urls = {callee: os.environ[v] for callee, v in variables.items()}
    return client.ServiceClient(urls, context, {callee: hosts.read(callee, os.environ) for callee in callees})


def _metrics_directory(found: LaunchSettings) -> Path:
    """An empty directory for this run's metric files: an earlier run's counters must not be added to ours."""
    directory = Path(found.state_directory) / "metrics"
    shutil.rmtree(directory, ignore_errors=True)
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise settings.SettingsError(
            f"STATE_DIRECTORY: {directory} cannot be made afresh: {error.strerror}"
        ) from None
    return directory


def _forget_worker(pid: int) -> None:
    from prometheus_client import multiprocess  # noqa: PLC0415 - see above

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # as shipped


def _return_memory() -> None:
    """Has glibc's malloc give large blocks back to the system when they are freed (mallopt(3)).

    Left alone it raises its threshold with the first large block and keeps chunks of 16 MiB in heaps of its
    own for every thread; a service would grow to several times of what it holds.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in ((_M_MMAP_THRESHOLD, 1024 * 1024), (_M_ARENA_MAX, 2)):
            libc.mallopt(option, value)


def _factory(service: catalog.Service) -> serve.AppFactory:
    module, _, function = service.app.partition(":")

    async def create() -> object:
        # Imported in the worker: metrics choose their files on import, one set for each process.
        return await getattr(import_module(module), function)()

    return create  # type: ignore[return-value]  # the catalogue names coroutines that return applications
