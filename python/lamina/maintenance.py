"""The thread that seals and merges: one a store, from its first write until it is closed."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from lamina.errors import ClosedError, LaminaError

if TYPE_CHECKING:
    from lamina import _core

logger = logging.getLogger("lamina")


class Maintainer:
    """Runs the core's maintenance step by step after each write, without the GIL. Not started in forked children."""

    def __init__(self, core: _core.Store, path: str) -> None:
        self._core = core
        self._path = path
        self._due = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def wake(self) -> None:
        """Says that something was written. Any thread."""
        self._due.set()
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="lamina-maintenance", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Returns when the step that is running, if any, is done."""
        with self._starting:
            self._stop.set()
        self._due.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            try:
                while not self._stop.is_set() and self._core.maintain(1):
                    pass
            except ClosedError:
                return
            except (LaminaError, MemoryError) as error:  # the next write tries again
                logger.warning("maintenance of %s failed: %s", self._path, error)
            if self._stop.is_set():
                return
