"""One adapter for each library: build, save, load, search. What a library cannot do is said by `supports`.

Each is built with M = 16 (degree 32 at level 0) and ef_construction = 200, from the flags of its own wheel or setup.
An adapter adds nothing to a search but what its library's users write: `one` and `batch` return the call to time.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.data import Floats

M = 16
EF_CONSTRUCTION = 200

Answer = NDArray[Any]


class Peer(ABC):
    """An index of one library, over rows whose ids are their positions."""

    name: ClassVar[str]
    module: ClassVar[str]  # what has to be importable
    package: ClassVar[str]  # what pip calls it
    flags: ClassVar[str]  # how the compiled code came about
    metrics: ClassVar[frozenset[str]] = frozenset({"cosine", "ip", "l2"})
    batches: ClassVar[bool] = True

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.breadth = 0

    @abstractmethod
    def build(self, vectors: Floats, threads: int) -> None:
        """From the first row handed over to the state that is then searched."""

    @abstractmethod
    def save(self, path: Path) -> None: ...

    @abstractmethod
    def load(self, path: Path, dim: int, rows: int) -> None:
        """Opens what `save` left, the quickest way that the library has."""

    @abstractmethod
    def set_breadth(self, breadth: int) -> None: ...

    @abstractmethod
    def one(self, k: int) -> Callable[[Floats], Any]:
        """A call for one query at a time, on the calling thread; its argument comes from `prepare`."""

    @abstractmethod
    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        """A call for all queries at once; returns the ids, (n, k)."""

    def prepare(self, query: Floats) -> Floats:
        """One query in the shape that `one` wants; not timed."""
        return query

    @classmethod
    def supports(cls, metric: str) -> bool:
        return metric in cls.metrics and importlib.util.find_spec(cls.module.split(".")[0]) is not None

    @classmethod
    def version(cls) -> str:
        try:
            return importlib.metadata.version(cls.package)
        except importlib.metadata.PackageNotFoundError:
            return "?"


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
        shutil.copytree(Path(self.folder.name) / "bench.lamina", path)
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


class Hnswlib(Peer):
    name = "hnswlib"
    module = package = "hnswlib"
    flags = "built by pip: -O3 -march=native"

    def build(self, vectors: Floats, threads: int) -> None:
        import hnswlib

        self.index = hnswlib.Index(space=self.metric, dim=vectors.shape[1])
        self.index.init_index(max_elements=len(vectors), ef_construction=EF_CONSTRUCTION, M=M)
        self.index.add_items(vectors, num_threads=threads)

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))

    def load(self, path: Path, dim: int, rows: int) -> None:
        import hnswlib

        self.index = hnswlib.Index(space=self.metric, dim=dim)
        self.index.load_index(str(path))

    def set_breadth(self, breadth: int) -> None:
        self.index.set_ef(breadth)

    def one(self, k: int) -> Callable[[Floats], Any]:
        search = self.index.knn_query
        return lambda query: search(query, k=k, num_threads=1)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search = self.index.knn_query
        return lambda queries: np.asarray(search(queries, k=k, num_threads=threads)[0]).astype(np.int64)


class Faiss(Peer):
    name = "faiss-hnsw"
    module, package = "faiss", "faiss-cpu"
    flags = "wheel, dispatch at run time"

    def new(self, dim: int) -> Any:
        import faiss

        return faiss.IndexHNSWFlat(dim, M, self.faiss_metric())

    def faiss_metric(self) -> Any:
        import faiss

        return faiss.METRIC_L2 if self.metric == "l2" else faiss.METRIC_INNER_PRODUCT

    def build(self, vectors: Floats, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.index = self.new(vectors.shape[1])
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.train(vectors)
        self.index.add(vectors)

    def save(self, path: Path) -> None:
        import faiss

        faiss.write_index(self.index, str(path))

    def load(self, path: Path, dim: int, rows: int) -> None:
        import faiss

        self.index = faiss.read_index(str(path))

    def set_breadth(self, breadth: int) -> None:
        self.index.hnsw.efSearch = breadth

    def prepare(self, query: Floats) -> Floats:
        return query.reshape(1, -1)

    def one(self, k: int) -> Callable[[Floats], Any]:
        import faiss

        faiss.omp_set_num_threads(1)
        search = self.index.search
        return lambda query: search(query, k)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        import faiss

        search = self.index.search

        def call(queries: Floats) -> Answer:
            faiss.omp_set_num_threads(threads)
            return np.asarray(search(queries, k)[1])

        return call


class FaissSq(Faiss):
    name = "faiss-hnsw-sq8"

    def new(self, dim: int) -> Any:
        import faiss

        return faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, M, self.faiss_metric())


class Usearch(Peer):
    name = "usearch"
    module, package = "usearch.index", "usearch"
    flags = "wheel, dispatch at run time"

    def build(self, vectors: Floats, threads: int) -> None:
        from usearch.index import Index

        metric = {"cosine": "cos", "ip": "ip", "l2": "l2sq"}[self.metric]
        self.index = Index(
            ndim=vectors.shape[1], metric=metric, dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION
        )
        self.index.add(np.arange(len(vectors)), vectors, threads=threads)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path, dim: int, rows: int) -> None:
        from usearch.index import Index

        self.index = Index.restore(str(path), view=True)

    def set_breadth(self, breadth: int) -> None:
        self.index.expansion_search = breadth

    def one(self, k: int) -> Callable[[Floats], Any]:
        search = self.index.search
        return lambda query: search(query, k, threads=1)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search = self.index.search
        return lambda queries: np.asarray(search(queries, k, threads=threads).keys).astype(np.int64)


class Rabitq(Peer):
    """SymphonyQG as RaBitQ's library has it: 1-bit codes of the neighbours packed beside each node."""

    name = "rabitqlib-symqg"
    module = package = "rabitqlib"
    flags = "wheel, dispatch at run time"

    def build(self, vectors: Floats, threads: int) -> None:
        import rabitqlib

        self.index = rabitqlib.SymqgIndex(vectors.shape[1], 2 * M, metric="l2" if self.metric == "l2" else "ip")
        self.index.build(vectors, EF_CONSTRUCTION, num_threads=threads)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path, dim: int, rows: int) -> None:
        import rabitqlib

        self.index = rabitqlib.SymqgIndex.load(str(path))

    def set_breadth(self, breadth: int) -> None:
        self.breadth = breadth

    def prepare(self, query: Floats) -> Floats:
        return query.reshape(1, -1)

    def one(self, k: int) -> Callable[[Floats], Any]:
        search, ef = self.index.search, self.breadth
        return lambda query: search(query, k, ef)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search, ef = self.index.search_batch, self.breadth
        return lambda queries: np.asarray(search(queries, k, ef, threads)[0]).astype(np.int64)


