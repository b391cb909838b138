"""Two models are never compared.

Goal: whatever is done in whatever order, no search measures a query of one model against a vector of another. Method:
two models of equal dim and metric whose vectors lie in different halves of the space, so that a vector, or a hit, tells
whose it is. Hypothesis tries every public path with the right and with the wrong model; then the raw files of one store
are put in the place of another's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

import lamina
from lamina import LaminaError, MigrationStateError, Model, ModelMismatchError, NotFoundError

DIM = 8


class Half:
    """An embedder whose vectors are zero but for one half of their elements."""

    def __init__(self, half: int) -> None:
        self.half = half

    def __call__(self, texts: Sequence[str]) -> NDArray[Any]:
        vectors = np.zeros((len(texts), DIM), np.float32)
        columns = slice(self.half * DIM // 2, (self.half + 1) * DIM // 2)
        for row, text in zip(vectors, texts, strict=True):
            row[columns] = np.random.default_rng(list(text.encode())).standard_normal(DIM // 2)
        return vectors


MODELS = [Model(name, dim=DIM, metric="l2", embed=Half(half)) for half, name in enumerate("ab")]
WAYS = ("tagged", "named", "both", "bare")


def half_of(vector: NDArray[Any]) -> int:
    used = [bool(part.any()) for part in np.split(vector, 2)]
    assert used.count(True) == 1, f"a vector of no model: {vector}"
    return used.index(True)


def given(text: str, model: int, way: str) -> tuple[Any, dict[str, Any]]:
    """The vector of a text, as this way hands it over."""
    vector = MODELS[model].embed([text])
    named = {"model": MODELS[model]} if way in ("named", "both") else {}
    return (MODELS[model].tag(vector) if way in ("tagged", "both") else vector), named


def expect_one_model(source: Any, half: int) -> None:
    """Everything that is stored and found is of this model."""
    for batch in source.scan():
        for record in batch:
            assert record.vector is None or half_of(record.vector) == half
    query = MODELS[half].tag(MODELS[half].embed(["query"]))
    for exact in (False, True):
        for vector in source.search(query, k=50, exact=exact)[0].vectors:
            assert half_of(vector) == half


texts = st.sampled_from(["one", "two", "three", "four", "five"])
numbers = st.integers(0, 12)
models = st.sampled_from([0, 1])
ways = st.sampled_from(WAYS)


class MixedModels(RuleBasedStateMachine):
    """`served` says of each collection which model it must be searched with, `moved` which were ever cut over."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lamina-mixed-"))
        self.store = lamina.open(self.folder / "kb", create=True, maintenance="manual", durability="os")
        self.served: dict[str, int] = {}
        self.moved: set[str] = set()
        self.snapshots: list[tuple[Any, int]] = []
        self.versions: list[tuple[str, int, int]] = []

    def teardown(self) -> None:
        for snapshot, _ in self.snapshots:
            snapshot.close()
        self.store.close()
        shutil.rmtree(self.folder)

    @initialize()
    def two_collections(self) -> None:
        for half, name in enumerate(("x", "y")):
            docs = self.store.create_collection(name, model=MODELS[half])
            docs.upsert(range(6), content=[f"text {id}" for id in range(6)])
            self.served[name] = half

    def pick(self, at: int) -> tuple[str, Any]:
        name = sorted(self.served)[at % len(self.served)]
        return name, self.store.get_collection(name)

    def allowed(self, name: str, model: int, way: str) -> bool:
        """Whether a vector of this model may be handed over in this way. What names no model is the served model's by
        contract, until a cut-over: then nothing that names none may be."""
        return model == self.served[name] and (way != "bare" or name not in self.moved)

    @rule(at=numbers, id=numbers, text=texts, model=models, way=ways, verb=st.sampled_from(["add", "upsert", "update"]))
    def write(self, at: int, id: int, text: str, model: int, way: str, verb: str) -> None:
        name, docs = self.pick(at)
        vector, named = given(text, model, way)
        if way == "bare" and not self.allowed(name, model, way) and name not in self.moved:
            return  # by contract it is what it says it is
        try:
            getattr(docs, verb)([id], vectors=vector, content=[text], **named)
        except ModelMismatchError:
            assert not self.allowed(name, model, way)
        except (lamina.DuplicateIdError, NotFoundError):
            assert verb != "upsert"
        else:
            assert self.allowed(name, model, way)

    @rule(at=numbers, id=numbers, text=texts, model=models)
    def write_text(self, at: int, id: int, text: str, model: int) -> None:
        name, docs = self.pick(at)
        try:
            docs.upsert([id], content=[text], model=MODELS[model])
        except ModelMismatchError:
            assert model != self.served[name]
        else:
            assert model == self.served[name]

    @rule(at=numbers, text=texts, model=models, way=ways)
    def write_in_a_transaction(self, at: int, text: str, model: int, way: str) -> None:
        name, docs = self.pick(at)
        vector, named = given(text, model, way)
        if way == "bare" and model != self.served[name] and name not in self.moved:
            return
        before = docs.version
        try:
            with self.store.transaction() as tx:
                tx[name].delete([1])
                tx[name].upsert([2], vectors=vector, content=[text], **named)
        except ModelMismatchError:
            assert not self.allowed(name, model, way)
            assert docs.version == before
        else:
            assert self.allowed(name, model, way)

    @rule(at=numbers, text=texts, model=models, way=ways, exact=st.booleans(), single=st.booleans())
    def search(self, at: int, text: str, model: int, way: str, exact: bool, single: bool) -> None:
        name, docs = self.pick(at)
        query, named = given(text, model, way)
        if way == "bare" and model != self.served[name] and name not in self.moved:
            return
        try:
            hits = docs.search(query[0] if single else query, k=20, exact=exact, **named)
        except ModelMismatchError:
            assert not self.allowed(name, model, way)
            return
        assert self.allowed(name, model, way)
        for vector in (hits if single else hits[0]).vectors:
            assert half_of(vector) == model

    @rule(at=numbers, text=texts)
    def search_by_text(self, at: int, text: str) -> None:
        name, docs = self.pick(at)
        for vector in docs.search(text, k=20).vectors:
            assert half_of(vector) == self.served[name]

    @rule(at=numbers, id=numbers, text=texts, model=models)
    def refresh(self, at: int, id: int, text: str, model: int) -> None:
        name, docs = self.pick(at)
        try:
            report = docs.refresh([(id, text)], embed=Half(model), progress=False)
        except (ModelMismatchError, lamina.RefreshError):
            assert model != self.served[name]
        else:
            assert model == self.served[name] or report.embedded == 0

    @rule(at=numbers)
    def merge(self, at: int) -> None:
        _, docs = self.pick(at)
        docs.optimize()

    @rule()
    def maintain(self) -> None:
        while self.store._writable().maintain(1):
            pass

    @rule(model=models, at=numbers)
    def open_with_a_model(self, model: int, at: int) -> None:
        self.store.close()
        self.store = lamina.open(self.folder / "kb", maintenance="manual", durability="os")
        for name, half in self.served.items():
            self.store.get_collection(name, embed=MODELS[half].embed_with)
        name, _ = self.pick(at)
        try:
            self.store.get_or_create_collection(name, model=MODELS[model])
        except ModelMismatchError:
            assert model != self.served[name]
        else:
            assert model == self.served[name]

    @precondition(lambda self: len(self.served) < 5)
    @rule(at=numbers)
    def branch(self, at: int) -> None:
        name, docs = self.pick(at)
        made = f"{name}{len(self.served)}"
        if made in self.served:
            return
        docs.branch(made)
        self.served[made] = self.served[name]
        if name in self.moved:
            self.moved.add(made)

    @rule(one=numbers, other=numbers)
    def promote(self, one: int, other: int) -> None:
        """A branch takes the name of another collection, and brings its model."""
        a, _ = self.pick(one)
        b, _ = self.pick(other)
        if a == b or len(self.served) < 3:
            return
        self.store.rename_collection(a, b, replace=True)
        self.served[b] = self.served.pop(a)
        self.moved = (self.moved - {b}) | ({b} if a in self.moved else set())
        self.moved.discard(a)
        self.versions = [known for known in self.versions if known[0] not in (a, b)]

    @precondition(lambda self: len(self.snapshots) < 4)
    @rule(at=numbers)
    def hold(self, at: int) -> None:
        name, docs = self.pick(at)
        self.snapshots.append((docs.snapshot(), self.served[name]))
        self.versions.append((name, docs.version, self.served[name]))

    @precondition(lambda self: self.versions)
    @rule(at=numbers, model=st.sampled_from([None, 0, 1]))
    def roll_back(self, at: int, model: int | None) -> None:
        name, version, half = self.versions[at % len(self.versions)]
        docs = self.store.get_collection(name)
        try:
            docs.rollback(version=version, model=None if model is None else MODELS[model])
        except ModelMismatchError:
            assert model != half
        except (MigrationStateError, NotFoundError):
            return
        else:
            assert half == (self.served[name] if model is None else model)
            self.served[name] = half

    @rule(at=numbers)
    def fill(self, at: int) -> None:
        name, docs = self.pick(at)
        try:
            docs.migrate(to=MODELS[1 - self.served[name]]).run(progress=False)
        except MigrationStateError:
            assert docs.snapshot()._core.migration[0] == "cut_over"

    @rule(at=numbers, step=st.sampled_from(["cutover", "rollback", "finalize", "abort"]), model=models)
    def step(self, at: int, step: str, model: int) -> None:
        name, docs = self.pick(at)
        try:
            getattr(docs.migrate(to=MODELS[model]), step)()
        except MigrationStateError:
            return
        if step == "cutover":
            self.served[name] = model
            self.moved.add(name)
        elif step == "rollback":
            self.served[name] = 1 - model

    @invariant()
    def each_collection_is_of_one_model(self) -> None:
        for name, half in self.served.items():
            docs = self.store.get_collection(name)
            assert docs.model == MODELS[half]
            expect_one_model(docs, half)
            other = docs.snapshot()._core.other()
            if other is not None and len(other):
                vectors, present = other.vectors_at(other.scan(None, 100))
                assert all(half_of(vector) == 1 - half for vector in vectors[present])
        for snapshot, half in self.snapshots:
            expect_one_model(snapshot, half)
            with pytest.raises(ModelMismatchError):
                snapshot.search(MODELS[1 - half].tag(MODELS[1 - half].embed(["q"])))


