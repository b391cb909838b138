"""The five ways to write, as a collection and a transaction have them."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lamina import writes
from lamina.filters import Filter

if TYPE_CHECKING:
    from lamina.models import Model

R = TypeVar("R")


class Writer(abc.ABC, Generic[R]):
    """Prepares writes whole, checked and embedded, and hands them on."""

    @abc.abstractmethod
    def _target(self) -> writes.Target:
        """What is written to; raises if it cannot be."""

    @abc.abstractmethod
    def _write(self, write: writes.Write, if_version: int | None) -> R: ...

    def add(
        self,
        ids: Any,
        vectors: Any = None,
        metadata: Any = None,
        content: Any = None,
        *,
        model: Model | None = None,
        if_version: int | None = None,
    ) -> R:
        """Adds records under ids that are not there yet.

        Args:
            ids: int64 or str, of one kind in a collection; −1, bool and float are refused.
            vectors: `(n, dim)`. None: the contents are embedded; without an embedder the records are owed vectors.
            metadata: a list of dicts, a dict of columns, a pandas or polars frame, or an Arrow table, of n rows.
            content: n texts (or None where a record has none, if vectors are given).
            model: the model that made the vectors, if it is to be checked.
            if_version: only if the collection is at this version.

        Raises DuplicateIdError for an id that is there or stands twice; TypeError and ValueError for values of the
        wrong form or number, for a metadata column that changes its type, and for neither vectors nor content.
        """
        return self._write(writes.put(self._target(), "add", ids, vectors, metadata, content, model), if_version)

    def upsert(
        self,
        ids: Any,
        vectors: Any = None,
        metadata: Any = None,
        content: Any = None,
        *,
        model: Model | None = None,
        if_version: int | None = None,
    ) -> R:
        """Adds records, or replaces them whole: what is not given is null. Otherwise as `add`."""
        return self._write(writes.put(self._target(), "upsert", ids, vectors, metadata, content, model), if_version)

    def update(
        self,
        ids: Any,
        metadata: Any = None,
        content: Any = None,
        vectors: Any = None,
        *,
        model: Model | None = None,
        if_version: int | None = None,
    ) -> R:
        """Changes what is given of records that are there, and keeps the rest.

        A key of `metadata` that is given is changed, and cleared by None. Texts that change are embedded anew; without
        an embedder the old vector stays, and is stale. Otherwise as `add`.

        Raises NotFoundError for an id that is not there, DuplicateIdError for one that stands twice.
        """
        return self._write(writes.update(self._target(), ids, vectors, metadata, content, model), if_version)

    def delete(
        self, ids: Any = None, filter: Any = None, *, model: Model | None = None, if_version: int | None = None
    ) -> R:
        """Deletes records: those of these ids, or those that pass a filter (see `lamina.Filter`); one of the two.

        Ids that are not there are no error. A filter deletes exactly what passes at the version before the one that
        this makes: it is asked again if somebody writes meanwhile. Within a transaction it sees what came before in it,
        but `_id` and metadata alone of what was written there.

        Raises TypeError for both or neither, ValueError for a filter of everything: `clear()` is the word for that;
        FilterError.
        """
        if (ids is None) == (filter is None):
            raise TypeError("delete needs ids or a filter, one of the two: clear() deletes all records")
        if isinstance(ids, (Mapping, Filter)):
            raise TypeError(f"delete takes ids first, and {ids!r} is a filter: give it as filter=")
        ids = [ids] if isinstance(ids, (int, str)) else ids
        return self._write(writes.delete(self._target(), ids, model, filter), if_version)

    def clear(self, *, model: Model | None = None, if_version: int | None = None) -> R:
        """Deletes all records."""
        return self._write(writes.delete(self._target(), None, model), if_version)
