"""The records of one refresh that cannot be embedded."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from lamina.errors import RefreshError
from lamina.kept import MOST_FAILED, REASON_MAX, Failed, keep, kept_of
from lamina.sources import Item

if TYPE_CHECKING:
    from lamina.collection import Collection

Row = tuple[Item, bytes]  # a record of the source, and the hash of its text


class Quarantine:
    """What failed before in a scope, and what fails now. Each change is kept in the store at once."""

    def __init__(self, collection: Collection, scope: str) -> None:
        self._collection = collection
        self._scope = scope
        self._before = kept_of(collection).of_scope(scope)
        self._now: dict[Any, Failed] = {}

    def stays(self, item: Item, hash: bytes) -> bool:
        """Whether this very text failed before; then it stays listed."""
        before = self._before.get(item.id)
        if before is None or before.content_hash != hash.hex():
            return False
        self._now[item.id] = before
        return True

    def add(self, rows: list[Row], wrong: dict[bytes, Exception]) -> None:
        """These failed. RefreshError once they are more than can be listed."""
        for item, hash in rows:
            before = self._before.get(item.id)
            attempts = before.attempts if before is not None and before.content_hash == hash.hex() else 0
            reason = f"{type(wrong[hash]).__name__}: {wrong[hash]}"[:REASON_MAX]
            now = datetime.now(timezone.utc)
            self._now[item.id] = Failed(item.id, self._scope, reason, attempts + 1, now, hash.hex())
        if rows:
            self._keep(set())
        if len(self._now) > MOST_FAILED:
            raise RefreshError(f"{len(self._now):,} texts failed, and no more than {MOST_FAILED:,} are listed")

    def release(self, ids: set[Any]) -> None:
        """These were written."""
        if over := ids & (self._before.keys() | self._now.keys()):
            for id in over:
                self._now.pop(id, None)
            self._keep(over)

    def forget_others(self) -> None:
        """The source is read to its end: what failed before and is not in it any more is not listed any more."""
        if self._before.keys() - self._now.keys():
            self._keep(None)

    def _keep(self, over: set[Any] | None) -> None:
        failed = list(self._now.values())[:MOST_FAILED]
        keep(self._collection, lambda kept: kept.with_failed(self._scope, failed, over))
