"""lamina: an index by itself, and the same vectors behind the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Floats
from bench.peers.base import EF_CONSTRUCTION, Answer, M, Peer


class Lamina(Peer):
    name = "lamina"
    module = package = "lamina"
    flags = "Release, dispatch at run time"

    def build(self, vectors: Floats, threads: int) -> None:
        import lamina

        self.index = lamina.Index(
            dim=vectors.shape[1], metric=self.metric, m=M, ef_construction=EF_CONSTRUCTION, threads=threads
        )
        self.index.add(vectors)
        self.index.optimize()

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path, dim: int, rows: int) -> None:
        import lamina

        self.index = lamina.Index.open(str(path))

    def set_breadth(self, breadth: int) -> None:
        self.breadth = breadth

    def one(self, k: int) -> Callable[[Floats], Any]:
        search, ef = self.index.search, self.breadth
        return lambda query: search(query, k=k, ef=ef)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search, ef = self.index.search, self.breadth
        return lambda queries: np.asarray(search(queries, k=k, ef=ef, threads=threads).ids)


class LaminaCollection(Peer):
    """The same vectors behind the store: what durability, records and snapshots cost a search."""

    name = "lamina-collection"
    module = package = "lamina"
    flags = Lamina.flags
    collection: Any

    def build(self, vectors: Floats, threads: int) -> None:
        import tempfile

        import lamina

        self.folder = tempfile.TemporaryDirectory(prefix="lamina-bench-")
        self.store = lamina.open(str(Path(self.folder.name) / "bench.lamina"), create=True, maintenance="manual")
        model = lamina.Model("bench", revision="1", dim=vectors.shape[1], metric=self.metric)
        self.collection = self.store.create_collection("bench", model=model)
        for start in range(0, len(vectors), 10_000):
            part = vectors[start : start + 10_000]
            self.collection.upsert(np.arange(start, start + len(part)), vectors=part)
        self.collection.optimize()

    def save(self, path: Path) -> None:
        import shutil

        self.store.close()
        shutil.move(Path(self.folder.name) / "bench.lamina", path)  # in the pages that it was written in
        self.folder.cleanup()

    def load(self, path: Path, dim: int, rows: int) -> None:
        import lamina

        self.store = lamina.open(str(path), read_only=True)
        self.collection = self.store.get_collection("bench")

    def set_breadth(self, breadth: int) -> None:
        self.breadth = breadth

    def one(self, k: int) -> Callable[[Floats], Any]:
        search, ef = self.collection.search, self.breadth
        return lambda query: search(query, k=k, ef=ef)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search, ef = self.collection.search, self.breadth
        return lambda queries: np.asarray(search(queries, k=k, ef=ef).ids)
