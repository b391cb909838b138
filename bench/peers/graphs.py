"""Libraries of graphs other than faiss."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Floats
from bench.peers.base import EF_CONSTRUCTION, Answer, M, Peer


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


class Vsag(Peer):
    """Ant Group's HGraph on 8-bit codes, ranked again on the vectors."""

    name = "vsag-hgraph-sq8"
    module = package = "pyvsag"
    flags = "wheel, dispatch at run time"
    batches = False

    def new(self, dim: int, threads: int) -> Any:
        import pyvsag

        pyvsag.set_logger_off()
        about = {
            "base_quantization_type": "sq8_uniform",
            "use_reorder": True,
            "precise_quantization_type": "fp32",
            "max_degree": 2 * M,
            "ef_construction": EF_CONSTRUCTION,
            "build_thread_count": threads,
        }
        metric = "l2" if self.metric == "l2" else "ip"
        kind = {"dtype": "float32", "metric_type": metric, "dim": dim, "index_param": about}
        return pyvsag.Index("hgraph", json.dumps(kind))

    def build(self, vectors: Floats, threads: int) -> None:
        rows, dim = vectors.shape
        self.index = self.new(dim, threads)
        self.index.build(vectors.ravel(), np.arange(rows), rows, dim)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path, dim: int, rows: int) -> None:
        self.index = self.new(dim, 1)
        self.index.load(str(path))

    def set_breadth(self, breadth: int) -> None:
        self.breadth = breadth

    def one(self, k: int) -> Callable[[Floats], Any]:
        search, options = self.index.knn_search, json.dumps({"hgraph": {"ef_search": self.breadth}})
        return lambda query: search(query, k, options)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search = self.one(k)
        return lambda queries: np.stack([search(query)[0] for query in queries])


class Svs(Peer):
    """Intel's Vamana: on codes of 4 and 8 bits (LVQ) where the processor is Intel's, else on the vectors."""

    name = "svs-vamana"
    module, package = "svs", "scalable-vs"
    flags = "wheel, dispatch at run time"

    def build(self, vectors: Floats, threads: int) -> None:
        import svs

        how = svs.VamanaBuildParameters(
            alpha=1.2 if self.metric == "l2" else 0.95, graph_max_degree=2 * M, window_size=EF_CONSTRUCTION
        )
        rows: Any = vectors
        with tempfile.TemporaryDirectory(prefix="lamina-bench-") as folder:
            if takes_lvq():
                file = write_fvecs(vectors, Path(folder) / "rows.fvecs")
                loader = svs.VectorDataLoader(file, svs.DataType.float32, dims=vectors.shape[1])
                rows = svs.LVQLoader(loader, primary=4, residual=8)
            self.index = svs.Vamana.build(how, rows, self.measure(), num_threads=threads)

    def measure(self) -> Any:
        import svs

        return svs.DistanceType.L2 if self.metric == "l2" else svs.DistanceType.MIP

    def save(self, path: Path) -> None:
        path.mkdir()
        self.index.save(*(str(path / part) for part in ("config", "graph", "data")))

    def load(self, path: Path, dim: int, rows: int) -> None:
        import svs

        loader = svs.LVQLoader if takes_lvq() else svs.VectorDataLoader
        config, graph, data = (str(path / part) for part in ("config", "graph", "data"))
        self.index = svs.Vamana(config, svs.GraphLoader(graph), loader(data), self.measure())

    def set_breadth(self, breadth: int) -> None:
        self.index.search_window_size = breadth

    def one(self, k: int) -> Callable[[Floats], Any]:
        self.index.num_threads = 1
        search = self.index.search
        return lambda query: search(query, k)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        index = self.index

        def call(queries: Floats) -> Answer:
            index.num_threads = threads
            return np.asarray(index.search(queries, k)[0]).astype(np.int64)

        return call


def takes_lvq() -> bool:
    """Whether the library has its codes on this processor."""
    return "GenuineIntel" in Path("/proc/cpuinfo").read_text()


def write_fvecs(vectors: Floats, path: Path) -> str:
    rows, dim = vectors.shape
    framed = np.empty((rows, dim + 1), np.int32)
    framed[:, 0], framed[:, 1:] = dim, vectors.view(np.int32)
    framed.tofile(path)
    return str(path)
