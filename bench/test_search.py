"""How long one query takes, and a batch of them, at a recall that is asserted first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lamina
from bench.data import DataSet

K = 10


@pytest.fixture(scope="module", params=["texts", "images"])
def data(request: pytest.FixtureRequest) -> DataSet:
    found: DataSet = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def index(data: DataSet) -> lamina.Index:
    index = lamina.Index(dim=data.base.shape[1], metric=data.metric)
    index.add(data.base)
    index.optimize()
    return index


@pytest.mark.parametrize(("ef", "recall"), [(40, 0.85), (120, 0.97)])
def test_one_query(benchmark: Any, data: DataSet, index: lamina.Index, ef: int, recall: float) -> None:
    found = data.recall(np.asarray(index.search(data.queries, k=K, ef=ef).ids), K)
    assert found >= recall
    benchmark.extra_info["recall"] = found
    benchmark(index.search, data.queries[0], k=K, ef=ef)


def test_batch(benchmark: Any, data: DataSet, index: lamina.Index) -> None:
    assert data.recall(np.asarray(index.search(data.queries, k=K, ef=80).ids), K) >= 0.95
    benchmark(index.search, data.queries, k=K, ef=80)
