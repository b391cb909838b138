"""All rows against all rows: the k nearest of each, and the pairs that lie within a radius."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lamina.arguments import distance, whole
from lamina.hits import BatchHits
from lamina.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KnnGraph", "Neighbours", "Pairs"]

BLOCK = 4096  # rows that are searched for together
MOST_FOUND = 1 << 20  # neighbours that are found together
LEAST_MEASURED, SAMPLE = 10_000, 128  # rows, from which on the breadth is measured, and of how many
MARGIN, MOST_TIMES = 0.01, 16  # above the recall, for a small sample; k, at which measuring ends
FIRST_K, GROWTH = 8, 4  # a join looks so far first, and then so many times farther


@dataclasses.dataclass(frozen=True)
class KnnGraph:
    """The nearest neighbours of each row, itself left out, nearest first: a sparse matrix in CSR form.

    Row `i` is that of `ids[i]`; its neighbours are `ids[indices[indptr[i]:indptr[i + 1]]]`, at `distances` of the same
    places. Attributes: `ids` `(n,)`, ascending, int64 or objects (str); `indptr` `(n + 1,)` and `indices` `(m,)`, int32
    (int64 where that is too small); `distances` `(m,)` float32.
    """

    ids: NDArray[Any]
    indptr: NDArray[Any]
    indices: NDArray[Any]
    distances: NDArray[np.float32]

    def to_scipy(self) -> Any:
        """A copy as a `scipy.sparse.csr_array` `(n, n)`, distances of 0 stored too: what scikit-learn calls a
        precomputed sparse neighbours graph. ImportError without SciPy."""
        try:
            from scipy.sparse import csr_array
        except ImportError as error:
            raise ImportError('a sparse matrix is SciPy\'s: pip install "lamina[scipy]"') from error
        shape = (len(self.ids), len(self.ids))
        # A copy: SciPy sorts rows by column, in place, when it feels like it.
        return csr_array((self.distances, self.indices, self.indptr), shape=shape, copy=True)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<lamina.KnnGraph of {len(self.ids):,} rows, {len(self.indices):,} neighbours>"


class Pairs(NamedTuple):
    """Pairs of rows that are near each other, each once, by `left` and then `right`; of each, `left` < `right`."""

    left: NDArray[Any]  # ids (m,)
    right: NDArray[Any]
    distances: NDArray[np.float32]


class Rows(NamedTuple):
    """Rows to be searched among themselves."""

    ids: NDArray[Any]  # ascending
    vectors: Callable[[Any], NDArray[Any]]  # of the rows at these positions
    search: Callable[..., BatchHits]  # of vectors, k, and the options of a search

    def breadth(self, k: int, options: dict[str, Any]) -> Callable[[int], dict[str, Any]]:
        """The options of a search for so many neighbours.

        Rows find each other at a lesser breadth than strangers find them, on whom an index measures itself. So where a
        recall is aimed at, it is measured anew, on a sample of the rows, at growing breadths.
        """
        if options["exact"] or options["ef"] is not None or len(self.ids) < LEAST_MEASURED:
            return lambda k: options
        sample = self.vectors(np.random.default_rng(0).choice(len(self.ids), SAMPLE, replace=False))
        self.search(sample[:1], k + 1, **options)  # refuses what is wrong
        reach = self.search(sample, k + 1, exact=True, threads=options["threads"]).distances[:, -1:]
        target = 0.95 if options["recall"] is None else options["recall"]
        target = min(target + MARGIN, (1 + target) / 2)
        ef = k + 1
        while ef < MOST_TIMES * (k + 1):
            found = self.search(sample, k + 1, ef=ef, threads=options["threads"])
            others = (found.distances <= reach).sum(axis=1) - 1  # the row itself is one of them
            if others.mean() >= target * k:
                return lambda wanted: {"ef": -(-(wanted + 1) * ef // (k + 1)), "threads": options["threads"]}
            ef += ef // 4 + 1
        return lambda k: options

    def nearest(self, rows: NDArray[np.int64], k: int, options: dict[str, Any]) -> Iterator[Near]:
        """Of these rows, block by block, the k nearest others."""
        step = max(1, min(BLOCK, MOST_FOUND // k))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            found = self.search(self.vectors(block), k + 1, **options)
            slots = np.arange(found.ids.shape[1])
            others = (found.ids != self.ids[block][:, None]) & (slots < found.counts[:, None])
            others &= others.cumsum(axis=1) <= k
            where = self._positions(found.ids[others])
            if (where < 0).any():  # rows that came after all ids were read
                others[others] = where >= 0
                where = where[where >= 0]
            yield Near(block, others.sum(axis=1), where, found.distances[others])

    def first_alike(self) -> NDArray[np.int64]:
        """Of each row the position of the first that has the same vector, bit for bit."""
        alike, first = np.arange(len(self.ids)), dict[int, int]()
        for start in range(0, len(alike), BLOCK):
            block = self.vectors(alike[start : start + BLOCK])
            for at, row in enumerate(block, start):
                alike[at] = first.setdefault(hash(row.tobytes()), at)
        copies = np.flatnonzero(alike != np.arange(len(alike)))
        for start in range(0, len(copies), BLOCK):  # by their hashes, so far
            block = copies[start : start + BLOCK]
            other = (self.vectors(block) != self.vectors(alike[block])).any(axis=1)
            alike[block[other]] = block[other]
        return alike

    def _positions(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Where ids stand; −1 for others."""
        at = np.searchsorted(self.ids, ids)
        at[at == len(self.ids)] = 0
        return np.where(self.ids[at] == ids, at, -1) if len(ids) else at


