"""lamina in ann-benchmarks: copy this folder to its ann_benchmarks/algorithms/lamina."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import lamina

from ..base.module import BaseANN  # type: ignore[import-not-found]


class Lamina(BaseANN):  # type: ignore[misc]
    """One index, built on all cores and searched by one thread, or by all where a batch is asked."""

    def __init__(self, metric: str, m: int, ef_construction: int) -> None:
        self.metric = {"angular": "cosine", "euclidean": "l2", "hamming": "hamming"}[metric]
        self.m, self.ef_construction = m, ef_construction

    def fit(self, X: NDArray[Any]) -> None:
        rows = self._given(X)
        dim = rows.shape[1] * (8 if self.metric == "hamming" else 1)
        self.index = lamina.Index(dim, self.metric, m=self.m, ef_construction=self.ef_construction)
        self.index.add(rows)
        self.index.optimize()

    def set_query_arguments(self, ef: int) -> None:
        self.ef = ef
        self.name = f"lamina(m={self.m}, ef_construction={self.ef_construction}, ef={ef})"

    def query(self, q: NDArray[Any], n: int) -> NDArray[np.int64]:
        return self.index.search(self._given(q), n, ef=max(self.ef, n)).ids

    def batch_query(self, X: NDArray[Any], n: int) -> None:
        self.res = self.index.search(self._given(X), n, ef=max(self.ef, n)).ids

    def _given(self, vectors: NDArray[Any]) -> NDArray[Any]:
        return np.packbits(vectors, axis=-1) if self.metric == "hamming" else vectors
