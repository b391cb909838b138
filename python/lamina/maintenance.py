"""The threads that look after a store, from its first write until it is closed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from lamina.errors import ClosedError, LaminaError

if TYPE_CHECKING:
    from lamina import _core

logger = logging.getLogger("lamina")

SYNC_INTERVAL = 1.0  # seconds


class Maintainer:
    """Runs the core's maintenance after each write, and with `interval` its syncs, which wait for no merge.

    Both run without the GIL. Not started in forked children.
    """

    def __init__(self, core: _core.Store, path: str, interval: bool) -> None:
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._workers = [_Worker("lamina-maintenance", lambda: core.maintain(1), 0.0, path, self._stopping)]
        if interval:
            self._workers.append(_Worker("lamina-sync", core.sync, SYNC_INTERVAL, path, self._stopping))

    def wake(self) -> None:
        """Says that something was written. Any thread."""
        for worker in self._workers:
            worker.due.set()
        with self._starting:
            for worker in self._workers:
                if worker.thread is None and not self._stopping.is_set():
                    worker.start()

    def stop(self) -> None:
        """Returns when the steps that are running, if any, are done."""
        with self._starting:
            self._stopping.set()
        for worker in self._workers:
            worker.due.set()
            if worker.thread is not None and worker.thread is not threading.current_thread():
                worker.thread.join()


class _Worker:
    """A thread that, a pause after each time that `due` is set, steps until a step does not return True."""

    def __init__(
        self, name: str, step: Callable[[], bool | None], pause: float, path: str, stopping: threading.Event
    ) -> None:
        self.due = threading.Event()
        self.thread: threading.Thread | None = None
        self._name = name
        self._step = step
        self._pause = pause
        self._path = path
        self._stopping = stopping

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        pause = self._pause
        while True:
            self.due.wait()
            if self._stopping.wait(pause):
                return
            self.due.clear()
            try:
                while not self._stopping.is_set() and self._step():
                    pass
                pause = self._pause
            except ClosedError:
                return
            except (LaminaError, MemoryError) as error:  # a later write tries again, in no hurry
                pause = min(max(2 * pause, 1.0), 60.0)
                logger.warning("maintenance of %s failed: %s", self._path, error)
