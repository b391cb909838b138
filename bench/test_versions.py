"""What a tag and a branch cost beside the least that a durable change of a directory can: a small file, renamed."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from bench.data import DataSet

PAIRS = 15


def publish(directory: Path, number: int) -> None:
    """Create, fsync, rename, fsync of the directory, with 4 KiB."""
    made = directory / "made"
    with made.open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
    made.rename(directory / f"named-{number}")
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("rows", [1000, 20000])
@pytest.mark.parametrize("verb", ["tag", "branch"])
def test_versions(benchmark: Any, texts: DataSet, tmp_path: Path, verb: str, rows: int) -> None:
    """`ratio`: the median over pairs, taken in turn; the bare operation is done in a directory on the same disk."""
    bare = tmp_path / "bare"
    bare.mkdir()
    model = lamina.Model("bench", revision="1", dim=texts.base.shape[1], metric=texts.metric)
    with lamina.open(tmp_path / "bench.lamina", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=model)
        docs.add(np.arange(rows), vectors=texts.base[:rows])
        docs.optimize()
        ratios: list[float] = []

        def pair() -> None:
            name = f"{verb}-{len(ratios)}"
            least = seconds(lambda: publish(bare, len(ratios)))
            ratios.append(seconds(lambda: getattr(docs, verb)(name)) / least)

        benchmark.pedantic(pair, rounds=PAIRS)
        assert len(docs.versions()[-1].tags) == (PAIRS if verb == "tag" else 0)
        assert len(store.list_collections()) == (1 if verb == "tag" else PAIRS + 1)
        benchmark.extra_info["ratio"] = round(statistics.median(ratios), 2)
