"""Where the vectors of a migration come from: ready-made ones, longer ones cut, or an embedder.

Each answers for some records of a snapshot: a vector, or an exception that says why there is none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lamina import _core, records
from lamina.caller import Caller, Outcome
from lamina.errors import LaminaError
from lamina.known import Known
from lamina.models import Model, TaggedVectors, mismatch
from lamina.records import BlockCache
from lamina.vectors import as_vectors
from lamina.writes import as_ids, listed

Contents = Callable[[list[Any]], Sequence[Any]] | Mapping[Any, str]


class NoVectorError(LaminaError):
    """Nothing that a migration was given makes a vector of this record."""


class Rows(Protocol):
    """Some records of one snapshot, and what a vector of each is to be made from."""

    core: _core.Snapshot
    refs: NDArray[np.uint64]
    ids: list[Any]
    basis: list[bytes]


class ReadyMade:
    """Vectors that somebody made, for the records as they were when they were handed over."""

    def __init__(self, given: Any, model: Model, core: _core.Snapshot, collection: str) -> None:
        ids, vectors = _pairs(given, model, collection)
        self._vectors = as_vectors(vectors, model.dim, model.metric)
        if len(self._vectors) != len(ids):
            raise ValueError(f"{len(self._vectors)} vectors for {len(ids)} ids")
        self._row: dict[tuple[Any, bytes], int] = {}
        kind = core.id_kind
        if kind is None or not ids:
            return
        refs = core.find(as_ids(ids))
        there = np.flatnonzero(refs != np.uint64(_core.NO_REF))
        basis = core.basis_at(refs[there])
        self._row = {(ids[row], basis[at].tobytes()): row for at, row in enumerate(there.tolist())}

    def of(self, rows: Rows, wanted: list[int]) -> dict[int, Outcome]:
        """Vectors of those of the wanted rows that there are any for."""
        places = {at: self._row.get((rows.ids[at], rows.basis[at])) for at in wanted}
        return {at: self._vectors[row] for at, row in places.items() if row is not None}


class Cut:
    """The first elements of the served vectors, where these are of the same model in full (Matryoshka embeddings)."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @staticmethod
    def fits(old: Model, new: Model) -> bool:
        """Whether cutting the vectors of `old` gives those of `new`."""
        differs = set(old.diff(new))
        same_scale = new.normalize or new.metric == "cosine" or old.normalize == new.normalize
        return (
            differs <= {"dim", "full_dim", "normalize"}
            and new.dim < old.dim
            and (new.full_dim or new.dim) == (old.full_dim or old.dim)
            and new.metric != "hamming"
            and same_scale
        )

    def of(self, rows: Rows, wanted: list[int]) -> dict[int, Outcome]:
        refs = rows.refs[wanted]
        vectors, has = rows.core.vectors_at(refs)
        made_from = rows.core.provenance_at(refs)["made_from"]
        cut = np.ascontiguousarray(vectors[:, : self._model.dim], np.float32)
        if self._model.normalize:
            norms = np.linalg.norm(cut, axis=1, keepdims=True)
            cut = (cut / np.where(norms > 0, norms, 1)).astype(np.float32)
        fresh = [has[n] and made_from[n].tobytes() == rows.basis[at] for n, at in enumerate(wanted)]
        return {at: cut[n] for n, at in enumerate(wanted) if fresh[n]}


class Embedded:
    """The embedder, on the contents that the store has, or that somebody else has. For any thread."""

    def __init__(self, caller: Caller, known: Known, contents: Contents | None, cache: BlockCache) -> None:
        self.caller = caller
        self.embedded = 0  # texts
        self.tokens = 0
        self._known = known
        self._contents = contents
        self._cache = cache
        self._lock = threading.Lock()  # of the counts and of what is known

    def of(self, rows: Rows, wanted: list[int]) -> dict[int, Outcome]:
        """A vector of each wanted row, or what keeps it from having one. Raises as `Caller.embed`."""
        texts = self.texts(rows, wanted)
        found: dict[int, Outcome] = {at: text for at, text in texts.items() if not isinstance(text, str)}
        with self._lock:
            known = self._known.vectors(list({rows.basis[at] for at in texts if _is_hash(rows.basis[at])}))
        found |= {at: known[rows.basis[at]] for at in texts if at not in found and rows.basis[at] in known}
        new = {text: at for at, text in texts.items() if isinstance(text, str) and at not in found}
        if not new:
            return found
        made = dict(zip(new, self.caller.embed(list(new)), strict=True))
        with self._lock:
            good = [text for text, outcome in made.items() if not isinstance(outcome, Exception)]
            self.embedded += len(good)
            self.tokens += sum(map(self.caller.tokens, good))
        return found | {at: made[text] for at, text in texts.items() if isinstance(text, str) and at not in found}

    def wrote(self, rows: Rows, stored: list[int]) -> None:
        """These rows have their vectors now: no other record with one of their texts needs the embedder."""
        with self._lock:
            for at in stored:
                if _is_hash(rows.basis[at]):
                    self._known.wrote(rows.basis[at], rows.ids[at])

    def texts(self, rows: Rows, wanted: list[int]) -> dict[int, str | NoVectorError]:
        """The text of each row, or why there is none."""
        stored = records.content_at(rows.core, rows.refs[wanted], self._cache).to_pylist()
        found: dict[int, str | NoVectorError] = {
            at: NoVectorError("it has no content: give source= or vectors=") if text is None else text
            for at, text in zip(wanted, stored, strict=True)
        }
        without = [at for at in wanted if not isinstance(found[at], str)]
        if self._contents is None or not without:
            return found
        for at, text in zip(without, self._given([rows.ids[at] for at in without]), strict=True):
            found[at] = NoVectorError("source= has no content of it") if text is None else text
        return found

    def _given(self, ids: list[Any]) -> list[str | None]:
        if isinstance(self._contents, Mapping):
            return [self._contents.get(id) for id in ids]
        given = list(self._contents(ids)) if self._contents is not None else []
        if len(given) != len(ids):
            raise ValueError(f"source= returned {len(given)} contents for {len(ids)} ids")
        return given


def _is_hash(basis: bytes) -> bool:
    """Whether it is of a text; else it is a stamp, which other records may share."""
    return any(basis[8:])


def _pairs(given: Any, model: Model, collection: str) -> tuple[list[Any], Any]:
    """Ids and vectors, of a mapping, a pair, or a table with the columns `id` and `vector`."""
    if isinstance(given, Mapping):
        ids, vectors = list(given), list(given.values())
    elif isinstance(given, tuple) and len(given) == 2:
        ids, vectors = listed(as_ids(given[0])), given[1]
    elif hasattr(given, "column_names") or hasattr(given, "columns"):
        names = list(getattr(given, "column_names", None) or given.columns)
        column = next((name for name in ("vector", "vectors", "embedding") if name in names), None)
        if "id" not in names or column is None:
            raise ValueError(f"vectors= as a table has the columns id and vector, and this has {names}")
        ids, vectors = listed(as_ids(given["id"])), given[column]
    else:
        raise TypeError("vectors= is a mapping from id to vector, a pair (ids, array), or a table with id and vector")
    if isinstance(vectors, TaggedVectors):
        if vectors.model != model:
            raise mismatch(vectors.model, model, doing="migrate", collection=collection)
        vectors = vectors.vectors
    return ids, vectors
