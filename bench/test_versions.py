"""What a tag and a branch cost beside the least that a durable change of a directory can: a small file, renamed.

`LAMINA_BENCH_ROWS=300000` takes a collection of so many rows for the larger one.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina

PAIRS = 15
DIM = 16
MANY = int(os.environ.get("LAMINA_BENCH_ROWS", "20000"))


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


@pytest.fixture(scope="module", params=[1000, MANY])
def docs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[lamina.Collection]:
    """Meant to defeat a tag or a branch that copies or reads rows: they are of little use but many."""
    vectors = np.random.default_rng(0).standard_normal((request.param, DIM), np.float32)
    path = tmp_path_factory.mktemp("versions") / "bench.lamina"
    with lamina.open(path, create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=lamina.Model("bench", revision="1", dim=DIM))
        docs.add(np.arange(request.param), vectors=vectors)
        docs.optimize()
        yield docs


@pytest.mark.parametrize("verb", ["tag", "branch"])
def test_versions(benchmark: Any, docs: lamina.Collection, tmp_path: Path, verb: str) -> None:
    """`ratio`: the median over pairs, taken in turn; the bare operation is done in a directory on the same disk."""
    bare = tmp_path / "bare"
    bare.mkdir()
    ratios: list[float] = []

    def pair() -> None:
        name = f"{verb}-{len(ratios)}"
        least = seconds(lambda: publish(bare, len(ratios)))
        ratios.append(seconds(lambda: getattr(docs, verb)(name)) / least)

    benchmark.pedantic(pair, rounds=PAIRS)
    if verb == "tag":
        assert len(docs.versions()[-1].tags) == len(ratios)
    else:
        assert {f"branch-{number}" for number in range(len(ratios))} <= set(docs._store.list_collections())
    benchmark.extra_info["ratio"] = round(statistics.median(ratios), 2)
