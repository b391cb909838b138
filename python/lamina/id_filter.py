"""Ids that a search of an index may return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core
from lamina.vectors import as_int_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IdFilter"]


class IdFilter:
    """Ids that a search of an `Index` may return, to be used again and again.

    The first search with it looks at every row. It keeps the answer for the state that the index was in, and with it
    that state, so that further searches cost nothing more until rows have been added or deleted. Safe from any thread.

    >>> from lamina import Index
    >>> index = Index(dim=2, metric="l2")
    >>> ids = index.add([[0, 0], [1, 0], [0, 3]])
    >>> index.search([1.5, 0], filter=IdFilter([0, 2])).ids.tolist()
    [0, 2]
    >>> index.search([1.5, 0], filter=[True, False, True]).ids.tolist()
    [0, 2]

    Parameters:
        allowed: ids, `(n,)` integers, or for each id from 0 on whether it may be returned, `(n,)` bool. Unknown ids are
            not an error.

    Raises `TypeError` and `ValueError` for what is no such array.
    """

    __slots__ = ("_core",)

    def __init__(self, allowed: Any) -> None:
        self._core = _core.IdFilter(_ids(allowed))

    def __len__(self) -> int:
        return len(self._core)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<lamina.IdFilter of {len(self):,} ids>"


def _ids(allowed: Any) -> NDArray[np.int64]:
    if hasattr(allowed, "to_numpy"):  # of Arrow, pandas or polars
        allowed = np.asarray(allowed)
    if isinstance(allowed, list) and allowed and all(isinstance(one, bool) for one in allowed):
        allowed = np.array(allowed)
    if getattr(allowed, "dtype", None) == np.bool_:
        mask = np.asarray(allowed)
        if mask.ndim != 1:
            raise ValueError(f"a filter of bool has one dimension, and {mask.ndim} here")
        return np.flatnonzero(mask)
    return as_int_ids(allowed)
