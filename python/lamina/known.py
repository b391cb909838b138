"""Vectors by the text that they were made from, so that no text is embedded twice. The store itself is the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lamina import _core, writes
from lamina.models import Model, mismatch
from lamina.standing import CHUNK

if TYPE_CHECKING:
    from lamina.collection import Collection

RECENT_MAX = 1 << 20


class Known:
    """The vectors of a collection by content hash: those of a snapshot, and those that were written since.

    16 bytes of memory a vector for the first, sorted; a dictionary's entry for the second, which become part of the
    first once they are many. Made when it is first asked. Not for several threads at a time.
    """

    def __init__(self, collection: Collection, model: Model, oldest_us: int) -> None:
        self._collection = collection
        self._model = model  # that the vectors are of
        self._oldest_us = oldest_us  # vectors that were made before are too old
        self._core: Any = None  # of the snapshot
        self._keys = np.empty(0, np.uint64)  # the first half of each hash, sorted
        self._refs = np.empty(0, np.uint64)
        self._recent: dict[bytes, int | str] = {}

    def wrote(self, hash: bytes, id: int | str) -> None:
        """The vector of this text now stands under this id."""
        self._recent[hash] = id

    def has(self, hashes: list[bytes]) -> set[bytes]:
        """Those of the hashes that a vector is known for."""
        if not hashes:
            return set()
        self._load()
        wanted = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 16)
        found = {hashes[at] for at in self._sealed(wanted)[0]}
        return found | self._recent.keys() & set(hashes)

    def vectors(self, hashes: list[bytes]) -> dict[bytes, NDArray[Any]]:
        """The vectors that there are for these hashes."""
        if not hashes:
            return {}
        self._load()
        recent = [hash for hash in hashes if hash in self._recent]
        found = self._recently(recent) if recent else {}
        wanted = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 16)
        at, refs = self._sealed(wanted)
        if len(at):
            found.update(zip([hashes[row] for row in at], self._core.vectors_at(refs)[0], strict=True))
        return found

    def _load(self) -> None:
        if self._core is not None and len(self._recent) < RECENT_MAX:
            return
        snapshot = self._collection.snapshot()
        self._recent.clear()
        core = self._core = generation_of(snapshot._core, self._model, self._collection.name)
        keys, refs = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        for part in snapshot._refs(CHUNK):
            vector = core.provenance_at(part)
            halves = _halves(vector["made_from"])
            usable = vector["has_vector"] & ((halves[:, 0] | halves[:, 1]) != 0)
            usable &= vector["embedded_us"] >= self._oldest_us
            keys.append(halves[usable, 0])
            refs.append(part[usable])
        joined = np.concatenate(keys)
        order = np.argsort(joined)
        self._keys, self._refs = joined[order], np.concatenate(refs)[order]

    def _sealed(self, wanted: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Which of the wanted hashes have a vector in the snapshot, and the record of each."""
        if not len(self._keys) or not len(wanted):
            return np.empty(0, np.int64), np.empty(0, np.uint64)
        keys = _halves(wanted)[:, 0]
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        at = np.flatnonzero(self._keys[places] == keys)
        refs = self._refs[places[at]]
        whole = (self._core.provenance_at(refs)["made_from"] == wanted[at]).all(axis=1)
        return at[whole], refs[whole]

    def _recently(self, hashes: list[bytes]) -> dict[bytes, NDArray[Any]]:
        core = generation_of(self._collection._take(), self._model, self._collection.name)
        refs = core.find(writes.as_ids([self._recent[hash] for hash in hashes]))
        there = refs != np.uint64(_core.NO_REF)
        refs, hashes = refs[there], [hash for hash, found in zip(hashes, there, strict=True) if found]
        made_from = core.provenance_at(refs)["made_from"]
        vectors = core.vectors_at(refs)[0]
        found = zip(hashes, made_from, vectors, strict=True)
        return {hash: vector for hash, made, vector in found if made.tobytes() == hash}


def generation_of(core: _core.Snapshot, model: Model, collection: str) -> _core.Snapshot:
    """The generation of this model in a snapshot, served or not. ModelMismatchError if there is none."""
    for generation in (core, core.other()):
        if generation is not None and generation.fingerprint == model.digest:
            return generation
    raise mismatch(model, Model.from_canonical(core.model), doing="take up vectors", collection=collection)


def _halves(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(hashes).view(np.uint64)  # (n, 2)
