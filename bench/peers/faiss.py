"""faiss: its graphs, and its partitions of 4-bit product codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Floats
from bench.peers.base import EF_CONSTRUCTION, Answer, M, Peer


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


class FaissFastScan(Faiss):
    """Partitions of 4-bit product codes that are scanned in registers, ranked again on the vectors."""

    name = "faiss-ivf-fastscan"

    def build(self, vectors: Floats, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        lists = round(4 * len(vectors) ** 0.5)
        parts = f"IVF{lists},PQ{vectors.shape[1] // 2}x4fs,RFlat"
        self.index = faiss.index_factory(vectors.shape[1], parts, self.faiss_metric())
        self.index.train(vectors)
        self.index.add(vectors)

    def set_breadth(self, breadth: int) -> None:
        import faiss

        self.index.k_factor = 10  # times as many are ranked again
        faiss.extract_index_ivf(self.index.base_index).nprobe = breadth
