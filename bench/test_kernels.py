"""How fast one thread scans: exact search is nothing but the distance kernels, one row after another.

LAMINA_ISA=baseline pytest bench/test_kernels.py --benchmark-enable shows what an instruction set is worth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina

ROWS, DIM, K = 10_000, 256, 10


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_scan(benchmark: Any, metric: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    rows, query = rng.standard_normal((ROWS, DIM), np.float32), rng.standard_normal(DIM, np.float32)
    index = lamina.Index(dim=DIM, metric=metric, dtype=dtype)
    index.add(rows)
    kept = rows.astype(dtype).astype(np.float64)
    if metric == "l2":
        expected = ((kept - query) ** 2).sum(axis=1)
    else:
        scale = np.linalg.norm(kept, axis=1) * np.linalg.norm(query) if metric == "cosine" else 1.0
        expected = 1.0 - kept @ query / scale
    hits = index.search(query, k=K, exact=True)
    np.testing.assert_allclose(hits.distances, np.sort(expected)[:K], rtol=2e-3, atol=2e-3)
    benchmark.extra_info["rows"] = ROWS
    benchmark(index.search, query, k=K, exact=True, threads=1)


def test_scan_of_bits(benchmark: Any) -> None:
    rng = np.random.default_rng(2)
    rows, query = rng.integers(0, 256, (ROWS, DIM // 8), np.uint8), rng.integers(0, 256, DIM // 8, np.uint8)
    index = lamina.Index(dim=DIM, metric="hamming")
    index.add(rows)
    expected = np.sort(np.unpackbits(rows ^ query, axis=1).sum(axis=1))[:K]
    np.testing.assert_array_equal(index.search(query, k=K, exact=True).distances, expected)
    benchmark(index.search, query, k=K, exact=True, threads=1)
