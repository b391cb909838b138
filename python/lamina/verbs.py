"""What a search may be asked for beside the nearest: not these, like those, few of a kind, not all alike, and more.

All of it rests on the plain search, made to look ever deeper until enough of what it finds will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamina import blending, records
from lamina.arguments import whole
from lamina.errors import NotFoundError
from lamina.hits import BatchHits, Hits, scores_of
from lamina.shared import Settings
from lamina.snapshot import fetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lamina.snapshot import Snapshot

POOL = 4  # so many times k are weighed against each other for diversity
GROWTH = 4  # of how deep is looked, where it was not deep enough
WIDEST = 1 << 16  # columns of a batch may exceed the rows up to here, as in a plain search
MOST_FOUND = 1 << 22  # hits of several queries that are looked at together

Found = tuple["NDArray[Any]", "NDArray[np.float32]"]  # ids and distances of one query


class Verbs(TypedDict, total=False):
    """Further arguments of `Collection.search`, which says what they are."""

    like: Any
    unlike: Any
    exclude: Any
    group_by: str | None
    group_limit: int | None
    diversity: float | None


class Wanted(NamedTuple):
    """The checked arguments."""

    like: NDArray[Any] | None
    unlike: NDArray[Any] | None
    exclude: list[NDArray[Any]]  # of each query; of one list: of all
    group_by: str | None
    group_limit: int
    diversity: float

    @staticmethod
    def of(snapshot: Snapshot, verbs: Verbs) -> Wanted:
        """TypeError, ValueError, NotFoundError."""
        for name in verbs:
            if name not in Verbs.__annotations__:
                hint = ": say k=" if name in ("limit", "top_k", "n_results", "count") else ""
                raise TypeError(f"search() got an unexpected keyword argument {name!r}{hint}")
        group_by, limit, diversity = verbs.get("group_by"), verbs.get("group_limit"), verbs.get("diversity")
        if group_by is not None:
            _check_column(snapshot, group_by)
        elif limit is not None:
            raise ValueError("group_limit= is of the groups that a column makes: name it with group_by=")
        if diversity is not None and (isinstance(diversity, (bool, str)) or not 0 <= diversity <= 1):
            raise ValueError(f"diversity is {diversity!r}; it lies from 0 (the nearest) to 1 (the most different)")
        like, unlike = (_examples(snapshot, name, verbs.get(name)) for name in ("like", "unlike"))
        exclude = _excluded(snapshot, verbs.get("exclude"), [ids for ids in (like, unlike) if ids is not None])
        limit = whole("group_limit", 1 if limit is None else limit, 1)
        return Wanted(like, unlike, exclude, group_by, limit, float(diversity or 0.0))


def search(snapshot: Snapshot, query: Any, k: int, verbs: Verbs, options: dict[str, Any]) -> Hits | BatchHits:
    """`Snapshot.search` with verbs; `options` are its other arguments."""
    k, wanted = min(whole("k", k, 1, 2**31 - 1), max(len(snapshot), WIDEST)), Wanted.of(snapshot, verbs)
    include, model = options.pop("include"), options.pop("model")
    if options.pop("explain"):
        raise ValueError("explain= tells of one search for what is nearest, and these verbs take several")
    if query is None and wanted.like is None:
        raise TypeError("search needs a query, or like=: the ids of examples")
    vectors = None
    if query is not None:
        vectors, model = snapshot._query_vectors(query, model)
    if wanted.like is not None or wanted.unlike is not None:
        like, unlike = (_vectors(snapshot, ids) for ids in (wanted.like, wanted.unlike))
        vectors = blending.blended(vectors, like, unlike, snapshot.model.metric)
        model = snapshot.model if query is None else model
    made = cast("NDArray[Any]", vectors)
    queries = made[None] if made.ndim == 1 else made
    if len(wanted.exclude) not in (0, 1, len(queries)):
        raise ValueError(f"exclude= has ids for {len(wanted.exclude)} queries, and there are {len(queries)}")

    def plain(rows: NDArray[np.int64], depth: int) -> BatchHits:
        return cast(BatchHits, snapshot.search(queries[rows], depth, model=model, **options))

    answers = _Search(snapshot, plain, wanted, k).answers(len(queries))
    hits = answers if made.ndim == 2 else answers[0]
    fetch(hits, include)
    return hits


def pages(snapshot: Snapshot, query: Any, page: int, options: dict[str, Any]) -> Iterator[Hits]:
    """`Snapshot.search_iter`: what is wrong is refused at once, and not at the first page."""
    page = whole("page", page, 1, 2**31 - 1)
    if options.get("diversity"):
        raise ValueError("diversity= chooses once, among the nearest: there is no next page of that")
    include = options.pop("include", ())
    records.projection(records.included(include), Settings.of(snapshot._core.settings).columns())
    if query is not None:
        query, options["model"] = snapshot._query_vectors(query, options.get("model"))
    found = snapshot.search(query, page, **options)
    if isinstance(found, BatchHits):
        raise ValueError("search_iter goes on with one query: a vector (dim,), or a text")
    return _pages(snapshot, query, found, page, include, options)


def _pages(
    snapshot: Snapshot, query: Any, found: Hits, page: int, include: Any, options: dict[str, Any]
) -> Iterator[Hits]:
    seen: set[Any] = set()
    depth, ids, distances = page, found.ids[:0], found.distances[:0]
    while True:
        new = np.array([id not in seen for id in found.ids.tolist()], np.bool_)
        seen.update(found.ids.tolist())
        ids, distances = np.concatenate([ids, found.ids[new]]), np.concatenate([distances, found.distances[new]])
        last = len(found) < depth
        for start in range(0, len(ids) if last else len(ids) - page + 1, page):
            hits = Hits(ids[start : start + page], distances[start : start + page], found._metric, snapshot)
            fetch(hits, include)
            yield hits
        if last:
            return
        rest = len(ids) - len(ids) % page
        ids, distances = ids[rest:], distances[rest:]
        depth *= GROWTH
        found = cast(Hits, snapshot.search(query, depth, **options))


class _Search:
    """Finds k hits for each query that are as wanted, looking deeper where they are too few."""

    def __init__(
        self, snapshot: Snapshot, plain: Callable[[NDArray[np.int64], int], BatchHits], wanted: Wanted, k: int
    ) -> None:
        self._snapshot = snapshot
        self._plain = plain
        self._wanted = wanted
        self._k = k
        self._pool = k * POOL if wanted.diversity else k

    def answers(self, queries: int) -> BatchHits:
        total, most = len(self._snapshot), max((len(ids) for ids in self._wanted.exclude), default=0)
        depth, chosen, rows = self._pool + min(most, self._pool), dict[int, Found](), np.arange(queries)
        while len(rows):
            again = []
            for part in np.array_split(rows, -(-len(rows) * depth // MOST_FOUND)):
                found = self._plain(part, depth)
                kept = self._admitted(part, found)
                open_ones = (kept.sum(axis=1) < self._pool) & (found.counts == depth) & (depth < total)
                for at in np.flatnonzero(~open_ones):
                    slots = np.flatnonzero(kept[at])[: self._pool]
                    chosen[int(part[at])] = self._diverse(found.ids[at, slots], found.distances[at, slots])
                again.append(part[open_ones])
            rows, depth = np.concatenate(again), min(depth * GROWTH, total)
        return self._assembled([chosen[row] for row in range(queries)])

    def _admitted(self, rows: NDArray[np.int64], found: BatchHits) -> NDArray[np.bool_]:
        """Which of the hits may be answered, `(queries, depth)`."""
        wanted = self._wanted
        kept = np.arange(found.ids.shape[1]) < found.counts[:, None]
        for at, row in enumerate(rows.tolist() if wanted.exclude else ()):
            excluded = wanted.exclude[row if len(wanted.exclude) > 1 else 0]
            kept[at, kept[at]] = ~_among(found.ids[at, kept[at]], excluded)
        if wanted.group_by is not None and kept.any():
            groups = np.full(kept.shape, -1)
            ids, where = np.unique(found.ids[kept], return_inverse=True)
            groups[kept] = _groups(self._snapshot, ids, wanted.group_by)[where]
            for at in range(len(rows)):
                kept[at] &= _first_of_each(groups[at], wanted.group_limit)
        return kept

    def _diverse(self, ids: NDArray[Any], distances: NDArray[np.float32]) -> Found:
        """Of the pool the k that are near and unlike each other, nearest first."""
        if not self._wanted.diversity or len(ids) <= 1:
            return ids[: self._k], distances[: self._k]
        metric = self._snapshot.model.metric
        relevance = scores_of(distances, metric).astype(np.float64)
        vectors = cast("NDArray[Any]", self._snapshot.get(ids, include=("vectors",)).vectors)
        similarity = blending.similarity(vectors, metric)
        chosen = blending.most_diverse(relevance, similarity, self._wanted.diversity, self._k)
        return ids[chosen], distances[chosen]

    def _assembled(self, answers: list[Found]) -> BatchHits:
        of_str = self._snapshot._core.id_kind == "str"
        ids = np.full((len(answers), self._k), None if of_str else -1, object if of_str else np.int64)
        distances = np.full(ids.shape, np.inf, np.float32)
        for at, (found, far) in enumerate(answers):
            ids[at, : len(found)], distances[at, : len(found)] = found, far
        counts = np.array([len(found) for found, _ in answers], np.int64)
        return BatchHits(ids, distances, counts, self._snapshot.model.metric, self._snapshot)


def _examples(snapshot: Snapshot, name: str, ids: Any) -> NDArray[Any] | None:
    """Ids of examples; one is a list of one. ValueError for none."""
    if ids is None:
        return None
    listed = _ids(snapshot, ids)
    if not len(listed):
        raise ValueError(f"{name}= names at least one example, or is left out")
    return listed


def _vectors(snapshot: Snapshot, ids: NDArray[Any] | None) -> NDArray[Any]:
    """The vectors of examples. NotFoundError, ValueError for one without a vector."""
    found = snapshot.get([] if ids is None else ids, include=("vectors",))
    if found.missing:
        raise NotFoundError(f"no record {found.missing[0]!r} in {snapshot.name!r}: an example is a record")
    vectors, owed = cast("tuple[NDArray[Any], NDArray[np.bool_]]", (found.vectors, found.owed))
    if owed.any():
        raise ValueError(f"{found.ids[owed][0]!r} has no vector yet: it cannot be an example")
    return vectors


def _excluded(snapshot: Snapshot, exclude: Any, examples: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """What each query must not find, the examples among it; empty: nothing."""
    lists = [] if exclude is None else _listed(exclude)
    if not (len(lists) and isinstance(lists[0], (list, tuple, set, frozenset, np.ndarray))):
        lists = [lists] if len(lists) or examples else []
    return [np.concatenate([_ids(snapshot, ids), *examples]) for ids in lists]


def _listed(values: Any) -> Any:
    """Values as a list or an array; one is a list of one."""
    if isinstance(values, (int, str, np.integer)):
        return [values]
    return np.asarray(values) if hasattr(values, "__array__") else list(values)


def _ids(snapshot: Snapshot, ids: Any) -> NDArray[Any]:
    """Ids in the kind of the collection, as an array."""
    of_str = snapshot._core.id_kind == "str"
    ids = _listed(ids)
    if not len(ids):
        return np.empty(0, object if of_str else np.int64)
    made = snapshot.as_ids(ids)
    return np.array(made, object) if isinstance(made, tuple) else made


def _among(ids: NDArray[Any], excluded: NDArray[Any]) -> NDArray[np.bool_]:
    if ids.dtype != object:
        return np.isin(ids, excluded)
    names = frozenset(excluded.tolist())
    return np.array([id in names for id in ids.tolist()], np.bool_)


def _check_column(snapshot: Snapshot, name: str) -> None:
    """NotFoundError for a metadata column that is not there, TypeError for one whose values make no groups."""
    schema = Settings.of(snapshot._core.settings).columns()
    if name not in schema.names:
        there = ", ".join(map(repr, schema.names)) or "none"
        raise NotFoundError(f"group_by={name!r}: no such metadata column in {snapshot.name!r}; there are: {there}")
    if pa.types.is_nested(schema.field(name).type):
        raise TypeError(f"group_by={name!r}: a column of {schema.field(name).type} makes no groups")


def _groups(snapshot: Snapshot, ids: NDArray[Any], name: str) -> NDArray[np.int64]:
    """A number for the value that each record has in a column; those without a value are one group."""
    refs = snapshot._core.find(snapshot.as_ids(ids))
    batch = records.metadata_at(snapshot._core, refs, snapshot._shared.cache, [name])
    if name not in batch.schema.names or pa.types.is_null(batch.schema.field(name).type):
        return np.zeros(len(ids), np.int64)
    column = batch.column(name)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), float("nan"), pc.add(column, 0.0))  # one NaN, and one zero
    codes = column.dictionary_encode(null_encoding="encode").indices
    return np.asarray(codes.to_numpy(zero_copy_only=False), np.int64)


def _first_of_each(groups: NDArray[np.int64], limit: int) -> NDArray[np.bool_]:
    """The first `limit` of each group; −1 is none."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    first = np.empty(len(groups), np.bool_)
    first[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered) < limit
    return first & (groups >= 0)
