"""Near duplicates: which of them stay, and which are deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina.neighbours import Joined, Rows, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Deduplication", "Keep"]

Keep = str | Callable[[Any], Any]


class Deduplication(NamedTuple):
    """What `deduplicate` deleted, or with `dry_run=True` would have."""

    deleted: NDArray[Any]  # ids (m,), ascending
    kept: NDArray[Any]  # of each, the id that stays for it
    distances: NDArray[np.float32]  # between the two
    version: int | None = None  # of the collection afterwards; None: nothing was deleted, or an index has none


def find(
    rows: Rows,
    threshold: float,
    keep: Keep,
    options: dict[str, Any],
    progress: bool,
    rank: Callable[[NDArray[Any]], NDArray[Any]],
    shown: Callable[[NDArray[Any]], Any],
) -> Deduplication:
    """What goes and for what it goes. `rank`: by which ids are first or last; `shown`: ids as `keep` is given them."""
    if not callable(keep) and keep not in ("first", "last"):
        raise ValueError(f'keep is "first", "last" or a callable, not {keep!r}')
    joined = join(rows, "threshold", threshold, options, progress, rows.first_alike())
    links = _Links(joined)
    gone, kept, distances = [], [], []
    for group in joined.groups():
        left = group[np.argsort(rank(rows.ids[group]), kind="stable")]
        while len(left) > 1:
            stays = _chosen(rows, left, keep, shown)
            near, far = links.of(stays)
            goes = np.isin(near, left)
            gone.append(near[goes])
            kept.append(np.full(int(goes.sum()), stays))
            distances.append(far[goes])
            left = left[(left != stays) & ~np.isin(left, near)]
    if not gone:
        return Deduplication(rows.ids[:0], rows.ids[:0], np.empty(0, np.float32))
    order = np.argsort(np.concatenate(gone))
    deleted, staying = (rows.ids[np.concatenate(part)[order]] for part in (gone, kept))
    return Deduplication(deleted, staying, np.concatenate(distances)[order])


def _chosen(rows: Rows, left: NDArray[np.int64], keep: Keep, shown: Callable[[NDArray[Any]], Any]) -> int:
    """The position of the one that stays."""
    if not callable(keep):
        return int(left[0] if keep == "first" else left[-1])
    ids = rows.ids[left]
    named = keep(shown(ids))
    found = np.flatnonzero(ids == named)
    if len(found) != 1:
        raise ValueError(f"keep= returned {named!r}: it returns the id that stays, one of those that it was given")
    return int(left[found[0]])


class _Links:
    """The pairs of a join, by either end."""

    def __init__(self, joined: Joined) -> None:
        ends = np.concatenate([joined.left, joined.right])
        order = np.argsort(ends, kind="stable")
        self._ends = ends[order]
        self._others = np.concatenate([joined.right, joined.left])[order]
        self._distances = np.concatenate([joined.distances, joined.distances])[order]
        self._alike = joined.alike

    def of(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows that a row is near, and how near."""
        asked = self._alike[end]  # which is near those that `end` is near, and `end` itself
        part = slice(*np.searchsorted(self._ends, [asked, asked + 1]))
        others = self._others[part]
        return np.where(others == end, asked, others), self._distances[part]
