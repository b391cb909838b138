"""The whole store against a toy model.

Goal: whatever is done in whatever order, the store answers as a dictionary would. Method: Hypothesis plays all verbs,
reopening, crashes, forked readers and held snapshots; after each step everything that can be read is compared. A crash
is what SIGKILL leaves: the files as they are, without a close. HYPOTHESIS_PROFILE=long plays long.
"""

from __future__ import annotations

import copy
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import lamina

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="crashes and forks are of POSIX")]

MODEL = lamina.Model("m", dim=4, metric="l2")
VECTORS = np.random.default_rng(7).normal(size=(40, 4)).astype(np.float32)
NAMES = ("docs", "more")


class Row(NamedTuple):
    vector: int | None  # which of VECTORS
    metadata: dict[str, Any]
    content: str | None


Rows = dict[int, Row]
names = st.sampled_from(NAMES)
ids = st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True)
entries = st.fixed_dictionaries({}, optional={"n": st.integers(-5, 5), "s": st.sampled_from(["", "a", "ß"])})
texts = st.sampled_from(["", "text", "another text", "ü" * 50])
seeds = st.integers(0, len(VECTORS) - 1)


def without_nulls(metadata: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (metadata or {}).items() if value is not None}


def expect_same(source: Any, rows: Rows) -> None:
    """That a collection or a snapshot answers as `rows` would."""
    assert source.count() == len(source) == len(rows)
    assert sorted(source.ids().tolist()) == sorted(rows)
    found = [record for batch in source.scan(batch_size=7) for record in batch]
    asked = source.get([*rows, 99])
    assert asked.missing == [99]
    assert [record.id for record in asked] == list(rows)
    for record in [*found, *asked]:
        row = rows[record.id]
        assert without_nulls(record.metadata) == row.metadata
        assert record.content == row.content
        if row.vector is None:
            assert record.vector is None
        else:
            assert np.array_equal(record.vector, VECTORS[row.vector])
    assert sorted(record.id for record in found) == sorted(rows)
    with_vector = {id: row.vector for id, row in rows.items() if row.vector is not None}
    query = VECTORS[0] + 0.01
    hits = source.search(query, k=5, exact=True)
    near = sorted((float(((VECTORS[at] - query) ** 2).sum()), id) for id, at in with_vector.items())[:5]
    np.testing.assert_allclose(hits.distances, [distance for distance, _ in near], rtol=1e-4, atol=1e-5)
    assert len(source.search(query, k=50)) == len(with_vector)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lamina-machine-"))
        self.lives = 0
        self.model: dict[str, Rows] = {}
        self.held: list[tuple[Any, Rows]] = []
        self.store = self._open()

    def _open(self) -> lamina.Store:
        path = self.folder / f"store-{self.lives}"
        return lamina.open(path, create=True, maintenance="manual", log_limit=1 << 14)

    def teardown(self) -> None:
        self.store.verify()
        self._let_go()
        shutil.rmtree(self.folder)

    def _let_go(self) -> None:
        for snapshot, _ in self.held:
            snapshot.close()
        self.held = []
        self.store.close()

    @rule(name=names)
    def create(self, name: str) -> None:
        if name in self.model:
            with pytest.raises(ValueError):
                self.store.create_collection(name, model=MODEL)
        else:
            self.store.create_collection(name, model=MODEL)
            self.model[name] = {}

    @precondition(lambda self: self.model)
    @rule(name=names)
    def drop(self, name: str) -> None:
        if self.model.pop(name, None) is None:
            with pytest.raises(lamina.NotFoundError):
                self.store.drop_collection(name)
        else:
            self.store.drop_collection(name)

    def _draw(self, data: st.DataObject, wanted: list[int]) -> list[Row]:
        at = data.draw(st.lists(seeds, min_size=len(wanted), max_size=len(wanted)))
        metadata = data.draw(st.lists(entries, min_size=len(wanted), max_size=len(wanted)))
        contents = data.draw(st.lists(texts, min_size=len(wanted), max_size=len(wanted)))
        return [Row(*row) for row in zip(at, metadata, contents, strict=True)]

    def _put(self, put: Any, wanted: list[int], rows: list[Row], owed: bool) -> Rows:
        vectors = None if owed else VECTORS[[row.vector for row in rows]]
        put(wanted, vectors, [row.metadata for row in rows], [row.content for row in rows])
        return {id: row._replace(vector=None) if owed else row for id, row in zip(wanted, rows, strict=True)}

    @precondition(lambda self: self.model)
    @rule(data=st.data(), wanted=ids, owed=st.booleans())
    def add(self, data: st.DataObject, wanted: list[int], owed: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        docs, rows = self.store.get_collection(name), self._draw(data, wanted)
        if any(id in self.model[name] for id in wanted):
            with pytest.raises(lamina.DuplicateIdError):
                self._put(docs.add, wanted, rows, owed)
        else:
            self.model[name].update(self._put(docs.add, wanted, rows, owed))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), wanted=ids, owed=st.booleans())
    def upsert(self, data: st.DataObject, wanted: list[int], owed: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        put = self._put(self.store.get_collection(name).upsert, wanted, self._draw(data, wanted), owed)
        self.model[name].update(put)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), wanted=ids, key=st.sampled_from("ns"), value=st.none() | st.just(1), text=st.none() | texts)
    def update(self, data: st.DataObject, wanted: list[int], key: str, value: Any, text: str | None) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        docs, rows = self.store.get_collection(name), self.model[name]
        value = str(value) if value and key == "s" else value
        contents = None if text is None else [text] * len(wanted)
        metadata = [{key: value}] * len(wanted)
        if not all(id in rows for id in wanted):
            with pytest.raises(lamina.NotFoundError):
                docs.update(wanted, metadata=metadata, content=contents)
            return
        docs.update(wanted, metadata=metadata, content=contents)
        for id in wanted:
            merged = without_nulls({**rows[id].metadata, key: value})
            rows[id] = rows[id]._replace(metadata=merged, content=rows[id].content if text is None else text)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), wanted=ids)
    def delete(self, data: st.DataObject, wanted: list[int]) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        result = self.store.get_collection(name).delete(wanted)
        assert result.deleted == sum(self.model[name].pop(id, None) is not None for id in wanted)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        self.store.get_collection(name).clear()
        self.model[name] = {}

    @precondition(lambda self: len(self.model) == len(NAMES))
    @rule(data=st.data(), wanted=ids, fails=st.booleans())
    def transaction(self, data: st.DataObject, wanted: list[int], fails: bool) -> None:
        rows, after, version = self._draw(data, wanted), copy.deepcopy(self.model), self.store.version
        try:
            with self.store.transaction() as tx:
                tx["docs"].delete(wanted)
                after["more"].update(self._put(tx["more"].upsert, wanted, rows, False))
                if fails:
                    raise InterruptedError
        except InterruptedError:
            assert self.store.version == version
            return
        for id in wanted:
            after["docs"].pop(id, None)
        self.model = after
        assert self.store.version == version + 1

    @rule()
    def optimize(self) -> None:
        self.store.optimize()

    @precondition(lambda self: self.model and len(self.held) < 3)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        self.held.append((self.store.get_collection(name).snapshot(), copy.deepcopy(self.model[name])))

    @precondition(lambda self: self.held)
    @rule()
    def compare_held(self) -> None:
        snapshot, rows = self.held.pop(0)
        expect_same(snapshot, rows)
        snapshot.close()

    @rule()
    def reopen(self) -> None:
        self._let_go()
        self.store = self._open()
        assert self.store.recovery.clean

    @rule()
    def crash(self) -> None:
        here = self.folder / f"store-{self.lives}"
        self.lives += 1
        shutil.copytree(here, self.folder / f"store-{self.lives}")
        self._let_go()
        shutil.rmtree(here)
        self.store = self._open()

    @rule()
    def read_in_a_forked_child(self) -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self._be_a_child()
                code = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0

    def _be_a_child(self) -> None:
        with pytest.raises(lamina.ClosedError):
            self.store.create_collection("of the child", model=MODEL)
        with lamina.open(self.folder / f"store-{self.lives}", read_only=True) as reader:
            for name, rows in self.model.items():
                expect_same(reader.get_collection(name), rows)

    @invariant()
    def same(self) -> None:
        assert sorted(self.store.list_collections()) == sorted(self.model)
        for name, rows in self.model.items():
            expect_same(self.store.get_collection(name), rows)


LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
StoreMachine.TestCase.settings = settings(max_examples=1000 if LONG else 15, stateful_step_count=50 if LONG else 20)
TestStore = StoreMachine.TestCase
