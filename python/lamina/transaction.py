"""Several writes, to several collections, as one version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.errors import ClosedError
from lamina.writer import Writer

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.store import Store
    from lamina.writes import Target, Write, WriteResult

Planned = tuple["Collection", "Write", "int | None"]  # a write, and the version that it needs


class Transaction:
    """Writes that wait for the end of `with store.transaction() as tx:`; `tx.results` is set then."""

    def __init__(self, store: Store) -> None:
        self.planned: list[Planned] = []
        self.results: list[WriteResult] = []
        self._store = store
        self._writers: dict[str, TransactionCollection] = {}
        self._over = False

    def plan(self, write: Planned) -> None:
        """One write more. ClosedError after the end of the block."""
        if self._over:
            raise ClosedError("the transaction is over: begin another with store.transaction()")
        self.planned.append(write)

    def end(self) -> None:
        """From now on it takes no write."""
        self._over = True

    def __getitem__(self, name: str) -> TransactionCollection:
        """The collection of this name, to be written to. NotFoundError."""
        if name not in self._writers:
            self._writers[name] = TransactionCollection(self._store.get_collection(name), self)
        return self._writers[name]


class TransactionCollection(Writer[None]):
    """A collection within a transaction: the writes of `Collection`, which take effect together at the end.

    A write sees what those before it in the transaction did; reads of the store do not.
    """

    def __init__(self, collection: Collection, transaction: Transaction) -> None:
        self._collection = collection
        self._transaction = transaction

    def _target(self) -> Target:
        return self._collection._target()

    def _write(self, write: Write, if_version: int | None) -> None:
        self._transaction.plan((self._collection, write, if_version))
