"""The cases in which other tools embed for ever, forget, or mix: lamina beside what LangChain and LlamaIndex do.

Goal: unchanged records are never embedded again, a failed embedder loses nothing, a swapped model is refused. Method:
ten chunks of one source, as in the probe of `bench/refresh.py`, and an embedder that counts.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.python.counting import Counting

import lamina
from lamina import Collection, Model, ModelMismatchError, RefreshError, Store

CHUNKS = [(("page", at), f"chunk {at} of the page", {"at": at}) for at in range(10)]
IDS = [f"page#{at}" for at in range(10)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lamina.open(tmp_path / "s.lamina", create=True, durability="os") as opened:
        yield opened


@pytest.fixture
def embed() -> Counting:
    return Counting()


@pytest.fixture
def docs(store: Store, embed: Counting) -> Collection:
    return store.create_collection("docs", model=Model("counted", dim=4, embed=embed))


def state(docs: Collection) -> list[tuple[Any, ...]]:
    return sorted((r.id, r.content, str(r.metadata), r.vector.tolist()) for batch in docs.scan() for r in batch)


@pytest.mark.parametrize("delete", ["none", "missing"])  # incremental, and scoped_full
def test_unchanged_runs_embed_nothing_whatever_the_batch(docs: Collection, embed: Counting, delete: str) -> None:
    assert [docs.refresh(CHUNKS, batch_size=4, delete=delete).embedded for _ in range(3)] == [10, 0, 0]
    assert len(embed.texts) == 10


def test_changed_metadata_embed_nothing(docs: Collection, embed: Counting) -> None:
    docs.refresh(CHUNKS)
    report = docs.refresh([(id, text, {"at": -1}) for id, text, _ in CHUNKS])
    assert (report.metadata_only, report.embedded, len(embed.texts)) == (10, 0, 10)
    assert docs.get(IDS).metadata == [{"at": -1}] * 10


def test_a_swapped_model_of_the_same_dimension_is_refused(docs: Collection, embed: Counting) -> None:
    docs.refresh(CHUNKS)
    before = state(docs)
    embed.turned = -1.0
    for source in (CHUNKS, [*CHUNKS, (("page", 10), "one more", {})]):
        with pytest.raises(ModelMismatchError, match=r"cosine .* revision="):
            docs.refresh(source)
    assert state(docs) == before


def test_an_embedder_of_another_name_is_refused(store: Store) -> None:
    docs = store.create_collection("hashed", model="hash:8")
    with pytest.raises(ModelMismatchError, match="hash:16"):
        docs.refresh(CHUNKS, embed="hash:16")


def test_a_store_that_was_emptied_is_filled_again(docs: Collection) -> None:
    docs.refresh(CHUNKS)
    before = state(docs)
    docs.clear()
    assert docs.refresh(CHUNKS).added == 10
    assert state(docs) == before


@pytest.mark.parametrize("error", [RuntimeError("no"), ConnectionError("gone"), TimeoutError("late")])
def test_a_failed_embedder_loses_nothing(docs: Collection, embed: Counting, error: Exception) -> None:
    """Others delete a document before they embed it anew."""
    docs.refresh(CHUNKS)
    before = state(docs)
    changed = [(id, f"{text}, changed", metadata) for id, text, metadata in CHUNKS]
    embed.broken = error
    with pytest.raises(RefreshError, match=str(error)):
        docs.refresh(changed, delete="missing", retry=lamina.Retry(attempts=2, wait=0))
    assert state(docs) == before
    embed.broken = None
    assert docs.refresh(changed, delete="missing").updated == 10


def test_the_chunks_of_a_source_are_replaced_in_one_version(docs: Collection, embed: Counting) -> None:
    docs.refresh([*CHUNKS, ("other", "another text")])
    docs.refresh([("page#x", "of another scope")], scope="by hand")
    versions = docs.version
    report = docs.refresh([(("page", 1), "chunk 1, changed"), (("page", "new"), "a new chunk")], batch_size=1)
    assert (report.added, report.updated, report.deleted, report.embedded) == (1, 1, 9, 2)
    assert docs.version == versions + 1
    assert sorted(docs.ids()) == ["other", "page#1", "page#new", "page#x"]
    assert docs.refresh([(("page", 1), "chunk 1, changed")]).deleted == 1
    assert len(embed.texts) == 10 + 2 + 2


def test_the_source_of_a_chunk_may_be_a_field(docs: Collection) -> None:
    rows = [{"doc": "a", "part": at, "text": f"text {at}"} for at in range(3)]
    docs.refresh(rows, id_field="part", source_field="doc")
    assert docs.get(["a#2"]).to_list()[0]["metadata"] == {"doc": "a"}
    assert docs.refresh(rows[:2], id_field="part", source_field="doc").deleted == 1


def test_chunks_that_are_scattered_are_refused(docs: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.pipeline.WINDOW", 1)
    with pytest.raises(ValueError, match="one after another"):
        docs.refresh([(("a", 1), "x"), (("b", 1), "y"), (("a", 2), "z")])
    with pytest.raises(ValueError, match="no '#'"):
        docs.refresh([(("a", "1#2"), "x")])


def test_identical_texts_are_embedded_once(docs: Collection, embed: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.pipeline.WINDOW", 3)
    texts = ["one", "two", "one", "three", "two", "one", "four", "one"]
    report = docs.refresh(list(enumerate(texts)), batch_size=2)
    assert sorted(embed.texts) == ["four", "one", "three", "two"]
    assert (report.added, report.embedded, report.deduplicated) == (8, 4, 4)
    assert docs.refresh([(100, "two"), (101, "five")]).embedded == 1
    np.testing.assert_array_equal(docs.get([100]).vectors, Counting()(["two"]))


def test_a_text_that_comes_back_keeps_a_vector_that_still_stands(docs: Collection, embed: Counting) -> None:
    docs.refresh([("a", "first"), ("b", "second")])
    docs.refresh([("a", "second"), ("b", "first")])
    assert len(embed.texts) == 2
    np.testing.assert_array_equal(docs.get(["a", "b"]).vectors, Counting()(["second", "first"]))


def test_old_vectors_are_made_anew(docs: Collection, embed: Counting) -> None:
    docs.refresh(CHUNKS)
    assert docs.refresh(CHUNKS, max_age=timedelta(hours=1)).embedded == 0
    assert len(docs.stale(max_age=timedelta(hours=1))) == 0
    assert sorted(docs.stale(max_age=0)) == IDS
    report = docs.refresh(CHUNKS, max_age=0.0)
    assert (report.updated, report.embedded, len(embed.texts)) == (10, 10, 20)


def test_what_is_stale_or_owed_is_listed(store: Store, embed: Counting) -> None:
    docs = store.create_collection("late", model=Model("counted", dim=4))
    assert len(docs.owed()) == len(docs.stale()) == 0
    docs.add(["a", "b", "c"], content=["one", "two", "three"])
    docs.update(["b"], vectors=np.ones((1, 4)))
    assert sorted(docs.owed()) == ["a", "c"]
    docs.update(["b"], content=["changed"])
    assert docs.stale().tolist() == ["b"]
    assert docs.refresh([("b", "changed"), ("a", "one")], embed=embed).updated == 2
    assert (docs.owed().tolist(), docs.stale().tolist()) == (["c"], [])


def test_a_record_without_a_text_is_said(docs: Collection, embed: Counting) -> None:
    report = docs.refresh([("a", None, {"n": 1}), ("b", "text")])
    assert (report.without_text, report.embedded, docs.owed().tolist()) == (1, 1, ["a"])
    assert "1 without a text" in str(report)
    assert docs.refresh([("a", None, {"n": 1}), ("b", None)]).updated == 1
    assert sorted(docs.owed()) == ["a", "b"]


def test_a_dry_run_counts_and_does_nothing(docs: Collection, embed: Counting) -> None:
    docs.refresh(CHUNKS)
    version, texts = docs.version, len(embed.texts)
    source = [*CHUNKS[1:], ("x", "new " * 10), ("y", "new " * 10), ("z", CHUNKS[0][1])]
    embed.price = 2.0
    report = docs.refresh(source, delete="missing", dry_run=True)
    assert (report.added, report.embedded, report.deduplicated, report.deleted) == (3, 1, 2, 1)
    assert (report.tokens, report.cost) == (10, 10 * 2 / 1e6)
    assert (docs.version, len(embed.texts)) == (version, texts)
    done = docs.refresh(source, delete="missing")
    assert (done.added, done.embedded, done.deduplicated, done.deleted) == (3, 1, 2, 1)
    assert (done.tokens, done.cost) == (report.tokens, report.cost)


def test_a_budget_is_not_exceeded(docs: Collection, embed: Counting) -> None:
    source = [(at, f"{at:08}") for at in range(20)]  # two tokens each
    report = docs.refresh(source, delete="missing", batch_size=5, budget=lamina.Budget(tokens=25))
    assert (report.embedded, report.tokens, report.ok) == (10, 20, False)
    assert "25 tokens" in str(report.stopped)
    with pytest.raises(ValueError, match="price"):
        docs.refresh(source, budget=1.0)
    embed.price = 1e6
    assert docs.refresh(source, batch_size=5, budget=10.0).embedded == 5
    assert docs.refresh(source, budget=lamina.Budget(seconds=0)).embedded == 0
    assert docs.refresh(source, budget=lamina.Budget(seconds=60)).embedded == 5
    assert docs.refresh(source).unchanged == 20


def test_exactly_what_changed(docs: Collection, embed: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.pipeline.WINDOW", 300)
    rows = {f"d{at}": f"text {at}" for at in range(1000)}
    docs.refresh(rows.items(), delete="missing")
    del embed.texts[:]
    for id in [*rows][:50]:
        rows[id] += ", edited"
    for id in [*rows][500:530]:
        del rows[id]
    rows |= {f"new{at}": f"new text {at}" for at in range(20)}
    report = docs.refresh(rows.items(), delete="missing", batch_size=8)
    assert (report.added, report.updated, report.deleted, report.unchanged) == (20, 50, 30, 920)
    assert sorted(embed.texts) == sorted([*rows.values()][:50] + [*rows.values()][-20:])
    assert {r.id: r.content for batch in docs.scan() for r in batch} == rows


@pytest.mark.slow
def test_a_run_without_changes_costs_little_more_than_reading(docs: Collection, tmp_path: Path) -> None:
    """Method: against reading, parsing and hashing the file alone, in turns; the least ratio of five."""
    path = tmp_path / "source.jsonl"
    rows = ({"id": f"d{at}", "source": f"s{at % 7}", "text": f"{at} and some words " * 5} for at in range(20_000))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    docs.refresh(path)
    ratios = []
    for _ in range(5):
        started = time.perf_counter()
        with path.open("rb") as file:
            for line in file:
                hashlib.sha256(json.loads(line)["text"].encode()).digest()
        read = time.perf_counter()
        assert docs.refresh(path, delete="missing").unchanged == 20_000
        ratios.append((time.perf_counter() - read) / (read - started))
    assert min(ratios) <= 4, ratios


def test_a_refresh_can_be_stopped(docs: Collection) -> None:
    stop = threading.Event()

    def source() -> Iterator[tuple[int, str]]:
        for at in range(10_000):
            if at == 5_000:
                stop.set()
            yield at, f"text {at}"

    with pytest.raises(RefreshError, match="stopped") as raised:
        docs.refresh(source(), stop=stop)
    assert raised.value.report.seen < 10_000
    assert raised.value.report.added == len(docs)
    stop.set()
    with pytest.raises(RefreshError, match="stopped"):
        docs.refresh([(-5, "x")], stop=stop)


def test_the_report_adds_up(docs: Collection) -> None:
    docs.refresh(CHUNKS)
    report = docs.refresh([*CHUNKS, ("a", "x"), ("a", "y")])
    assert report.seen == 12 == report.added + report.unchanged + report.repeated
    assert report.to_dict()["version_after"] == docs.version == report.version_before + 1
    assert report.model == docs.model.fingerprint


@pytest.mark.parametrize(
    "options",
    [{"delete": "all"}, {"max_delete": 1.5}, {"batch_size": 0}, {"batch_size": "big"}, {"concurrency": 0},
     {"on_error": "ignore"}, {"retry": 0}],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(docs: Collection, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        docs.refresh(CHUNKS, **options)
    assert len(docs) == 0
