"""One wheel, the same answers on every processor.

Goal: what an instruction set changes is speed. Method: the tests marked `isa` compare with NumPy under the set that
LAMINA_ISA names; the last ones run them again in a process for each set that this processor has.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lamina
from lamina import _core

ISAS = ["baseline", "neon"] if platform.machine() in {"aarch64", "arm64"} else ["baseline", "avx2", "avx512"]
ROWS, DIM, K = 2_000, 47, 10  # a dimension with a tail for every width of register


def vectors(seed: int, rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, DIM), np.float32)


def oracle(metric: str, rows: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    left, right = rows.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        return np.asarray(((left - right) ** 2).sum(axis=1))
    if metric == "cosine":
        left, right = left / np.linalg.norm(left, axis=1, keepdims=True), right / np.linalg.norm(right)
    return np.asarray(1 - left @ right)


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_exact_search_is_exact(metric: str, dtype: str) -> None:
    rows, query = vectors(1, ROWS), vectors(2, 1)[0]
    index = lamina.Index(dim=DIM, metric=metric, dtype=dtype)
    index.add(rows)
    hits = index.search(query, k=K, exact=True)
    expected = oracle(metric, rows.astype(dtype).astype(np.float32), query)
    np.testing.assert_allclose(hits.distances, np.sort(expected)[:K], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(hits.distances, expected[hits.ids], rtol=1e-4, atol=1e-4)


@pytest.mark.isa
def test_exact_search_of_bits_is_exact() -> None:
    rng = np.random.default_rng(3)
    rows, query = rng.integers(0, 256, (ROWS, 13), np.uint8), rng.integers(0, 256, 13, np.uint8)
    index = lamina.Index(dim=104, metric="hamming")
    index.add(rows)
    expected = np.unpackbits(rows ^ query, axis=1).sum(axis=1)
    hits = index.search(query, k=K, exact=True)
    by_id = np.lexsort((np.arange(ROWS), expected))[:K]
    np.testing.assert_array_equal(hits.ids, by_id)
    np.testing.assert_array_equal(hits.distances, expected[by_id])


@pytest.mark.isa
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_the_graph_finds(metric: str, tmp_path: Path) -> None:
    rows, queries = vectors(4, ROWS), vectors(5, 100)
    index = lamina.Index(dim=DIM, metric=metric)
    index.add(rows)
    index.optimize()
    index.save(tmp_path / "saved")
    for searched in (index, lamina.Index.open(tmp_path / "saved")):
        found = searched.search(queries, k=K, ef=200).ids
        true = searched.search(queries, k=K, exact=True).ids
        shared = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True))
        assert shared >= 0.95 * K * len(queries)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
def test_under(isa: str) -> None:
    if isa not in _core.build_info()["isas"]:
        pytest.skip(f"this processor lacks {isa}")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "isa", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"LAMINA_ISA": isa, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"LAMINA_ISA={isa}:\n{done.stdout[-5000:]}"
    check = "from lamina import _core; print(_core.build_info()['isa'])"
    named = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=True)
    assert named.stdout.strip() == isa


def test_an_unknown_instruction_set_is_refused() -> None:
    script = "from lamina import _core; _core.build_info()"
    environment = os.environ | {"LAMINA_ISA": "mmx"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "mmx" in done.stderr
