"""Run a service: an aiohttp application on named sockets, under gunicorn, below systemd.

Everything is passed as arguments; no configuration file and none of gunicorn's environment variables is read.
Signals: SIGHUP reloads (new workers, which read certificates and credentials anew; new code needs a restart),
SIGTERM stops gracefully, SIGINT and SIGQUIT stop at once.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # gunicorn ships no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # gunicorn ships no types

from lucid.kit.arbiter import ServiceArbiter
from lucid.kit.listeners import Listener, open_sockets
from lucid.kit.notify import Notifier
from lucid.kit.tls import server_context
from lucid.kit.worker import AppFactory, ServeOptions, ServiceWorker

__all__ = ["AppFactory", "Listener", "ServeOptions", "run"]

# Heartbeats on a disk could stall a worker's event loop: systemd's directory for this service is in memory.
_MEMORY = Path(os.environ.get("RUNTIME_DIRECTORY", "/dev/shm"))  # noqa: S108 - gunicorn makes the file safely
_log = logging.getLogger(__name__)


class _StandardLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's logger without handlers of its own: its lines go where all the others go."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True


class _Application(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's view of a service: its settings, and the factory each worker calls."""

    def __init__(self, app_factory: AppFactory, options: ServeOptions) -> None:
        self._app_factory = app_factory
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "worker_class": ServiceWorker,
            "workers": self.options.workers,
            "timeout": self.options.timeout,
            "graceful_timeout": self.options.graceful_timeout,
            "preload_app": False,
            "control_socket_disable": True,
            "worker_tmp_dir": str(_MEMORY) if os.access(_MEMORY, os.W_OK) else None,
            "logger_class": _StandardLogger,
            "errorlog": None,
            "accesslog": None,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> AppFactory:
        return self._app_factory


def run(
    app_factory: AppFactory,
    listeners: Sequence[Listener],
    options: ServeOptions,
    *,
    on_worker_exit: Callable[[int], None] = lambda _: None,
) -> NoReturn:
    """Serve until told to stop, then exit.

    Exit status 0 after a stop, 1 if the sockets, certificates or systemd's variables are unusable, 3 if a
    worker could not start. The reason is logged, so logging is to be configured before. `on_worker_exit` is
    called in the parent process with the pid of each worker that has ended.
    """
    try:
        notifier = Notifier.from_environment(os.environ)
        for listener in listeners:
            if listener.tls:
                server_context(listener.tls)
        sockets = open_sockets(listeners, os.environ, backlog=options.backlog)
    except ValueError as error:
        _log.critical("cannot start: %s", error)
        sys.exit(1)
    ServiceArbiter(_Application(app_factory, options), options, sockets, notifier, on_worker_exit).run()
    raise AssertionError("the arbiter's run() ends the process")
