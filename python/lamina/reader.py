"""What a collection answers as its newest snapshot does."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lamina.snapshot import DEFAULT_INCLUDE, Snapshot

if TYPE_CHECKING:
    import os

    import pyarrow as pa
    from numpy.typing import NDArray

    from lamina.hits import Hits
    from lamina.neighbours import KnnGraph, Pairs


class Reader(abc.ABC):
    """Reads from one snapshot a call, the newest."""

    @abc.abstractmethod
    def snapshot(self) -> Snapshot:
        """The newest version."""

    def search_iter(self, query: Any = None, *, page: int = 100, **options: Any) -> Iterator[Hits]:
        """The nearest records in pages, and then those that follow, of one version. See `Snapshot.search_iter`."""
        return self.snapshot().search_iter(query, page=page, **options)

    def search_to_arrow(
        self, queries: Any, k: int = 10, *, memory: int = 64 << 20, include: Iterable[str] = (), **options: Any
    ) -> pa.RecordBatchReader:
        """The nearest records of many queries as a stream of Arrow batches. See `Snapshot.search_to_arrow`."""
        return self.snapshot().search_to_arrow(queries, k, memory=memory, include=include, **options)

    def knn_graph(self, k: int, **options: Any) -> KnnGraph:
        """The `k` nearest neighbours of every record. See `Snapshot.knn_graph`."""
        return self.snapshot().knn_graph(k, **options)

    def self_join(self, radius: float, **options: Any) -> Pairs:
        """All pairs of records whose distance is at most `radius`. See `Snapshot.self_join`."""
        return self.snapshot().self_join(radius, **options)

    def near_duplicates(self, threshold: float, **options: Any) -> list[NDArray[Any]]:
        """Groups of records that lie at most `threshold` from each other. See `Snapshot.near_duplicates`."""
        return self.snapshot().near_duplicates(threshold, **options)

    def to_arrow(self, *, filter: Any = None, include: Iterable[str] = DEFAULT_INCLUDE) -> pa.Table:
        """All records, or those that pass a filter, as one table. See `Snapshot.to_arrow`."""
        return self.snapshot().to_arrow(filter=filter, include=include)

    def to_parquet(self, path: str | os.PathLike[str], *, filter: Any = None, progress: bool = False) -> int:
        """Writes all records, or those that pass a filter, to a Parquet file. See `Snapshot.to_parquet`."""
        return self.snapshot().to_parquet(path, filter=filter, progress=progress)
