"""How long it takes from a closed file to an answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from bench.data import DataSet


@pytest.fixture(scope="module")
def saved(texts: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("open") / "texts.index"
    index = lamina.Index(dim=texts.base.shape[1], metric=texts.metric)
    index.add(texts.base)
    index.optimize()
    index.save(path)
    return path


@pytest.mark.parametrize("answers", [1, 100])
def test_open_to_answers(benchmark: Any, texts: DataSet, saved: Path, answers: int) -> None:
    def answer() -> list[int]:
        index = lamina.Index.open(saved)
        return [int(index.search(query, k=1, ef=64).ids[0]) for query in texts.queries[:answers]]

    right = sum(found == nearest for found, nearest in zip(answer(), texts.truth[:answers, 0], strict=True))
    assert right >= 0.95 * answers
    benchmark(answer)


@pytest.mark.parametrize("touched", [False, True], ids=["first touch", "touched before"])
def test_first_touch(benchmark: Any, texts: DataSet, saved: Path, touched: bool) -> None:
    """What 100 searches pay for checksums when nobody has read the file yet: the rounds differ in warm() alone."""

    def opened() -> tuple[tuple[lamina.Index], dict[str, Any]]:
        index = lamina.Index.open(saved)
        if touched:
            index.warm()
        return (index,), {}

    def answer(index: lamina.Index) -> list[int]:
        return [int(index.search(query, k=1, ef=64).ids[0]) for query in texts.queries[:100]]

    (index,), _ = opened()
    assert sum(found == nearest for found, nearest in zip(answer(index), texts.truth[:100, 0], strict=True)) >= 95
    benchmark.pedantic(answer, setup=opened, rounds=20)


MANY = 5000
ANSWER = """
import sys, lamina
with lamina.open(sys.argv[1], read_only=sys.argv[2] == "read") as store:
    print(store.get_collection("c3").search([0, 0, 0, 1], k=1).ids[0])
"""


@pytest.fixture(scope="module", params=[5, MANY])
def collections(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "store"
    model = lamina.Model("m", dim=4, metric="l2")
    with lamina.open(path, create=True, maintenance="manual", durability="os") as store:
        for at in range(request.param):
            docs = store.create_collection(f"c{at}", model=model)
            if at % (request.param // 5) == 0 or at < 5:
                docs.add(np.arange(4), np.eye(4, dtype=np.float32))
    return path


@pytest.mark.parametrize("mode", ["read", "write"])
def test_open_one_of_many_collections(benchmark: Any, collections: Path, mode: str) -> None:
    """Meant to defeat opening what is not asked for. Each time in a fresh process, its start and imports included."""

    def answer() -> str:
        command = [sys.executable, "-c", ANSWER, str(collections), mode]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert answer() == "3\n"
    benchmark.pedantic(answer, rounds=9)