class Near(NamedTuple):
    """The nearest others of some rows, one row after another."""

    rows: NDArray[np.int64]
    counts: NDArray[np.int64]
    positions: NDArray[np.int64]
    distances: NDArray[np.float32]


class Neighbours(abc.ABC):
    """What an index and a snapshot can say about their own rows."""

    __slots__ = ()

    @abc.abstractmethod
    def _rows(self) -> Rows:
        """All rows that have vectors."""

    def knn_graph(
        self,
        k: int,
        *,
        ef: int | None = None,
        recall: float | None = None,
        exact: bool = False,
        threads: int | None = None,
        progress: bool = False,
    ) -> KnnGraph:
        """The `k` nearest neighbours of every row (fewer where there are fewer rows), itself left out.

        Rows are searched in batches on all cores: beside the graph, a few MB are needed. Records that are owed a vector
        are not in it. `ef`, `recall`, `exact` and `threads` are those of `search`, and so are the errors; but from
        10,000 rows on the breadth that reaches the recall is measured on these rows themselves.
        """
        k = whole("k", k, 1, 2**31 - 2)
        rows = self._rows()
        count = len(rows.ids)
        breadth = rows.breadth(k, {"ef": ef, "recall": recall, "exact": exact, "threads": threads})
        parts, done = [], 0
        with Progress(progress, count, "k-NN graph") as bar:
            for part in rows.nearest(np.arange(count), k, breadth(k)):
                parts.append(part)
                bar.update(done := done + len(part.rows))
        small = max(count, count * k) < 2**31
        index = np.int32 if small else np.int64
        counts = _joined([part.counts for part in parts], np.int64)
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]).astype(index)
        indices = _joined([part.positions.astype(index) for part in parts], index)
        return KnnGraph(rows.ids, indptr, indices, _joined([part.distances for part in parts], np.float32))

    def self_join(
        self,
        radius: float,
        *,
        ef: int | None = None,
        recall: float | None = None,
        exact: bool = False,
        threads: int | None = None,
        progress: bool = False,
    ) -> Pairs:
        """All pairs of rows whose distance is at most `radius`, each once.

        Each row is searched for ever more neighbours until one lies beyond the radius, so that the time and memory
        follow the number of pairs. A pair is found from either end: more of them than `recall` says. `exact=True` finds
        all. The rest as for `knn_graph`.
        """
        options = {"ef": ef, "recall": recall, "exact": exact, "threads": threads}
        rows = self._rows()
        return join(rows, "radius", radius, options, progress).of(rows.ids)

    def near_duplicates(
        self,
        threshold: float,
        *,
        ef: int | None = None,
        recall: float | None = None,
        exact: bool = False,
        threads: int | None = None,
        progress: bool = False,
    ) -> list[NDArray[Any]]:
        """Groups of rows that are linked by pairs at most `threshold` apart: arrays of two ids or more, ascending.

        The threshold is a distance: for cosine, 0.05 is a similarity of 0.95. Two rows of a group may be farther apart
        where others lie between them. Groups go by their first id; rows without a near duplicate are in none. Of rows
        with equal vectors one is searched for. The rest as for `self_join`.
        """
        options = {"ef": ef, "recall": recall, "exact": exact, "threads": threads}
        rows = self._rows()
        found = join(rows, "threshold", threshold, options, progress, rows.first_alike())
        return [rows.ids[group] for group in found.groups()]


