"""The gunicorn arbiter: starts and replaces workers, and speaks to systemd for them.

Where it differs from gunicorn's own:

- READY=1 is sent when the wanted number of workers listen, not before the first is started.
- WATCHDOG=1 is sent only while every worker in service proves that its event loop turns.
- A reload (SIGHUP) starts new workers first and retires the old ones when the new ones listen. New workers
  which cannot start, with a broken certificate for example, end the reload, not the service.

Workers belong to generations: each reload begins one; `_settled` is the last which was in full service.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # gunicorn ships no types
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]  # gunicorn ships no types
from gunicorn.errors import HaltServer  # type: ignore[import-untyped]  # gunicorn ships no types

from lucid.kit.listeners import ListeningSocket
from lucid.kit.notify import Notifier
from lucid.kit.worker import HEARTBEAT_SECONDS, STOP_SIGNALS, ServeOptions, ServiceWorker

_BUSY_TURN_SECONDS = 0.05


class ServiceArbiter(Arbiter):  # type: ignore[misc]  # gunicorn ships no types
    """An arbiter for the given application, already opened sockets and way to systemd.

    `on_worker_exit` is called in this process with the pid of each worker that has ended.
    """

    WORKERS: dict[int, ServiceWorker]

    def __init__(
        self,
        app: BaseApplication,
        options: ServeOptions,
        sockets: Sequence[ListeningSocket],
        notifier: Notifier,
        on_worker_exit: Callable[[int], None],
    ) -> None:
        super().__init__(app)
        self.LISTENERS = list(sockets)
        self._options = options
        self._notifier = notifier
        self._on_worker_exit = on_worker_exit
        self._generation = self._newest = 1
        self._settled = 0
        self._stopping = False
        self._status = ""
        self._feed_at = 0.0
        self._feed_every = (notifier.watchdog_seconds or 3.0) / 3
        # Late well before the worker is killed for it, yet never by one missed heartbeat.
        silence = min(options.timeout, notifier.watchdog_seconds or options.timeout) / 2
        self._late_after = max(3 * HEARTBEAT_SECONDS, silence)

    def handle_hup(self) -> None:
        """Begin a reload; one that is under way is given up for it."""
        self._notifier.reloading()
        for worker in self._serving():
            if worker.generation != self._settled:
                self._retire(worker)
        self._newest += 1
        self._generation = self._newest

    def handle_usr2(self) -> None:
        """Refuse gunicorn's in-place upgrade: a second arbiter would be a second service to systemd."""
        self.log.warning("SIGUSR2 is not supported; restart the service, its sockets are kept by systemd")

    def spawn_worker(self) -> int:
        """Fork a worker of the current generation; return its pid."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            pid: int = super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        worker = self.WORKERS[pid]
        worker.generation = self._generation
        worker.tmp.notify()  # counts as its first heartbeat, or one that froze at birth would never be late
        return pid

    def manage_workers(self) -> None:
        """One turn of the main loop: bring the workers in service closer to what is wanted."""
        current = [worker for worker in self._serving() if worker.generation == self._generation]
        for _ in range(self.num_workers - len(current)):
            try:
                self.spawn_worker()
            except (OSError, RuntimeError) as error:  # no process, no memory, no place for its heartbeat
                if self._settled in {0, self._generation}:
                    raise
                self.log.error("a worker could not be forked: %s", error)
                return self._abandon_reload()
        ready = [worker for worker in current if worker.ready]
        if len(ready) >= self.num_workers:
            kept = ready[-self.num_workers :]
            for worker in self._serving():
                if worker not in kept:
                    self._retire(worker)
            if self._settled != self._generation:
                self._settled = self._generation
                self._notifier.send("READY=1")
        self._press_retired()
        self._report(len(ready))
        return None

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait for signals, shortly while workers come or go."""
        settled = self._settled == self._generation and len(self.WORKERS) == self.num_workers
        turn = min(timeout, self._feed_every / 2) if settled else _BUSY_TURN_SECONDS
        signals: list[int] = super().wait_for_signals(turn)
        return signals

    def reap_workers(self) -> None:
        """Take note of workers that have ended. Raises HaltServer if the service cannot go on."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:
                worker.tmp.close()
                self._on_worker_exit(pid)
                self._judge(worker, os.waitstatus_to_exitcode(status))

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers, waiting at most `graceful_timeout`."""
        if not self._stopping:
            self._stopping = True
            self._notifier.send("STOPPING=1", "STATUS=Stopping")
        super().stop(graceful)

    def _serving(self) -> list[ServiceWorker]:
        """The workers not told to stop, oldest first."""
        return [worker for worker in self.WORKERS.values() if worker.retired_at is None]

    def _retire(self, worker: ServiceWorker) -> None:
        worker.retired_at = time.monotonic()
        self.kill_worker(worker.pid, signal.SIGTERM)

    def _press_retired(self) -> None:
        for worker in list(self.WORKERS.values()):
            if worker.retired_at is not None:
                overdue = time.monotonic() - worker.retired_at > self._options.graceful_timeout
                if overdue:
                    self.log.error("worker %s did not stop within graceful_timeout and is killed", worker.pid)
                    self.kill_worker(worker.pid, signal.SIGKILL)

    def _judge(self, worker: ServiceWorker, code: int) -> None:
        """Decide what a worker's end means; a negative `code` is the signal that killed it."""
        if code == 0:
            self.log.info("worker %s has ended", worker.pid)
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        self.log.error("worker %s %s", worker.pid, how)
        failed_start = code in {self.WORKER_BOOT_ERROR, self.APP_LOAD_ERROR}
        if not failed_start or self._stopping or worker.retired_at is not None:
            return
        if self._settled in {0, worker.generation}:
            raise HaltServer("a worker could not start, see its error above", code)
        self._abandon_reload()

    def _abandon_reload(self) -> None:
        self.log.error("reload failed, see the error above; the workers from before it stay in service")
        for worker in self._serving():
            if worker.generation == self._generation:
                self._retire(worker)
        self._generation = self._settled
        self._notifier.send("READY=1")

    def _report(self, ready: int) -> None:
        """Tell systemd how the workers are, and feed its watchdog if all are well."""
        now = time.monotonic()
        late = [w.pid for w in self._serving() if now - w.tmp.last_update() > self._late_after]
        if late:
            status = f"No heartbeat from worker {', '.join(map(str, late))}"
        elif self._generation != self._settled:
            status = (
                f"{'Reloading' if self._settled else 'Starting'}: {ready} of {self.num_workers} workers ready"
            )
        else:
            status = f"Serving with {ready} of {self.num_workers} workers"
        if status != self._status:
            self._status = status
            self._notifier.send(f"STATUS={status}")
            if late:
                self.log.error("no heartbeat from worker %s for %.1f s", late, self._late_after)
        if not late and self._notifier.watchdog_seconds and now >= self._feed_at:
            self._feed_at = now + self._feed_every
            self._notifier.send("WATCHDOG=1")
