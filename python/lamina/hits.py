"""What a search answers: `Hits` of one query, `BatchHits` of several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, overload

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from lamina.records import Records

__all__ = ["BatchHits", "Hit", "HitSource", "Hits"]

FIELDS = (("metadata", "metadata"), ("content", "content"), ("vector", "vectors"))  # in a hit, and to be fetched


class Hit(NamedTuple):
    """One found record. `metadata`, `content` and `vector` are None where they were not fetched."""

    id: int | str
    distance: float
    metadata: dict[str, Any] | None = None
    content: str | None = None
    vector: NDArray[Any] | None = None

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True) if value is not None]
        return f"Hit({', '.join(given)})"


class HitSource(Protocol):
    """The snapshot that answered: where the rest of the found records comes from."""

    def get(self, ids: NDArray[Any], include: Iterable[str]) -> Records:
        """These records, which are there, in that order, with these fields."""


class Hits(Sequence[Hit]):
    """The nearest records of one query, nearest first: a sequence of `Hit`.

    Attributes: `ids` `(m,)`, int64 or objects (str), and `distances` `(m,)` float32, ascending; `m` is at most `k`.
    `plan` is None, or, where the search was asked to `explain`, a list of what it did: for each step a dict of `part`
    (its number, or "head"), `rows`, `passing` (rows that may be returned), `method` ("scan", "scan codes", "walk",
    "walk passing"), `breadth`, `measured` (rows compared with the query) and `microseconds`.
    """

    __slots__ = ("_fetched", "_metric", "_source", "distances", "ids", "plan")

    ids: NDArray[Any]
    distances: NDArray[np.float32]
    plan: list[dict[str, Any]] | None

    def __init__(
        self,
        ids: NDArray[Any],
        distances: NDArray[np.float32],
        metric: str,
        source: HitSource | None = None,
        plan: list[dict[str, Any]] | None = None,
    ) -> None:
        self.ids = ids
        self.distances = distances
        self.plan = plan
        self._metric = metric
        self._source = source
        self._fetched: dict[str, Records] | None = None

    @property
    def scores(self) -> NDArray[np.float32]:
        """Larger is better, `(m,)`: the similarity itself for cosine and ip, else the distance negated."""
        return scores_of(self.distances, self._metric)

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """The metadata of each hit, from the snapshot that answered."""
        metadata: list[dict[str, Any]] = self.fetch("metadata")
        return metadata

    @property
    def content(self) -> list[str | None]:
        """The content of each hit, from the snapshot that answered."""
        content: list[str | None] = self.fetch("content")
        return content

    @property
    def vectors(self) -> NDArray[Any]:
        """The vector of each hit, `(m, dim)`, from the snapshot that answered."""
        vectors: NDArray[Any] = self.fetch("vectors")
        return vectors

    def fetch(self, field: str, columns: Iterable[str] = ()) -> Any:
        """`metadata` (or these columns of it), `content` or `vectors` by name: fetched once, and then kept."""
        if self._source is None:
            raise AttributeError(f"hits of an Index have no {field}: a collection keeps them (lamina.open)")
        if self._fetched is None:
            self._fetched = {}
        if field not in self._fetched:
            self._fetched[field] = self._source.get(self.ids, columns or (field,))
        return getattr(self._fetched[field], field)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            part = Hits(self.ids[index], self.distances[index], self._metric, self._source, self.plan)
            if self._fetched is not None:
                part._fetched = {field: records[index] for field, records in self._fetched.items()}
            return part
        rest = {name: getattr(records, field)[index] for name, field, records in self._rest()}
        return Hit(plain_id(self.ids[index]), float(self.distances[index]), **rest)

    def __iter__(self) -> Iterator[Hit]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hits):
            return NotImplemented
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.distances, other.distances)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"({plain_id(i)!r}, {d:.4g})" for i, d in zip(self.ids[:5], self.distances[:5], strict=True))
        return f"<{len(self)} hits: {shown}{', …' if len(self) > 5 else ''}>"

    def to_list(self) -> list[dict[str, Any]]:
        """A dict for each hit: `id`, `distance`, and what was fetched of `metadata`, `content`, `vector`."""
        names = self._columns().keys()
        return [{name: value for name, value in hit._asdict().items() if name in names} for hit in self]

    def to_arrow(self) -> pa.Table:
        """A table with a row for each hit, and the columns of `to_list`, which are of the same types whatever the hits
        have: see `Records.to_arrow`."""
        import pyarrow as pa

        ids = pa.array(self.ids, pa.string() if self.ids.dtype == object else None)
        rest = {name: records.to_arrow().column(name) for name, _, records in self._rest()}
        return pa.table({"id": ids, "distance": self.distances, **rest})

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with a row for each hit, and the columns of `to_list`."""
        import pandas as pd

        columns = self._columns()
        return pd.DataFrame({name: list(v) if name == "vector" else v for name, v in columns.items()})

    def _columns(self) -> dict[str, Any]:
        rest = {name: getattr(records, field) for name, field, records in self._rest()}
        return {"id": self.ids, "distance": self.distances, **rest}

    def _rest(self) -> Iterator[tuple[str, str, Records]]:
        """What was fetched: its name in a `Hit`, its field, and the records."""
        fetched = self._fetched or {}
        return ((name, field, fetched[field]) for name, field in FIELDS if field in fetched)