class Glass(Peer):
    """Zilliz's pyglass, built from source: a graph on 8-bit codes, searched on 4-bit codes, re-ranked."""

    name = "glass-sq4"
    module = package = "glass"
    flags = "built from source by its build.sh: -O3 -march=native"

    def build(self, vectors: Floats, threads: int) -> None:
        import glass

        glass.set_num_threads(threads)
        metric = "L2" if self.metric == "l2" else "IP"
        index = glass.Index(index_type="HNSW", metric=metric, R=2 * M, L=EF_CONSTRUCTION, quant="SQ8U")
        self.vectors, self.graph = vectors, index.build(vectors)
        self.make_searcher()

    def make_searcher(self) -> None:
        import glass

        metric = "L2" if self.metric == "l2" else "IP"
        self.searcher = glass.Searcher(graph=self.graph, data=self.vectors, metric=metric, quantizer="SQ4U")
        self.searcher.optimize()

    def save(self, path: Path) -> None:
        path.mkdir()
        self.graph.save(str(path / "graph"))
        np.save(path / "vectors.npy", self.vectors)

    def load(self, path: Path, dim: int, rows: int) -> None:
        import glass

        self.graph, self.vectors = glass.Graph(str(path / "graph")), np.load(path / "vectors.npy")
        self.make_searcher()

    def set_breadth(self, breadth: int) -> None:
        self.searcher.set_ef(breadth)

    def one(self, k: int) -> Callable[[Floats], Any]:
        search = self.searcher.search
        return lambda query: search(query, k)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search = self.searcher.batch_search
        return lambda queries: np.asarray(search(queries, k, threads)).reshape(len(queries), -1).astype(np.int64)


class SymphonyQg(Peer):
    """The paper's own code; it takes l2 only, which orders unit vectors as cosine does, and one query at a time."""

    name = "symphonyqg"
    module = package = "symphonyqg"
    flags = "built from source: -O3 -march=native, AVX-512"
    metrics = frozenset({"cosine", "l2"})
    batches = False

    def new(self, dim: int, rows: int) -> Any:
        import symphonyqg

        return symphonyqg.Index(index_type="QG", metric="L2", num_elements=rows, dimension=dim, degree_bound=2 * M)

    def build(self, vectors: Floats, threads: int) -> None:
        self.index = self.new(vectors.shape[1], len(vectors))
        self.index.build_index(vectors, EF_CONSTRUCTION, num_iter=3, num_thread=threads)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path, dim: int, rows: int) -> None:
        self.index = self.new(dim, rows)
        self.index.load(str(path))

    def set_breadth(self, breadth: int) -> None:
        self.index.set_ef(breadth)

    def one(self, k: int) -> Callable[[Floats], Any]:
        search = self.index.search
        return lambda query: search(query, k)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search = self.index.search
        return lambda queries: np.stack([np.asarray(search(query, k)).ravel() for query in queries]).astype(np.int64)


ALL: tuple[type[Peer], ...] = (
    Lamina, LaminaCollection, Hnswlib, Faiss, FaissSq, Usearch, Rabitq, Glass, SymphonyQg,
)  # fmt: skip
BY_NAME = {peer.name: peer for peer in ALL}


def describe(peer: type[Peer]) -> dict[str, str]:
    return {"name": peer.name, "version": peer.version(), "flags": peer.flags}
