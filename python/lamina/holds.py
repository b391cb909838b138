"""Where the writes to a collection wait, for a moment, so that a migration comes to an end beside a busy writer."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import threading
import time
from collections.abc import Iterator

HELD_MAX = 30.0  # seconds that a write waits at most
LINGER = 0.25  # seconds after a migration has caught up, for the cut-over to follow

filling: contextvars.ContextVar[bool] = contextvars.ContextVar("filling", default=False)  # in a back-fill's threads


@dataclasses.dataclass
class _Held:
    thread: int  # that holds it, and writes all the same
    until: float  # on the monotonic clock
    over: threading.Event = dataclasses.field(default_factory=threading.Event)


class Holds:
    """Writes go on, unless somebody holds those to a collection. Safe from any thread."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def admit(self, name: str) -> None:
        """Waits while writes to this collection are held by another thread."""
        while (held := self._held.get(name)) is not None:
            left = held.until - time.monotonic()
            if left <= 0 or held.thread == threading.get_ident() or filling.get():
                return
            held.over.wait(left)

    @contextlib.contextmanager
    def hold(self, name: str, linger: bool = False) -> Iterator[None]:
        """Holds the writes of other threads meanwhile; with `linger`, a moment longer if this ends well."""
        before = self._held.get(name)
        held = self._held[name] = _Held(threading.get_ident(), time.monotonic() + HELD_MAX)
        if before is not None:
            before.over.set()  # who waited for that one waits for this one
        try:
            yield
            if linger:
                held.until = time.monotonic() + LINGER
        except BaseException:
            linger = False
            raise
        finally:
            if not linger:
                self._held.pop(name, None)
                held.over.set()