class BatchHits(Sequence[Hits]):
    """The nearest records of each query of a batch: a sequence of `Hits`.

    Attributes: `ids` `(n, k)`, `distances` `(n, k)` float32, `counts` `(n,)` int64. Slots behind the last hit of a
    query hold −1 (None where ids are strings) and +inf.
    """

    __slots__ = ("_metric", "_rows", "_source", "counts", "distances", "ids")

    ids: NDArray[Any]
    distances: NDArray[np.float32]
    counts: NDArray[np.int64]

    def __init__(
        self,
        ids: NDArray[Any],
        distances: NDArray[np.float32],
        counts: NDArray[np.int64],
        metric: str,
        source: HitSource | None = None,
    ) -> None:
        self.ids = ids
        self.distances = distances
        self.counts = counts
        self._metric = metric
        self._source = source
        self._rows: dict[int, Hits] = {}

    @property
    def scores(self) -> NDArray[np.float32]:
        """Larger is better, `(n, k)`; −inf in empty slots."""
        return scores_of(self.distances, self._metric)

    @property
    def metadata(self) -> list[list[dict[str, Any]]]:
        """Of each query the metadata of its hits, from the snapshot that answered."""
        return [hits.metadata for hits in self]

    @property
    def content(self) -> list[list[str | None]]:
        """Of each query the contents of its hits, from the snapshot that answered."""
        return [hits.content for hits in self]

    @property
    def vectors(self) -> list[NDArray[Any]]:
        """Of each query the vectors of its hits, `(m, dim)`, from the snapshot that answered."""
        return [hits.vectors for hits in self]

    def fetch(self, field: str, columns: Iterable[str] = ()) -> None:
        """Fetches `metadata` (or these columns of it), `content` or `vectors` for all hits now."""
        for hits in self:
            hits.fetch(field, columns)

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, index: int) -> Hits: ...
    @overload
    def __getitem__(self, index: slice) -> BatchHits: ...
    def __getitem__(self, index: int | slice) -> Hits | BatchHits:
        if isinstance(index, slice):
            part = BatchHits(self.ids[index], self.distances[index], self.counts[index], self._metric, self._source)
            part._rows = {n: self._rows[i] for n, i in enumerate(range(*index.indices(len(self)))) if i in self._rows}
            return part
        row = range(len(self))[index]  # IndexError, and negative ones from the end
        if row not in self._rows:
            count = int(self.counts[row])
            self._rows[row] = Hits(self.ids[row, :count], self.distances[row, :count], self._metric, self._source)
        return self._rows[row]

    def __iter__(self) -> Iterator[Hits]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BatchHits):
            return NotImplemented
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.distances, other.distances)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} queries, {int(self.counts.sum())} hits>"

    def to_list(self) -> list[list[dict[str, Any]]]:
        """Of each query `Hits.to_list()`."""
        return [hits.to_list() for hits in self]

    def to_arrow(self) -> pa.Table:
        """A table with a row for each hit: `query` (its number), and the columns of `Hits.to_arrow()`."""
        import pyarrow as pa

        tables = [hits.to_arrow() for hits in self]
        numbers = pa.array(np.repeat(np.arange(len(self)), self.counts))
        if not tables:
            tables = [Hits(self.ids.reshape(-1), self.distances.reshape(-1), self._metric).to_arrow()]
        return pa.concat_tables(tables, promote_options="permissive").add_column(0, "query", numbers)

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with a row for each hit: `query` (its number), and the columns of `Hits.to_pandas()`."""
        import pandas as pd

        frames = [hits.to_pandas().assign(query=number) for number, hits in enumerate(self)]
        if not frames:
            frames = [Hits(self.ids.reshape(-1), self.distances.reshape(-1), self._metric).to_pandas().assign(query=0)]
        frame = pd.concat(frames, ignore_index=True)
        return frame[["query", *frame.columns.drop("query")]]


def hits_of(found: tuple[Any, ...] | None, metric: str, source: HitSource | None = None) -> Hits | BatchHits:
    """The answer of a core search: of one query, or with the counts of several."""
    assert found is not None  # the query had been converted
    ids, distances, counts, plan = found
    if counts is None:
        return Hits(ids, distances, metric, source, plan)
    return BatchHits(ids, distances, counts, metric, source)


def scores_of(distances: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """The larger-is-better view of distances."""
    similar = metric in ("cosine", "ip")
    return np.subtract(np.float32(1), distances) if similar else np.negative(distances)


def plain_id(id: Any) -> int | str:
    """A Python int or str."""
    return id if isinstance(id, str) else int(id)