class Joined(NamedTuple):
    """Pairs of positions, ascending, of rows that lie within a radius: each that one of those has that were joined."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distances: NDArray[np.float32]
    alike: NDArray[np.int64]  # of each row, which stood for it

    def of(self, ids: NDArray[Any]) -> Pairs:
        return Pairs(ids[self.left], ids[self.right], self.distances)

    def groups(self) -> list[NDArray[np.int64]]:
        """The connected components, each ascending, by their first."""
        linked = self.alike[self.left[self.alike[self.left] == self.alike[self.right]]]
        copies = np.flatnonzero((self.alike != np.arange(len(self.alike))) & np.isin(self.alike, linked))
        ends = np.concatenate([self.left, copies]), np.concatenate([self.right, self.alike[copies]])
        members = np.unique(np.concatenate(ends))
        left, right = (np.searchsorted(members, side) for side in ends)
        root = np.arange(len(members))
        while True:  # each takes the least root of its neighbours, and then that one's own
            before = root.copy()
            np.minimum.at(root, left, before[right])
            np.minimum.at(root, right, before[left])
            root = root[root]
            if np.array_equal(root, before):
                break
        order = np.argsort(root, kind="stable")
        starts = np.flatnonzero(np.diff(root[order], prepend=-1))
        return np.split(members[order], starts[1:]) if len(members) else []


def join(
    rows: Rows,
    name: str,
    radius: float,
    options: dict[str, Any],
    progress: bool,
    alike: NDArray[np.int64] | None = None,
) -> Joined:
    """The pairs of rows at most `radius` apart; with `Rows.first_alike`, those of the first of such rows."""
    reach, count, k = distance(name, radius), len(rows.ids), FIRST_K
    alike = np.arange(count) if alike is None else alike
    found = [np.empty((2, 0), np.int64)]
    distances = [np.empty(0, np.float32)]
    open_rows, done = np.flatnonzero(alike == np.arange(count)), 0
    breadth = rows.breadth(k, options)
    with Progress(progress, len(open_rows), "join") as bar:
        while len(open_rows):
            again = []
            for near in rows.nearest(open_rows, k, breadth(k)):
                within = near.distances <= reach
                owner = np.repeat(np.arange(len(near.rows)), near.counts)
                full = np.bincount(owner[within], minlength=len(near.rows)) == k  # perhaps there are more
                full &= k < count - 1
                within &= ~full[owner]
                found.append(np.sort(np.stack([near.rows[owner[within]], near.positions[within]]), axis=0))
                distances.append(near.distances[within])
                again.append(near.rows[full])
                bar.update(done := done + int((~full).sum()))
            open_rows = np.concatenate(again)
            k = min(k * GROWTH, count - 1)
    left, right = np.concatenate(found, axis=1)
    _, first = np.unique(left * max(count, 1) + right, return_index=True)
    return Joined(left[first], right[first], np.concatenate(distances)[first], alike)


def _joined(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts])
