"""Real vectors: what is found does not depend on where they are kept, who reads them, or the processor.

Goal: recall@10 of 0.99 by a breadth of 200 at most, and exact search that is exact. Method: an index and a store are
built once; each is asked in this process, and in another one under each instruction set, from the saved file and as a
reader. The truth is NumPy's.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import data

import lamina
from lamina import _core

pytestmark = pytest.mark.slow

ISAS = ["baseline", "neon"] if platform.machine() in {"aarch64", "arm64"} else ["baseline", "avx2", "avx512"]
K, EXACT_QUERIES, BREADTHS = 10, 200, (32, 64, 100, 150, 200)


def answers(searched: Any, known: data.DataSet) -> dict[str, float]:
    """The least breadth that finds enough, and what exact search finds: rows up to ties, and distances."""
    exact = searched.search(known.queries[:EXACT_QUERIES], K, exact=True)
    expected = np.array([known.distances(query, known.truth[query, :K]) for query in range(EXACT_QUERIES)])
    recall = 0.0
    for ef in BREADTHS:
        recall = known.recall(searched.search(known.queries, K, ef=ef).ids, K)
        if recall >= 0.99:
            break
    return {
        "ef": ef,
        "recall": recall,
        "exact": known.recall(exact.ids, K),
        "error": float(np.max(np.abs(exact.distances - expected) / np.maximum(np.abs(expected), 1.0))),
    }


def check(found: dict[str, float]) -> None:
    print(json.dumps(found))
    assert found["recall"] >= 0.99
    assert found["exact"] == 1.0
    assert found["error"] < 1e-5


@pytest.fixture(scope="module", params=["docs_v2", "sift"])
def built(request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    known = data.load(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    index = lamina.Index(dim=known.base.shape[1], metric=known.metric)
    index.add(known.base)
    index.optimize()
    index.save(folder / "index")
    with lamina.open(folder / "store", create=True, durability="os") as store:
        model = lamina.Model("real", dim=known.base.shape[1], metric=known.metric)
        docs = store.create_collection("docs", model=model)
        for first in range(0, len(known.base), 5000):
            docs.upsert(np.arange(first, min(first + 5000, len(known.base))), known.base[first : first + 5000])
        docs.optimize()
        yield known, folder, index, docs


def test_in_this_process(built: Any) -> None:
    known, folder, index, docs = built
    for searched in (index, lamina.Index.open(folder / "index"), docs):
        check(answers(searched, known))


@pytest.mark.parametrize("isa", ISAS)
def test_in_another_process(built: Any, isa: str, repository: Path) -> None:
    if isa not in _core.build_info()["isas"]:
        pytest.skip(f"this processor lacks {isa}")
    known, folder, _, _ = built
    environment = os.environ | {"LAMINA_ISA": isa, "PYTHONPATH": os.pathsep.join([str(repository), *sys.path])}
    done = subprocess.run(
        [sys.executable, __file__, known.name, str(folder)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["isa"] == isa
    check(found["index"])
    check(found["store"])


def main(name: str, folder: str) -> None:
    known = data.load(name)
    found: dict[str, Any] = {"isa": _core.build_info()["isa"]}
    found["index"] = answers(lamina.Index.open(f"{folder}/index"), known)
    with lamina.open(f"{folder}/store", read_only=True) as store:
        found["store"] = answers(store.get_collection("docs"), known)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
