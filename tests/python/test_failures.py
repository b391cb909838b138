"""Failures of other vector stores: the table in tests/crash/FAILURES.md, and those of its cases that had no test.

Goal: each row names tests that exist. Method: names are looked up in the sources.
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import lamina

TESTS = Path(__file__).resolve().parents[1]
PACKAGE = Path(lamina.__file__).parent
TABLE = TESTS / "crash" / "FAILURES.md"


def is_there(name: str) -> bool:
    if "::" in name:
        file, function = name.split("::")
        return any(f"def {function}(" in path.read_text() for path in (TESTS / "python").rglob(file))
    room, suite, test = name.split(".")
    declared = re.compile(rf"TEST(_[FP])?\({suite}, {test}\)")
    return any(declared.search(path.read_text()) for path in (TESTS / "cpp" / room).glob("*_test.cpp"))


def test_each_row_of_the_table_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| (\d+) \|(.*)\|(.*)\|(.*)\|$", TABLE.read_text(), re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 41))
    for number, _, _, shown in rows:
        names = re.findall(r"`([^`]+)`", shown)
        assert names, f"row {number} names no test"
        assert [name for name in names if not is_there(name)] == [], f"row {number}"
    assert not is_there("segment.SegmentFile.NoSuchTest")
    assert not is_there("test_failures.py::no_such_test")


def test_nothing_of_ours_can_unpickle() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib"}, path


@pytest.mark.parametrize("rows", [0, 1, 2, 63, 64, 65, 999, 1000, 1001, 4095, 4096, 4097])
def test_reopened_at_every_boundary_of_size(tmp_path: Path, rows: int) -> None:
    vectors = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    model = lamina.Model("m", dim=4, metric="l2")
    with lamina.open(tmp_path / "kb.lamina", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=model, m=4, ef_construction=20)
        if rows:
            docs.add(range(rows), vectors)
    for _ in range(2):
        with lamina.open(tmp_path / "kb.lamina", maintenance="manual") as store:
            docs = store.get_collection("docs")
            assert len(docs) == rows
            for row in {0, rows // 2, rows - 1} & set(range(rows)):
                assert docs.search(vectors[row], k=1, exact=True).ids.tolist() == [row]
                assert docs.search(vectors[row], k=1).distances.tolist() == [0]
            assert store.verify().records == rows
            store._shared.core.seal()


def test_foreign_files_are_no_reason_not_to_open(tmp_path: Path) -> None:
    path = tmp_path / "kb.lamina"
    with lamina.open(path, create=True) as store:
        store.create_collection("docs", model=lamina.Model("m", dim=2)).add([1], np.ones((1, 2), np.float32))
    for folder in (path, *(entry for entry in path.iterdir() if entry.is_dir())):
        for name in (".atomicwrite8XnT", "combined.tmp", "0000.root.tmp", "core", ".DS_Store"):
            (folder / name).write_bytes(b"left over")
    for read_only in (True, False, True):
        with lamina.open(path, read_only=read_only) as store:
            assert store.get_collection("docs").ids().tolist() == [1]
    assert not any((path / "scratch").iterdir())


def test_a_copied_directory_is_the_same_store(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(1500, 8)).astype(np.float32)
    model = lamina.Model("m", dim=8)
    with lamina.open(tmp_path / "kb.lamina", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=model)
        store.create_collection("empty", model=model)
        docs.add(range(1500), vectors, content=[f"text {row}" for row in range(1500)])
        docs.optimize()
        docs.delete(range(0, 1500, 3))
        before = [docs.search(vectors[:50], k=10, ef=ef) for ef in (10, 40, 160)]
    shutil.copytree(tmp_path / "kb.lamina", tmp_path / "copy.lamina")
    with lamina.open(tmp_path / "copy.lamina") as copy:
        assert copy.verify().complete
        docs = copy.get_collection("docs")
        for ef, hits in zip((10, 40, 160), before, strict=True):
            again = docs.search(vectors[:50], k=10, ef=ef)
            assert again.ids.tolist() == hits.ids.tolist()
            assert again.distances.tolist() == hits.distances.tolist()
        empty = copy.get_collection("empty")
        assert len(empty.search(vectors[0], k=3)) == 0
        empty.add([1], vectors[:1])
        assert len(empty) == 1
