"""What was made last, as far as so many bytes hold it."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, the least recently used dropped first; the last one is always kept. Safe from any thread."""

    def __init__(self, room: int) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._room = room
        self._held = 0
        _all.add(self)

    def find(self, key: K) -> V | None:
        with self._lock:
            return self._find(key)

    def find_all(self, keys: Iterable[K]) -> list[V | None]:
        """What is known of each key."""
        with self._lock:
            return [self._find(key) for key in keys]

    def keep(self, key: K, value: V, nbytes: int) -> V:
        """The value, which has taken the place of one that was kept for this key."""
        with self._lock:
            if (before := self._known.pop(key, None)) is not None:
                self._held -= before[1]
            self._known[key] = value, nbytes
            self._held += nbytes
            while self._held > self._room and len(self._known) > 1:
                self._held -= self._known.popitem(last=False)[1][1]
        return value

    def _find(self, key: K) -> V | None:
        if (known := self._known.get(key)) is None:
            return None
        self._known.move_to_end(key)
        return known[0]


_all: weakref.WeakSet[Recent[Any, Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A lock that another thread of the parent held would never be released here."""
    for recent in _all:
        recent._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
