"""Goal: `memory=` bounds what a store's files take of the process, and changes no answer.

Method: stores opened with budgets from next to nothing to plenty, beside one without; a child process that measures its
own resident memory; bytes flipped and files cut while they are read.
"""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina

ROWS, DIM = 4000, 96


def clusters(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    centres = rng.standard_normal((20, dim), np.float32)
    return centres[rng.integers(20, size=rows)] + 0.7 * rng.standard_normal((rows, dim), np.float32)


def make(path: Path, vectors: np.ndarray, metric: str = "cosine", merged: bool = True) -> None:
    dim = vectors.shape[1] * (8 if metric == "hamming" else 1)
    with lamina.open(path, create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=lamina.Model("m", dim=dim, metric=metric))
        half = len(vectors) // 2
        for part in (range(half), range(half, len(vectors))):
            metadata = [{"n": n} for n in part]
            docs.add(part, vectors[part.start : part.stop], metadata=metadata, content=[f"text {n}" for n in part])
            store._shared.core.seal()
        docs.delete(range(0, len(vectors), 10))
        if merged:
            docs.optimize()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    rng = np.random.default_rng(1)
    vectors = clusters(rng, ROWS, DIM)
    vectors[100:300] = vectors[100]  # rows that are the same
    make(folder / "store", vectors)
    make(folder / "two", vectors, merged=False)
    make(folder / "bits", rng.integers(0, 256, (ROWS, 32), np.uint8), "hamming")
    return folder


def answers(docs: lamina.Collection, queries: np.ndarray) -> Iterator[Any]:
    for options in (
        {},
        {"k": 100, "ef": 200},
        {"exact": True},
        {"filter": {"n": {"$lt": ROWS // 4}}},
        {"filter": {"n": {"$lt": 700}}, "k": 30},
        {"filter": {"n": {"$gte": ROWS - 40}}},
    ):
        hits = docs.search(queries, **options)
        yield hits.ids.tolist()
        yield hits.distances.tolist()
    one = docs.search(queries[0], include=("vectors", "metadata", "content"))
    yield one.vectors.tolist()
    yield one.metadata
    yield one.content
    records = docs.get(range(1, ROWS, 7), include=("vectors", "content"))
    yield [record._asdict() | {"vector": record.vector.tolist()} for record in records]
    yield docs.count(filter={"n": {"$gte": 1000}})


@pytest.mark.parametrize("name", ["store", "two", "bits"])
def test_no_answer_changes(made: Path, name: str, tmp_path: Path) -> None:
    queries = clusters(np.random.default_rng(1), 20, DIM)
    if name == "bits":
        queries = np.random.default_rng(2).integers(0, 256, (20, 32), np.uint8)
    with lamina.open(made / name, read_only=True) as store:
        assert store.stats()["memory"] is None
        expected = list(answers(store.get_collection("docs"), queries))
    for number, share in enumerate((0.0001, 0.2, 0.45, 1.0, 10.0)):
        budget = max(1, int(share * ROWS * DIM * 4))
        path = Path(shutil.copytree(made / name, tmp_path / str(number)))
        with lamina.open(path, memory=budget, read_only=number % 2 == 0) as store:
            docs = store.get_collection("docs")
            docs.warm()
            assert list(answers(docs, queries)) == expected
            said = store.stats()["memory"]
            assert said["budget"] == budget
            assert share < 0.45 or said["in_place"] <= budget
            assert store.verify().complete
            assert list(answers(docs, queries)) == expected


def test_writing_goes_on(made: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    path = Path(shutil.copytree(made / "store", tmp_path / "store"))
    budget = ROWS * DIM * 2
    with lamina.open(path, memory=budget, maintenance="manual") as store:
        docs = store.get_collection("docs")
        vectors = clusters(rng, 500, DIM)
        docs.upsert(range(500), vectors)
        docs.optimize()
        assert store.stats()["memory"]["in_place"] <= budget
        hits = docs.search(vectors, k=1)
        assert (hits.ids[:, 0] == np.arange(500)).mean() > 0.99
        assert np.array_equal(docs.get([7], include=("vectors",))[0].vector, vectors[7])


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (True, TypeError), (1.5, TypeError), ("1", TypeError)]
)
def test_a_budget_is_a_number_of_bytes(tmp_path: Path, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="memory"):
        lamina.open(tmp_path / "store", create=True, memory=value)
    assert not (tmp_path / "store").exists()


def test_a_second_handle_has_the_budget_of_the_first(tmp_path: Path) -> None:
    with lamina.open(tmp_path / "store", create=True, memory=1 << 20):
        with lamina.open(tmp_path / "store") as again:
            assert again.stats()["memory"]["budget"] == 1 << 20
        with pytest.raises(ValueError, match="memory=1048576"):
            lamina.open(tmp_path / "store", memory=1 << 21)


def test_a_pickle_takes_its_budget_along(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(made / "store", tmp_path / "store"))
    with lamina.open(path, read_only=True, memory=1 << 20) as store:
        pickles = pickle.dumps(store), pickle.dumps(store.get_collection("docs"))
    for pickled in pickles:
        opened = pickle.loads(pickled)
        with opened if isinstance(opened, lamina.Store) else opened._store as again:
            assert again.stats()["memory"]["budget"] == 1 << 20


def vectors_file(path: Path) -> Path:
    return max((path / "files").glob("*.vec"), key=lambda file: file.stat().st_size)


def test_damage_in_what_is_read_is_told(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(made / "store", tmp_path / "store"))
    file = vectors_file(path)
    damaged = bytearray(file.read_bytes())
    middle = len(damaged) - 70_000  # the vectors are the last of the sections
    damaged[middle] ^= 0x20
    file.write_bytes(damaged)
    with lamina.open(path, read_only=True, memory=1 << 16) as store:
        docs = store.get_collection("docs")
        for _ in range(2):
            with pytest.raises(lamina.CorruptionError):
                docs.search(np.ones(DIM, np.float32), exact=True)


def test_a_file_that_is_cut_while_it_is_read_is_damage(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(made / "store", tmp_path / "store"))
    with lamina.open(path, read_only=True, memory=1 << 16) as store:
        docs = store.get_collection("docs")
        docs.search(np.ones(DIM, np.float32))
        file = vectors_file(path)
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // 2)
        with pytest.raises(lamina.CorruptionError):
            docs.search(np.ones(DIM, np.float32), exact=True)


MEASURE = """
import sys
import numpy as np
import lamina
from pathlib import Path

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024

def use(path, memory, queries):
    with lamina.open(path, read_only=True, memory=memory) as store:
        docs = store.get_collection("docs")
        for query in queries:
            docs.search(query)
        docs.search(queries[:100], exact=True)
        for batch in docs.scan(include=("vectors", "content"), batch_size=100):
            pass
        store.stats()

queries = np.random.default_rng(3).standard_normal((2000, 384), np.float32)
use(sys.argv[3], None, queries[:, :96])  # the code that runs, and what Python keeps
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
use(sys.argv[1], int(sys.argv[2]) or None, queries)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_process_keeps_to_it(made: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    rows = 20_000
    make(tmp_path / "store", clusters(rng, rows, 384))
    raw = rows * 384 * 4 * 9 // 10  # a tenth is deleted

    def grown(memory: int) -> int:
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "store"), str(memory), str(made / "two")]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    free = grown(0)
    budget = int(0.45 * raw)
    assert free > 1.3 * raw
    assert grown(budget) <= 1.05 * budget
