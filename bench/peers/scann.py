"""ScaNN: partitions of 4-bit product codes, trained for inner products."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Floats
from bench.peers.base import Answer, Peer

RERANKED = 100


class Scann(Peer):
    """The configuration of its authors' guide; its breadth is the number of partitions that are looked into."""

    name = "scann"
    module = package = "scann"
    flags = "wheel"

    def build(self, vectors: Floats, threads: int) -> None:
        from scann import scann_ops_pybind

        measure = "squared_l2" if self.metric == "l2" else "dot_product"
        leaves = round(4 * len(vectors) ** 0.5)
        builder = scann_ops_pybind.builder(vectors, 10, measure).set_n_training_threads(threads)
        builder = builder.tree(leaves, max(leaves // 20, 1), training_sample_size=len(vectors))
        threshold = float("nan") if self.metric == "l2" else 0.2
        self.index = builder.score_ah(2, anisotropic_quantization_threshold=threshold).reorder(RERANKED).build()

    def save(self, path: Path) -> None:
        path.mkdir()
        self.index.serialize(str(path))

    def load(self, path: Path, dim: int, rows: int) -> None:
        from scann import scann_ops_pybind

        self.index = scann_ops_pybind.load_searcher(str(path))

    def set_breadth(self, breadth: int) -> None:
        self.breadth = breadth

    def one(self, k: int) -> Callable[[Floats], Any]:
        search, leaves, reranked = self.index.search, self.breadth, max(RERANKED, 10 * k)
        return lambda query: search(query, k, reranked, leaves)

    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        search, leaves, reranked = self.index.search_batched_parallel, self.breadth, max(RERANKED, 10 * k)
        self.index.set_num_threads(threads)
        return lambda queries: np.asarray(search(queries, k, reranked, leaves)[0]).astype(np.int64)