TestMixedModels = pytest.mark.slow(MixedModels.TestCase)
TestMixedModels.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


def made(path: Path, half: int) -> None:
    """A store of one collection, with segments, a head, bitmaps and a second generation under way."""
    with lamina.open(path, create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=MODELS[half])
        docs.upsert(range(40), content=[f"text {id}" for id in range(40)])
        docs.optimize()
        docs.delete([1, 2])
        docs.migrate(to=MODELS[1 - half]).run(progress=False)
        docs.upsert([50], content=["more"])


def files_of(path: Path) -> list[Path]:
    return sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file() and file.stat().st_size)


def test_files_of_another_store_in_the_place_of_ones_own(tmp_path: Path) -> None:
    for half in (0, 1):
        made(tmp_path / f"store{half}", half)
    mine, theirs = files_of(tmp_path / "store0"), files_of(tmp_path / "store1")
    refused = 0
    for to in mine:
        for source in theirs:
            if source.suffix != to.suffix or source.parent.name != to.parent.name:
                continue
            mixed = tmp_path / "mixed"
            shutil.copytree(tmp_path / "store0", mixed)
            shutil.copy(tmp_path / "store1" / source, mixed / to)
            try:
                with lamina.open(mixed, maintenance="manual") as store:
                    docs = store.get_collection("docs")
                    expect_one_model(docs, MODELS.index(docs.model))
            except LaminaError:
                refused += 1
            shutil.rmtree(mixed)
    assert refused > len(mine) / 2


def test_a_whole_store_in_the_place_of_another_says_its_model(tmp_path: Path) -> None:
    for half in (0, 1):
        made(tmp_path / f"store{half}", half)
    shutil.rmtree(tmp_path / "store0")
    (tmp_path / "store1").rename(tmp_path / "store0")
    with lamina.open(tmp_path / "store0") as store:
        with pytest.raises(ModelMismatchError):
            store.get_or_create_collection("docs", model=MODELS[0])
        with pytest.raises(ModelMismatchError):
            store.get_collection("docs").search(MODELS[0].tag(MODELS[0].embed(["q"])))
