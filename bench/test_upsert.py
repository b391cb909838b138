"""What a durable write costs, by the policy that it waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from bench.data import DataSet

BATCH = 100


@pytest.mark.parametrize("durability", ["fsync", "interval", "os"])
def test_upsert(benchmark: Any, texts: DataSet, tmp_path: Path, durability: str) -> None:
    model = lamina.Model("bench", revision="1", dim=texts.base.shape[1], metric=texts.metric)
    with lamina.open(tmp_path / "bench.lamina", create=True, durability=durability) as store:
        docs = store.create_collection("docs", model=model)
        written = 0

        def upsert() -> None:
            nonlocal written
            ids = np.arange(written, written + BATCH)
            docs.upsert(ids, vectors=texts.base[ids % len(texts.base)], metadata={"row": ids})
            written += BATCH

        benchmark.pedantic(upsert, rounds=50)
        assert docs.count() == written
        assert docs.search(texts.base[0], k=1, exact=True).ids[0] == 0
        benchmark.extra_info["rows"] = BATCH
