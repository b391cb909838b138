"""One index, no store: nearest neighbours in memory or in one mapped file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from lamina import _core, vectors
from lamina.arguments import in_huge_pages, refused_search, text, threads_or_none, whole
from lamina.errors import StorageError
from lamina.hits import BatchHits, Hits, hits_of
from lamina.id_filter import IdFilter
from lamina.neighbours import Neighbours, Rows

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from lamina.duplicates import Deduplication, Keep

__all__ = ["Index"]


class Index(Neighbours):
    """An approximate nearest-neighbour index over int64 ids.

    The graph is HNSW (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs", IEEE TPAMI 2018, arXiv:1603.09320), walked on 8-bit codes of the vectors; the best
    found are ranked again on the vectors themselves.

    All methods may be called from any thread. Searches never wait; writers wait for each other.

    >>> index = Index(dim=2, metric="l2")
    >>> index.add([[0, 0], [1, 0], [0, 3]]).tolist()
    [0, 1, 2]
    >>> index.search([1.5, 0], k=2)
    <2 hits: (1, 0.25), (0, 2.25)>

    Parameters:
        dim: elements of a vector, 1 to 65,536; bits for "hamming", a multiple of 8.
        metric: "cosine" (1 − cos), "ip" (1 − dot), "l2" (squared Euclidean) or "hamming" (differing bits); also "cos",
            "dot", "inner_product", "l2sq", "euclidean".
        m: links of a row in the upper layers of the graph; twice as many on the lowest.
        ef_construction: how broadly the neighbours of a row are looked for; half as broadly at first, since `optimize`
            looks again.
        dtype: "float32" or "float16": how vectors are kept. Packed bits, uint8, for "hamming".
        quantize: what the graph is walked on: "i8" codes, or None for the vectors themselves; "auto" is "i8", and None
            for "hamming".
        layout: how the codes of an optimized graph lie in memory. "nodes": a code of each row, fastest where all of
            them fit in the processor's caches. "neighbours": beside each row 1-bit codes of its neighbours, for many
            rows of many dimensions; takes about as much memory as the vectors again, and goes with "i8" codes of 16 to
            32,768 dimensions only. "auto": `optimize` chooses, by the size of the codes and by what walks on both
            measure.
        threads: for `add`, `optimize` and batches; None: all CPUs that this process may use.
        seed: of the random levels. The same rows added in the same order on one thread give the same graph.

    Raises `ValueError` for a value that cannot be, `TypeError` for a wrong type.
    """

    __slots__ = ("__weakref__", "_core", "_metric")

    def __init__(
        self,
        dim: int,
        metric: str = "cosine",
        m: int = 16,
        ef_construction: int = 200,
        *,
        dtype: DTypeLike = "float32",
        quantize: str | None = "auto",
        layout: str = "auto",
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        text("metric", metric)
        text("layout", layout)
        stored = np.dtype(dtype).name
        if metric == "hamming":
            if stored not in ("float32", "uint8"):  # float32: nothing was said
                raise ValueError(f"dtype {stored!r} does not go with hamming: packed bits are uint8")
        elif stored not in ("float32", "float16"):
            raise ValueError(f"dtype is float32 or float16, and not {stored}")
        if quantize == "auto":
            quantize = None if metric == "hamming" else "i8"
        if quantize not in ("i8", None):
            raise ValueError(f'quantize is "auto", "i8" or None, and not {quantize!r}')
        if quantize is not None and metric == "hamming":
            raise ValueError(f"quantize={quantize!r} does not go with hamming: bits are as small as they get")
        self._core = _core.Index(
            whole("dim", dim, 1, 65_536),
            metric,
            stored,
            quantize or "none",
            layout,
            whole("m", m, 2, 512),
            whole("ef_construction", ef_construction, 1, 2**31 - 1),
            whole("seed", seed, 0, 2**64 - 1),
            threads_or_none(threads) or 0,
        )
        self._metric = self._core.metric

    @property
    def dim(self) -> int:
        """Elements of a vector; bits for "hamming"."""
        return self._core.dim

    @property
    def metric(self) -> str:
        """ "cosine", "ip", "l2" or "hamming"."""
        return self._metric

    @property
    def dtype(self) -> np.dtype[Any]:
        """How vectors are kept: float32, float16, or uint8 (packed bits)."""
        return np.dtype(np.uint8 if self._metric == "hamming" else self._core.dtype)

    @property
    def quantize(self) -> str | None:
        """What the graph is walked on: "i8", or None for the vectors themselves."""
        return None if self._core.codes == "none" else self._core.codes

    @property
    def layout(self) -> str:
        """How the codes of an optimized graph lie in memory, as asked: "auto", "nodes" or "neighbours"."""
        return self._core.layout

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids, ascending, int64 `(n,)`."""
        return self._core.ids()

    def add(self, vectors: Any, ids: Any = None) -> NDArray[np.int64]:
        """Adds rows, whole or not at all, and returns their ids, int64 `(n,)`.

        Parameters:
            vectors: `(n, dim)` real numbers, or uint8 `(n, dim / 8)` for "hamming"; anything array-like.
            ids: `(n,)` integers; None: on from the highest so far, from 0.

        Raises `DuplicateIdError` for an id that is there or stands twice, `DimensionMismatchError`,
        `InvalidVectorError` for NaN and infinity, `TypeError` and `ValueError` for what is no such array or id.
        """
        rows = _as_vectors(vectors, self._core.dim, self._metric)
        return self._core.add(rows, None if ids is None else _as_int_ids(ids))

    def search(
        self,
        query: Any,
        k: int = 10,
        *,
        ef: int | None = None,
        recall: float | None = None,
        filter: IdFilter | Any = None,
        radius: float | None = None,
        exact: bool = False,
        threads: int | None = None,
        explain: bool = False,
    ) -> Hits | BatchHits:
        """The `k` nearest rows, nearest first, equal distances by id; fewer only when fewer are there.

        Parameters:
            query: `(dim,)` for `Hits`, `(q, dim)` for `BatchHits`; no queries are `(0, dim)`, an empty list is refused.
            k: at least 1. A batch has `k` columns, and never more than the rows or 65,536, whichever is more.
            ef: breadth of the search, in rows: wider finds more and takes longer.
            recall: the share of the true nearest to aim at, above 0 and up to 1: the index picks `ef` by what it
                measured on itself in `optimize`, and for a query farther from the rows than most of them are from each
                other as it goes (unless more than a quarter of them fails the filter, or fewer than `k` lie within
                `radius`). 0.95 where neither is given; giving both is `ValueError`.
            filter: the ids that may be returned: an `IdFilter`, or what makes one.
            radius: no hit is farther than this, in the unit of the distances.
            exact: compare with every row.
            threads: for a batch; None: those of the index.
            explain: note in `plan` of the hits what was done in each part, and how long it took. Of a single query.

        Raises `DimensionMismatchError`, `InvalidVectorError` for NaN and infinity, `CorruptionError` where an opened
        file is damaged, `TypeError` and `ValueError` for what is no such array or value.
        """
        if threads is not None:
            threads = threads_or_none(threads)
        if filter is not None:
            filter = (filter if isinstance(filter, IdFilter) else IdFilter(filter))._core
        try:
            found = self._core.search(query, k, ef, recall, exact, threads, radius, explain, filter)
            if found is None:
                query = _as_queries(query, self._core.dim, self._metric)
                found = self._core.search(query, k, ef, recall, exact, threads, radius, explain, filter)
        except TypeError as error:
            raise refused_search(error, k, ef, recall, exact, radius, explain) from None
        return hits_of(found, self._metric)

    def delete(self, ids: Any) -> int:
        """Deletes rows by id and returns how many there were; unknown ids are not an error."""
        return self._core.delete(_as_int_ids(ids))

    def get(self, ids: Any) -> NDArray[Any]:
        """The vectors of these ids, in that order, as they were given, rounded to the stored dtype only.

        float32 `(n, dim)`, or uint8 `(n, dim / 8)` for "hamming"; `(dim,)` for a single id. Raises `NotFoundError` for
        the first id that is not there.
        """
        if isinstance(ids, (int, np.integer)):
            vector: NDArray[Any] = self._core.get(_as_int_ids([ids]))[0]
            return vector
        return self._core.get(_as_int_ids(ids))

    def optimize(self) -> None:
        """Merges everything into one part for the fastest reads, and measures what recall each breadth reaches.

        Meant for after bulk loading. Searches go on meanwhile, writers wait; `add` and `delete` work afterwards.
        """
        self._core.optimize()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index to one file, durable when this returns; what `path` named before is replaced whole.

        Raises `StorageError` (disk full, no permission, or what is there is no regular file); what `path` named before
        is then still there. A symbolic link stays, and what it leads to is replaced.
        """
        target = os.path.realpath(_path(path))
        if os.path.exists(target) and not os.path.isfile(target):
            raise StorageError(f"{target}: not a regular file: an index is not saved over it", path=target)
        self._core.save(target)

    @staticmethod
    def open(path: str | os.PathLike[str], *, verify: bool = False, threads: int | None = None) -> Index:
        """Opens a saved index by memory map, in milliseconds, ready for every method.

        Blocks are checked when first touched; `verify=True` checks every byte now.

        Raises `StorageError` if the file cannot be read, `CorruptionError` if it is damaged, `FormatVersionError` if
        this version of lamina cannot read it.
        """
        index = Index.__new__(Index)
        index._core = _core.Index.open(_path(path), bool(verify), threads_or_none(threads) or 0)
        index._metric = index._core.metric
        return index

    def warm(self, pages: str = "mapped") -> None:
        """Reads and checks all that searches touch, so that the first of them is as fast as the rest.

        Parameters:
            pages: "mapped" leaves it in the file's pages, which all processes share. "huge" also copies the codes and
                links that the graph is walked on to memory of this process, in huge pages where the system has them
                (on Linux, unless /sys/kernel/mm/transparent_hugepage/enabled says "never"). A vector's copies are 1 to
                1.5 bytes a dimension and 8 × `m` bytes of links; about 5 bytes a dimension in the layout "neighbours".
                Helps where that is many times what the processor's caches hold, and the file is not in huge pages
                itself, as on XFS, and on ext4 since Linux 6.16, what lamina wrote is. A part without codes, one that
                takes less than 2 MiB, and what was made in this process stay where they are.

        Raises `CorruptionError`; `ValueError` for other pages.
        """
        if in_huge_pages(pages):
            self._core.copy_to_huge_pages()
        self._core.warm()

    def stats(self) -> dict[str, Any]:
        """`live` rows, `head_rows` and `head_deleted` of the growing part, and `parts`: the merged ones.

        Each part has `rows`, `deleted`, `name` (its file, or "memory"), `code_bits` (4 or 8, a number of the codes
        that its graph is walked on; None: on the vectors), `layout` ("nodes" or "neighbours": how these lie; None:
        there is no graph, or there are no codes) and `calibration`: a list of `(k, ef, recall)` as it measured itself.
        """
        return self._core.stats()

    def _rows(self) -> Rows:
        ids = self.ids
        return Rows(
            ids,
            lambda positions: self._core.get(ids[positions]),
            lambda vectors, k, **options: cast(BatchHits, self.search(vectors, k, **options)),
        )

    def deduplicate(
        self,
        threshold: float,
        *,
        keep: Keep = "first",
        dry_run: bool = False,
        ef: int | None = None,
        recall: float | None = None,
        exact: bool = False,
        threads: int | None = None,
        progress: bool = False,
    ) -> Deduplication:
        """Deletes rows that lie at most `threshold` from one that stays. See `Collection.deduplicate`.

        The "first" of some is the one of the least id; a callable is given their ids, int64 `(m,)`.
        """
        from lamina import duplicates

        options = {"ef": ef, "recall": recall, "exact": exact, "threads": threads}
        found = duplicates.find(
            self._rows(), threshold, keep, options, progress, rank=lambda ids: ids, shown=lambda ids: ids
        )
        if not dry_run:
            self.delete(found.deleted)
        return found

    def __len__(self) -> int:
        return len(self._core)

    def __contains__(self, id: object) -> bool:
        try:
            return self._core.contains(_as_id(id))
        except (TypeError, ValueError):
            return False

    def __repr__(self) -> str:
        return f"<lamina.Index of {len(self):,} × {self.dim}, {self.metric}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Index is not pickled: save(path) it, and open it there with lamina.Index.open(path)")


_as_vectors, _as_queries = vectors.as_vectors, vectors.as_queries
_as_int_ids, _as_id = vectors.as_int_ids, vectors.as_id


def _path(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if "\0" in text:
        raise ValueError(f"a path holds no null byte: {text!r}")
    return text
