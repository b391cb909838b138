"""Transactions: several writes, several collections, one version.

Goal: all of it or nothing, each write seeing those before it. Method: a transaction that fails at its last write leaves
everything as it was; Hypothesis plays random sequences of writes against dicts, each sequence in one transaction and
one by one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import lamina
from lamina import Collection, Model, Store

MODEL = Model("m", dim=4)
VECTORS = np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as opened:
        opened.create_collection("docs", model=MODEL).add(["a", "b"], VECTORS[:2], [{"n": 1}, {"n": 2}], ["A", "B"])
        opened.create_collection("notes", model=MODEL).add([1, 2], VECTORS[:2])
        yield opened


def test_a_filter_sees_the_columns_of_writes_before_it(store: Store) -> None:
    store.create_collection("new", model=MODEL)
    with store.transaction() as tx:
        tx["new"].add([1, 2], VECTORS[:2], [{"x": 9}, {"x": 8}])
        tx["new"].delete(filter={"x": 9})
    assert store.get_collection("new").ids().tolist() == [2]


def test_several_collections_move_to_one_version(store: Store) -> None:
    docs, notes = store.get_collection("docs"), store.get_collection("notes")
    before = store.version
    with store.transaction() as tx:
        tx["docs"].upsert(["c"], VECTORS[2:3])
        tx["notes"].delete([1])
        tx["docs"].update(["c", "a"], metadata=[{"x": 1}, {"x": 2}])
        assert (len(docs), len(notes), "c" in docs) == (2, 2, False)  # nothing of it is there yet
    assert docs.version == notes.version == store.version > before
    assert [tuple(result[:3]) for result in tx.results] == [(1, 0, 0), (0, 0, 1), (0, 2, 0)]
    assert {result.version for result in tx.results} == {store.version}
    assert docs.get(["a", "c"]).metadata == [{"n": 1, "x": 2}, {"x": 1}]
    assert docs.get(["a"]).content == ["A"]
    assert notes.ids().tolist() == [2]


def test_later_writes_see_earlier_ones(store: Store) -> None:
    docs = store.get_collection("docs")
    with store.transaction() as tx:
        tx["docs"].upsert(["c"], VECTORS[2:3], [{"n": 5}], ["C"])
        tx["docs"].update(["c"], metadata=[{"n": None, "m": 1}])
        tx["docs"].delete(["a"])
        tx["docs"].add(["a"], VECTORS[3:4])
        tx["docs"].update(["b"], content=["changed"])
        tx["docs"].update(["b"], metadata=[{"n": 7}])
    records = docs.get(["a", "b", "c"])
    assert records.metadata == [{}, {"n": 7}, {"m": 1}]
    assert records.content == [None, "changed", "C"]
    np.testing.assert_array_equal(records.vectors, VECTORS[[3, 1, 2]])
    with store.transaction() as tx:
        tx["docs"].clear()
        tx["docs"].add(["a"], VECTORS[:1])
        tx["docs"].update(["a"], metadata=[{"after": True}])
    assert (docs.ids().tolist(), docs.get(["a"]).metadata) == (["a"], [{"after": True}])


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (lambda tx: tx["docs"].add(["b"], VECTORS[:1]), lamina.DuplicateIdError),
        (lambda tx: tx["docs"].update(["nope"], [{}]), lamina.NotFoundError),
        (lambda tx: (tx["docs"].delete(["b"]), tx["docs"].update(["b"], [{}])), lamina.NotFoundError),
        (lambda tx: (tx["docs"].clear(), tx["docs"].update(["b"], [{}])), lamina.NotFoundError),
        (lambda tx: tx["docs"].upsert(["z"], VECTORS[:1], if_version=1), lamina.ConflictError),
        (lambda tx: tx["docs"].upsert(["z"], VECTORS[:1, :2]), lamina.DimensionMismatchError),
        (lambda tx: tx["docs"].upsert(["z"], np.full((1, 4), np.nan)), lamina.InvalidVectorError),
        (lambda tx: tx["docs"].upsert(["z"], VECTORS[:1], [{"n": "text"}]), TypeError),
        (lambda tx: tx["docs"].upsert([5], VECTORS[:1]), TypeError),
        (lambda tx: tx["nowhere"], lamina.NotFoundError),
        (lambda tx: 1 / 0, ZeroDivisionError),
    ],
)
def test_whole_or_not_at_all(store: Store, last: Any, error: type[Exception]) -> None:
    docs, notes = store.get_collection("docs"), store.get_collection("notes")
    before = (docs.version, notes.version)

    def transact() -> None:
        with store.transaction() as tx:
            tx["notes"].upsert([9], VECTORS[:1])
            tx["docs"].delete(["a"])
            last(tx)

    with pytest.raises(error):
        transact()
    assert (docs.version, notes.version) == before
    assert (sorted(docs.ids()), sorted(notes.ids().tolist())) == (["a", "b"], [1, 2])
    store.verify()


def test_an_empty_transaction_makes_no_version(store: Store) -> None:
    before = store.version
    with store.transaction() as tx:
        pass
    with store.transaction() as other:
        other["docs"].delete(["nope"])
    assert (tx.results, other.results[0][:3], store.version) == ([], (0, 0, 0), before)


ids = st.sampled_from(["a", "b", "c", "d"])
some_ids = st.lists(ids, min_size=1, max_size=3, unique=True)
values = st.fixed_dictionaries(
    {}, optional={"n": st.none() | st.integers(0, 9), "s": st.none() | st.sampled_from("xyz")}
)
writes = st.tuples(
    st.sampled_from(["add", "upsert", "update", "delete", "clear"]), some_ids, st.lists(values, min_size=3, max_size=3)
)


def play(target: Any, write: tuple[str, list[str], list[dict[str, Any]]]) -> None:
    verb, wanted, metadata = write
    if verb == "clear":
        target.clear()
    elif verb == "delete":
        target.delete(wanted)
    elif verb == "update":
        target.update(wanted, metadata[: len(wanted)])
    else:
        vectors = VECTORS[[ord(id) - ord("a") for id in wanted]]
        getattr(target, verb)(wanted, vectors, metadata[: len(wanted)])


def transact(store: Store, batch: list[Any]) -> None:
    with store.transaction() as tx:
        for write in batch:
            play(tx["docs"], write)


def model(known: dict[str, Any], write: tuple[str, list[str], list[dict[str, Any]]]) -> dict[str, Any]:
    """What a dict becomes; DuplicateIdError and NotFoundError as a collection has them."""
    verb, wanted, metadata = write
    if verb == "clear":
        return {}
    if verb == "delete":
        return {id: row for id, row in known.items() if id not in wanted}
    if verb == "add" and any(id in known for id in wanted):
        raise lamina.DuplicateIdError("there")
    if verb == "update" and any(id not in known for id in wanted):
        raise lamina.NotFoundError("not there")
    result = dict(known)
    for id, row in zip(wanted, metadata, strict=False):
        merged = {**result[id], **row} if verb == "update" else row
        result[id] = {key: value for key, value in merged.items() if value is not None}
    return result


def state(docs: Collection) -> dict[str, Any]:
    return {record.id: record.metadata for batch in docs.scan(batch_size=2) for record in batch}


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.lists(st.lists(writes, min_size=1, max_size=4), max_size=5), st.booleans())
def test_any_sequence_does_what_dicts_do(batches: list[list[Any]], together: bool) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        lamina.open(Path(folder) / "s", create=True, durability="os", maintenance="manual") as store,
    ):
        docs = store.create_collection("docs", model=MODEL)
        known: dict[str, Any] = {}
        for batch in batches:
            expected, fails = known, False
            try:
                for write in batch:
                    expected = model(expected, write)
            except lamina.LaminaError:
                expected, fails = known, True
            if fails:
                with pytest.raises((lamina.DuplicateIdError, lamina.NotFoundError)):
                    transact(store, batch)
            elif together:
                transact(store, batch)
            else:
                for write in batch:
                    play(docs, write)
            known = expected
            assert state(docs) == known
