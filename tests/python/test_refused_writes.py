"""A write that raises has changed nothing, not even what the collection knows of its columns; and its kin.

Each test is a defect that was found by hand.
"""

from __future__ import annotations

import concurrent.futures
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina.errors import ClosedError, CorruptionError, LaminaError, ModelMismatchError, StorageError
from lamina.transaction import Transaction

V = np.eye(4, dtype=np.float32)


@pytest.fixture
def docs(tmp_path: Path) -> Any:
    store = lamina.open(tmp_path / "s", create=True)
    yield store.create_collection("docs", model=lamina.Model("m", dim=4, metric="l2"))
    store.close()


REFUSED: dict[str, Callable[[Any], Any]] = {
    "nan": lambda docs: docs.add([1], V[:1] * np.nan, metadata=[{"year": "x"}]),
    "repeated": lambda docs: docs.add([1, 1], V[:2], metadata=[{"year": "x"}] * 2),
    "conflict": lambda docs: docs.add([1], V[:1], metadata=[{"year": "x"}], if_version=0),
    "there already": lambda docs: docs.add([9], V[:1], metadata=[{"year": "x"}]),
    "not there": lambda docs: docs.update([99], metadata=[{"year": "x"}]),
}


@pytest.mark.parametrize("write", REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_write_leaves_no_column(docs: Any, write: Callable[[Any], Any]) -> None:
    docs.add([9], V[:1])
    version = docs.version
    with pytest.raises(LaminaError):
        write(docs)
    assert docs.version == version
    docs.add([1], V[:1], metadata=[{"year": 2020}])
    assert docs.get([1]).metadata == [{"year": 2020}]


def test_a_refused_first_write_leaves_the_kind_of_ids_open(docs: Any) -> None:
    with pytest.raises(LaminaError):
        docs.add(["a"], V[:1] * np.nan)
    assert docs.add([1], V[:1]).added == 1


def test_a_write_with_new_columns_and_the_first_ids_is_one_version(docs: Any) -> None:
    before = docs.version
    assert docs.add(["a"], V[:1], metadata=[{"year": 2020}]).version == before + 1
    assert docs.upsert(["b"], V[:1], metadata=[{"tag": "x"}], if_version=before + 1).version == before + 2
    assert docs.update(["a"], metadata=[{"tag": "y", "more": 1.5}]).version == before + 3


def test_writers_that_add_columns_at_once_all_succeed(docs: Any) -> None:
    def write(at: int) -> None:
        for round in range(5):
            docs.upsert([10 * at + round], V[:1], metadata=[{f"c{at}": at, f"c{at}_{round}": round}])

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    found = docs.get([10 * at + round for at in range(8) for round in range(5)])
    assert found.metadata == [{f"c{at}": at, f"c{at}_{round}": round} for at in range(8) for round in range(5)]


def test_a_transaction_sees_the_columns_and_the_kind_of_ids_of_its_own_writes(tmp_path: Path) -> None:
    with lamina.open(tmp_path / "s", create=True) as store:
        docs = store.create_collection("docs", model=lamina.Model("m", dim=4, metric="l2"))
        for ids, year in (([2], 2021), (["b"], "x")):
            tx = Transaction(store)
            tx["docs"].add(["a"], V[:1], metadata=[{"year": 2020}])
            tx["docs"].add(ids, V[:1], metadata=[{"year": year}])
            with pytest.raises(TypeError):
                store._commit(tx.planned)
        assert docs.version == 1
        with store.transaction() as tx:
            tx["docs"].add(["a"], V[:1], metadata=[{"year": 2020}])
            tx["docs"].add(["b"], V[:1], metadata=[{"tag": "x"}])
        assert docs.get(["a", "b"]).metadata == [{"year": 2020}, {"tag": "x"}]


def test_metadata_nested_too_deep_is_refused_and_later_writes_go_on(docs: Any) -> None:
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    with pytest.raises(ValueError, match="'x' nests"):
        docs.add([1], V[:1], metadata=[{"x": deep}])
    docs.add([1], V[:1], metadata=[{"a": 2}])
    assert docs.get([1]).metadata == [{"a": 2}]


def test_a_transaction_that_is_over_takes_no_write(tmp_path: Path) -> None:
    with lamina.open(tmp_path / "s", create=True) as store:
        store.create_collection("docs", model=lamina.Model("m", dim=4, metric="l2"))
        with store.transaction() as tx:
            tx["docs"].add([5], V[:1])
        with pytest.raises(ClosedError, match="over"):
            tx["docs"].add([6], V[:1])


def test_another_built_in_embedder_is_another_model(tmp_path: Path) -> None:
    with lamina.open(tmp_path / "s", create=True) as store:
        store.create_collection("docs", model="hash:64").add(["a"], content=["a text"])
        with pytest.raises(ModelMismatchError):
            store.get_collection("docs", embed="tests_embedder:of_nothing")
        assert len(store.get_collection("docs", embed="hash:64").search("text", k=1)) == 1


def test_a_model_by_name_alone_is_a_type_error(docs: Any) -> None:
    with pytest.raises(TypeError, match="is a lamina"):
        docs.add([1], V[:1], model="m")
    with pytest.raises(TypeError, match="is a lamina"):
        docs.search(V[0], model="m")


def test_an_index_is_saved_over_files_alone(tmp_path: Path) -> None:
    index = lamina.Index(dim=4)
    index.add(V)
    with pytest.raises(ValueError, match="null byte"):
        index.save(f"{tmp_path}/a\0b")
    with pytest.raises(StorageError, match="not a regular file"):
        index.save(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    index.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(lamina.Index.open(tmp_path / "target")) == 4


@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copied_errors_keep_what_the_system_said(duplicate: Callable[[Any], Any]) -> None:
    storage = duplicate(StorageError("full", errno=28, path="/x"))
    assert (storage.errno, storage.filename, storage.strerror) == (28, "/x", "No space left on device")
    damage = duplicate(CorruptionError("bad", file="/y", offset=7, expected="a", found="b"))
    assert (damage.filename, damage.offset, damage.expected, damage.found) == ("/y", 7, "a", "b")
