"""Migration: another model for a collection that is read and written all the while.

Method: two embedders whose vectors name their text, so that a vector of another model or of another text is seen in the
store itself; every step from every state; writes at the worst moment, from inside the embedder.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lamina
from lamina import (
    Collection,
    DimensionMismatchError,
    MigrationStateError,
    Model,
    ModelMismatchError,
    NotFoundError,
    ReadOnlyError,
    RefreshError,
    Store,
)
from lamina.canary import TEXTS

Hook = Callable[[list[str]], None]


class Embedder:
    """Vectors whose numbers are of the text, in a space that `space` names. Runs `hook` before it answers."""

    def __init__(self, space: int, dim: int = 8) -> None:
        self.space, self.dim = space, dim
        self.texts: list[str] = []
        self.hook: Hook = lambda texts: None

    def __call__(self, texts: Sequence[str]) -> NDArray[Any]:
        mine = [text for text in texts if text not in TEXTS]
        self.texts += mine
        self.hook(mine)
        return np.stack([self.of(text) for text in texts])

    def of(self, text: str) -> NDArray[Any]:
        seed = [self.space, *text.encode()]
        return np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)


OLD, NEW = Embedder(1), Embedder(2)


@pytest.fixture
def old() -> Embedder:
    return Embedder(1)


@pytest.fixture
def new() -> Embedder:
    return Embedder(2)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with lamina.open(tmp_path / "kb", create=True, maintenance="manual") as opened:
        yield opened


@pytest.fixture
def docs(store: Store, old: Embedder) -> Collection:
    made = store.create_collection("docs", model=Model("old", dim=8, embed=old))
    made.upsert(range(1, 21), content=[f"text {id}" for id in range(1, 21)], metadata=[{"n": n} for n in range(20)])
    return made


def target(new: Embedder, dim: int = 8, **fields: Any) -> Model:
    new.dim = dim
    return Model("new", dim=dim, embed=new, **fields)


def expect_of(docs: Collection, embedder: Embedder, without: Sequence[int] = ()) -> None:
    """Each record has the vector of this very text in this space, or none."""
    for batch in docs.scan():
        for record in batch:
            if record.id in without:
                assert record.vector is None, record
            else:
                np.testing.assert_array_equal(record.vector, embedder.of(record.content))


def test_from_the_first_step_to_the_last(store: Store, docs: Collection, old: Embedder, new: Embedder) -> None:
    m = docs.migrate(to=target(new, 12, metric="l2"))
    assert m.status().state == "planned"
    planned = m.plan()
    assert (planned.records, planned.texts, planned.without_text) == (20, 20, 0)
    assert planned.disk_bytes > 20 * 12 * 4
    assert planned.seconds is not None
    new.texts.clear()
    report = m.run()
    assert report.ok
    assert (report.stored, report.embedded) == (20, 20)
    assert sorted(new.texts) == sorted(f"text {id}" for id in range(1, 21))
    assert (m.status().state, m.status().coverage) == ("ready", 1.0)
    expect_of(docs, old)
    assert docs.model.name == "old"
    held = docs.snapshot()
    version = m.cutover()
    assert docs.version == version
    assert docs.model == m.model
    expect_of(docs, new)
    assert docs.search("text 3", k=1).ids[0] == 3
    assert held.search(held.model.embed(["text 3"])[0], k=1).ids[0] == 3
    assert m.status().state == "cut_over"
    m.finalize()
    assert m.status().state == "finalized"
    expect_of(docs, new)
    store.verify()
    with pytest.raises(MigrationStateError, match="already"):
        docs.migrate(to=target(new, 12, metric="l2"))


def test_a_step_from_another_stage_is_refused_and_says_which_comes_first(docs: Collection, new: Embedder) -> None:
    m = docs.migrate(to=target(new))
    for step in (m.cutover, m.rollback, m.finalize, m.abort, m.pause):
        with pytest.raises(MigrationStateError, match="run"):
            step()
    m.run()
    for step in (m.rollback, m.finalize):
        with pytest.raises(MigrationStateError, match="cutover"):
            step()
    with pytest.raises(MigrationStateError, match="in a migration to"):
        docs.migrate(to=Model("third", dim=4))
    m.cutover()
    for step in (m.run, m.cutover, m.abort, m.pause):
        with pytest.raises(MigrationStateError):
            step()
    with pytest.raises(MigrationStateError):
        docs.rollback(version=docs.version - 1)


def test_abort_leaves_the_old_generation_and_nothing_else(store: Store, docs: Collection, new: Embedder) -> None:
    m = docs.migrate(to=target(new))
    m.run()
    assert store.stats()["collections"]["docs"]["other_vectors"] == 20
    m.abort()
    assert m.status().state == "aborted"
    assert store.stats()["collections"]["docs"]["other_vectors"] == 0
    assert docs.model.name == "old"
    assert docs.search(OLD.of("text 3"), k=1).ids[0] == 3


def test_writes_in_the_window_are_drained(docs: Collection, old: Embedder, new: Embedder) -> None:
    m = docs.migrate(to=target(new))
    m.run()
    docs.upsert([3, 30], content=["other", "more"])
    docs.update([4], metadata=[{"n": 99}])
    docs.delete([5])
    status = m.status()
    assert (status.state, status.owed, status.stale, status.records) == ("backfilling", 1, 1, 20)
    with pytest.raises(MigrationStateError, match=r"1 records are owed.*1 have"):
        m.cutover()
    new.texts.clear()
    assert m.run().stored == 2
    assert sorted(new.texts) == ["more", "other"]
    m.cutover()
    expect_of(docs, new)
    assert docs.get([4])[0].metadata == {"n": 99}
    assert 5 not in docs


def test_a_text_that_changes_while_it_is_embedded_gets_the_vector_of_what_it_became(
    docs: Collection, new: Embedder
) -> None:
    changes = iter([("other 7", 7), ("other 9", 9)])

    def change(texts: list[str]) -> None:
        for text, id in changes:
            docs.update([id], content=[text])
            docs.delete([11])
            docs.upsert([12], content=["text 12"])  # the same text again
            break

    new.hook = change
    m = docs.migrate(to=target(new))
    report = m.run(batch_size=4, concurrency=1)
    assert report.ok
    assert report.outdated >= 1
    m.cutover()
    expect_of(docs, new)


def test_the_newest_records_come_first(docs: Collection, new: Embedder) -> None:
    docs.upsert([8], content=["the newest"])
    docs.migrate(to=target(new)).run(batch_size=1, concurrency=1)
    assert new.texts[0] == "the newest"


def test_identical_texts_are_embedded_once(docs: Collection, new: Embedder) -> None:
    docs.upsert([100, 101, 102], content=["the same"] * 3)
    report = docs.migrate(to=target(new)).run(batch_size=1, concurrency=1)
    assert new.texts.count("the same") == 1
    assert (report.stored, report.embedded) == (23, 21)


def test_a_pause_holds_until_the_next_run_and_a_new_handle_takes_it_up(
    store: Store, docs: Collection, new: Embedder
) -> None:
    m = docs.migrate(to=target(new))
    new.hook = lambda texts: m.pause() if texts and len(new.texts) == 8 else None
    report = m.run(batch_size=4, concurrency=1)
    assert report.stopped == "paused"
    assert report.stored == 8
    assert m.status().state == "paused"
    again = store.get_collection("docs").migrate()
    assert again.model == m.model
    assert again.run().stored == 12
    assert again.status().state == "ready"
    assert [event.step for event in again.status().events] == ["begin", "pause", "run"]


def test_a_budget_ends_a_run(docs: Collection, new: Embedder) -> None:
    m = docs.migrate(to=target(new))
    report = m.run(batch_size=4, concurrency=1, budget=lamina.Budget(tokens=10))
    assert "budget" in (report.stopped or "")
    assert 0 < report.stored < 20
    assert m.run().ok


def test_a_run_that_goes_on_already_is_not_begun_twice(docs: Collection, new: Embedder) -> None:
    refused: list[str] = []

    def again(texts: list[str]) -> None:
        try:
            docs.migrate().run()
        except MigrationStateError as error:
            refused.append(str(error))

    new.hook = again
    docs.migrate(to=target(new)).run(concurrency=1)
    assert refused
    assert "already" in refused[0]


def test_what_cannot_be_embedded_is_listed_and_may_be_left_behind(docs: Collection, new: Embedder) -> None:
    def refuse(texts: list[str]) -> None:
        if "text 7" in texts:
            raise ValueError("no seven")

    new.hook = refuse
    m = docs.migrate(to=target(new))
    report = m.run()
    assert not report.ok
    assert report.failed == 1
    assert m.status().state == "ready"
    assert "no seven" in m.status().failed[7]
    with pytest.raises(MigrationStateError):
        m.cutover()
    m.cutover(force=True)
    assert "1 records" in m.status().events[-1].note
    expect_of(docs, new, without=[7])
    assert docs.owed().tolist() == [7]


def test_an_embedder_that_does_not_work_loses_nothing(docs: Collection, old: Embedder, new: Embedder) -> None:
    def refuse(texts: list[str]) -> None:
        raise ConnectionError("down")

    new.hook = refuse
    m = docs.migrate(to=target(new))
    with pytest.raises(RefreshError, match="does not work"):
        m.run(retry=lamina.Retry(attempts=1))
    expect_of(docs, old)
    new.hook = lambda texts: None
    assert m.run().ok


def test_a_changed_embedder_behind_the_name_is_noticed_before_it_goes_on(docs: Collection, new: Embedder) -> None:
    m = docs.migrate(to=target(new))
    m.run()
    docs.upsert([50], content=["late"])
    with pytest.raises(ModelMismatchError, match="fixed texts"):
        docs.migrate(embed=Embedder(3)).run()
    assert m.status().owed == 1


def test_rollback_at_once_and_after_writes(docs: Collection, old: Embedder, new: Embedder) -> None:
    m = docs.migrate(to=target(new))
    m.run()
    m.cutover()
    m.rollback()
    assert m.status().state == "rolled_back"
    expect_of(docs, old)
    m.run()
    m.cutover()
    docs.upsert([3, 40], content=["other 3", "new 40"])
    old.texts.clear()
    m.rollback()  # the old embedder is known
    assert sorted(old.texts) == ["new 40", "other 3"]
    expect_of(docs, old)
    m.abort()
    expect_of(docs, old)


def test_rollback_without_the_old_embedder(tmp_path: Path, new: Embedder) -> None:
    with lamina.open(tmp_path / "kb", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=Model("old", dim=8))
        docs.upsert(range(20), OLD(texts := [f"text {id}" for id in range(20)]), content=texts)
        m = docs.migrate(to=target(new))
        m.run()
        m.cutover()
        docs.upsert([3, 4, 50], content=["other 3", "other 4", "new 50"])
        with pytest.raises(MigrationStateError, match="allow_missing"):
            m.rollback()
        expect_of(docs, new)
        m.rollback(allow_missing=True)
        assert sorted(docs.owed().tolist()) == [3, 4, 50]
        assert docs.stale().tolist() == []
        expect_of(docs, OLD, without=[3, 4, 50])
        assert docs.count() == 21
        assert docs.get([50])[0].content == "new 50"
        assert [event.step for event in m.status().events][-1] == "rollback"


def test_rollback_with_the_old_embedder_of_the_caller(tmp_path: Path, new: Embedder) -> None:
    with lamina.open(tmp_path / "kb", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=Model("old", dim=8))
        docs.upsert([1, 2], OLD(["a", "b"]), content=["a", "b"])
        m = docs.migrate(to=target(new))
        m.run()
        m.cutover()
        docs.upsert([2, 3], content=["c", "d"])
        m.rollback(embed=OLD)
        expect_of(docs, OLD)


def test_arrays_without_a_name_are_refused_after_a_cut_over(docs: Collection, old: Embedder, new: Embedder) -> None:
    m = docs.migrate(to=target(new))  # of equal dimension
    m.run()
    docs.search(old.of("text 3"))
    m.cutover()
    for refused in (old.of("text 3"), new.of("text 3"), np.zeros((2, 8), np.float32), [0.0] * 8):
        with pytest.raises(ModelMismatchError, match="which model"):
            docs.search(refused)
        with pytest.raises(ModelMismatchError, match="which model"):
            docs.snapshot().search(refused)
    with pytest.raises(ModelMismatchError, match="which model"):
        docs.upsert([3], vectors=np.zeros((1, 8), np.float32), content=["text 3"])
    with pytest.raises(ModelMismatchError, match="which model"):
        docs.update([3], vectors=np.zeros((1, 8), np.float32))
    old_model = Model("old", dim=8)
    with pytest.raises(ModelMismatchError, match="another model"):
        docs.search(old_model.tag(old.of("text 3")))
    with pytest.raises(ModelMismatchError, match="another model"):
        docs.upsert([3], vectors=np.zeros((1, 8), np.float32), model=old_model)
    assert docs.search(docs.model.tag(new.of("text 3")), k=1).ids[0] == 3
    assert docs.search(new.of("text 3"), k=1, model=docs.model).ids[0] == 3
    docs.upsert([3], vectors=docs.model.tag(new.of("text 3")[None]), content=["text 3"])
    m.finalize()
    with pytest.raises(ModelMismatchError, match="which model"):
        docs.search(new.of("text 3"))
    branch = docs.branch("branch")
    with pytest.raises(ModelMismatchError, match="which model"):
        branch.search(new.of("text 3"))


def test_a_write_that_was_embedded_before_a_cut_over_is_embedded_again(
    store: Store, docs: Collection, new: Embedder
) -> None:
    m = docs.migrate(to=target(new))
    m.run()
    with store.transaction() as tx:
        tx["docs"].upsert([1], content=["another text 1"])
        tx["docs"].update([2], content=["another text 2"])
        m.cutover()
    assert docs.get([1])[0].content == "another text 1"
    expect_of(docs, new)


def test_vectors_that_were_given_before_a_cut_over_are_refused_behind_it(
    store: Store, docs: Collection, old: Embedder, new: Embedder
) -> None:
    m = docs.migrate(to=target(new))
    m.run()

    def write_across() -> None:
        with store.transaction() as tx:
            tx["docs"].upsert([1], old(["text 1"]), content=["text 1"])
            m.cutover()

    with pytest.raises(ModelMismatchError):
        write_across()
    expect_of(docs, new)


def test_a_refresh_across_a_cut_over_writes_no_vector_of_the_old_model(
    docs: Collection, old: Embedder, new: Embedder
) -> None:
    m = docs.migrate(to=target(new))
    m.run()
    old.hook = lambda texts: m.cutover() if texts and m.status().state == "ready" else None
    with pytest.raises(ModelMismatchError):
        docs.refresh([(1, "text 1"), (200, "late")], progress=False)
    expect_of(docs, new)
    docs.refresh([(1, "text 1"), (200, "late")], progress=False)
    expect_of(docs, new)


def test_going_back_across_a_cut_over_needs_the_name_of_the_model(
    docs: Collection, old: Embedder, new: Embedder
) -> None:
    before = docs.version
    docs.tag("before")
    m = docs.migrate(to=target(new))
    m.run()
    m.cutover()
    m.finalize()
    assert docs.snapshot(tag="before").model.name == "old"
    with pytest.raises(ModelMismatchError, match="model="):
        docs.rollback(version=before)
    docs.rollback(tag="before", model=Model("old", dim=8, embed=old))
    expect_of(docs, old)
    assert docs.search("text 3", k=1).ids[0] == 3


def test_going_back_to_a_version_of_another_model_than_the_one_named_is_refused(
    docs: Collection, old: Embedder, new: Embedder
) -> None:
    before = docs.version
    docs.delete([1])
    now = docs.version
    for version in (before, now):
        with pytest.raises(ModelMismatchError):
            docs.rollback(version=version, model=target(new))
    assert docs.version == now
    docs.rollback(version=before, model=Model("old", dim=8, embed=old))
    assert len(docs) == 20


def test_an_embedder_that_another_handle_brought_serves_all_of_them(tmp_path: Path, old: Embedder) -> None:
    with lamina.open(tmp_path / "kb", create=True) as store:
        without = store.create_collection("docs", model=Model("old", dim=8))
        with pytest.raises(ValueError, match="no embedder"):
            without.search("text 1")
        store.get_collection("docs", embed=old).upsert([1], content=["text 1"])
        assert without.search("text 1").ids[0] == 1


def test_ready_made_vectors_are_of_the_records_as_they_are(docs: Collection, new: Embedder) -> None:
    vectors = {id: new.of(f"text {id}") for id in range(1, 21)}
    m = docs.migrate(to=Model("new", dim=8), vectors=vectors)
    assert (m.plan().given, m.plan().without_text) == (20, 0)
    docs.upsert([3, 60], content=["other 3", "new 60"])
    report = m.run()
    assert (report.stored, report.failed) == (19, 2)
    assert sorted(m.status().failed) == [3, 60]
    late = ([3, 60], m.model.tag(np.stack([new.of("other 3"), new.of("new 60")])))
    m = docs.migrate(vectors=late)
    assert m.run().ok
    m.cutover()
    expect_of(docs, new)


def test_ready_made_vectors_that_cannot_be_are_refused(docs: Collection) -> None:
    model = Model("new", dim=8)
    with pytest.raises(TypeError, match="mapping"):
        docs.migrate(to=model, vectors=np.zeros((20, 8), np.float32))
    with pytest.raises(DimensionMismatchError):
        docs.migrate(to=model, vectors=([1], np.zeros((1, 9), np.float32)))
    with pytest.raises(ValueError, match="2 vectors for 1"):
        docs.migrate(to=model, vectors=([1], np.zeros((2, 8), np.float32)))
    with pytest.raises(ModelMismatchError):
        docs.migrate(to=model, vectors=([1], Model("third", dim=8).tag(np.zeros((1, 8), np.float32))))
    with pytest.raises(ValueError, match="give embed= or vectors="):
        docs.migrate(to=model).run()
    assert docs.migrate(to=model).status().state == "planned"


def test_records_without_content_take_it_from_a_source(store: Store, new: Embedder) -> None:
    docs = store.create_collection("bare", model=Model("old", dim=8))
    docs.upsert(["a", "b", "c"], OLD(["A", "B", "C"]))
    report = docs.migrate(to=target(new)).run()
    assert report.failed == 3
    assert "source=" in docs.migrate().status().failed["a"]
    m = docs.migrate(source={"a": "A", "b": "B"})
    assert m.run().failed == 1
    docs.upsert(["b"], OLD(["another B"]))  # of another vector, so of another text
    assert m.status().stale == 1
    m = docs.migrate(source=lambda ids: [id.upper() for id in ids])
    assert m.run().ok
    m.cutover()
    np.testing.assert_array_equal(docs.get(["a", "b", "c"]).vectors, np.stack([new.of(text) for text in "ABC"]))


def test_a_shorter_model_of_the_same_kind_needs_no_embedder(store: Store, old: Embedder) -> None:
    full = Model("mrl", dim=8, normalize=True, embed=old)
    docs = store.create_collection("mrl", model=full)
    docs.upsert(range(5), content=[f"text {id}" for id in range(5)])
    old.texts.clear()
    short = Model("mrl", dim=4, full_dim=8, normalize=True)
    m = docs.migrate(to=short)
    assert m.plan().given == 5
    assert m.run().ok
    assert old.texts == []
    m.cutover()
    whole = short.bind(old).embed([f"text {id}" for id in range(5)])
    np.testing.assert_allclose(docs.get(range(5)).vectors, whole, rtol=1e-6)
    m.finalize()
    with pytest.raises(ValueError, match="nothing makes vectors"):
        docs.migrate(to=Model("mrl", dim=2, full_dim=16, normalize=True)).run()


def test_readers_move_when_they_reload(store: Store, docs: Collection, old: Embedder, new: Embedder) -> None:
    with lamina.open(store.path, read_only=True) as reader:
        seen = reader.get_collection("docs", embed=old)
        m = docs.migrate(to=target(new))
        with pytest.raises(ReadOnlyError):
            seen.migrate(to=target(new)).run()
        m.run()
        m.cutover()
        reader.reload()
        assert seen.model.name == "new"
        with pytest.raises(ModelMismatchError):
            seen.search(old.of("text 3"))


def test_it_survives_closing_and_the_embedder_is_asked_for_again(tmp_path: Path, old: Embedder, new: Embedder) -> None:
    with lamina.open(tmp_path / "kb", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=Model("old", dim=8, embed=old))
        docs.upsert(range(9), content=[f"text {id}" for id in range(9)])
        docs.migrate(to=target(new)).run(budget=lamina.Budget(tokens=4), batch_size=2, concurrency=1)
    with lamina.open(tmp_path / "kb", maintenance="manual") as store:
        docs = store.get_collection("docs")
        with pytest.raises(ValueError, match="embed="):
            docs.migrate().run()
        m = docs.migrate(embed=new)
        new.texts.clear()
        assert m.run().ok
        assert len(new.texts) < 9
        m.cutover()
        assert docs.search("text 3", k=1).ids[0] == 3
    with lamina.open(tmp_path / "kb", maintenance="manual") as store:
        docs = store.get_collection("docs", embed=new)
        assert docs.model.name == "new"
        expect_of(docs, new)
        docs.migrate().finalize()
        store.verify()


def test_the_async_twin_runs_and_stops(docs: Collection, new: Embedder) -> None:
    async def embed(texts: Sequence[str]) -> NDArray[Any]:
        await asyncio.sleep(0)
        return new(texts)

    async def whole() -> None:
        m = docs.migrate(to=Model("new", dim=8, embed=embed))
        assert (await m.arun()).ok
        m.abort()
        task = asyncio.ensure_future(docs.migrate(to=Model("new", dim=8, embed=embed)).arun(batch_size=1))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(whole())
    assert docs.migrate().run().ok


def test_searches_and_writes_go_on_meanwhile(docs: Collection, old: Embedder, new: Embedder) -> None:
    over, wrong = threading.Event(), []

    def search() -> None:
        while not over.is_set():
            snapshot = docs.snapshot()
            space = old if snapshot.model.name == "old" else new
            hits = snapshot.search(snapshot.model.tag(space.of("text 3")), k=1)
            if hits.ids[0] != 3 or hits.distances[0] > 1e-5:
                wrong.append(hits)

    def write() -> None:
        count = 0
        while not over.is_set():
            count += 1
            docs.upsert([1000 + count % 7], content=[f"late {count}"])

    threads = [threading.Thread(target=search), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    try:
        m = docs.migrate(to=target(new))
        for _ in range(3):
            while True:
                m.run(batch_size=3, optimize=False)
                try:
                    m.cutover()
                    break
                except MigrationStateError:
                    continue
            m.rollback(allow_missing=True)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong
    m.run()
    m.cutover()
    expect_of(docs, new)


def test_a_dropped_collection_has_no_migration(store: Store, docs: Collection, new: Embedder) -> None:
    m = docs.migrate(to=target(new))
    store.drop_collection("docs")
    with pytest.raises(NotFoundError):
        m.run()
