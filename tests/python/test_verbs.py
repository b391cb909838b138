"""Exclusion, examples, groups, diversity, further pages, and batches to Arrow.

Goal: each verb answers what its definition says, and k hits wherever there are as many. Method: exact searches beside
the definition written in NumPy, over a segment and a head; approximate ones hold a stated recall.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import lamina
from lamina import verbs
from lamina.blending import blended, most_diverse, similarity
from lamina.errors import ModelMismatchError, NotFoundError

N, DIM = 240, 8
Floats = NDArray[np.float32]


@pytest.fixture
def vectors(rng: np.random.Generator) -> Floats:
    return rng.standard_normal((N, DIM)).astype(np.float32)


@pytest.fixture(params=["int", "str"])
def docs(request: Any, vectors: Floats, tmp_path: Path) -> Any:
    """Records 0 … N − 1, ids in that order; `kind` is null for each eleventh, the first twenty are of one."""
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as store:
        made = store.create_collection("docs", model=lamina.Model("own", dim=DIM))
        ids = np.arange(N) if request.param == "int" else [f"d{n:03}" for n in range(N)]
        kinds = [None if n % 11 == 0 else f"k{max(n, 20) % 7}" for n in range(N)]
        half = N // 2
        made.add(ids[:half], vectors[:half], metadata={"kind": kinds[:half]}, content=["t"] * half)
        made.optimize()
        made.add(ids[half:], vectors[half:], metadata={"kind": kinds[half:]})
        made.upsert([N] if request.param == "int" else ["owed"], content=["no vector"])
        yield made


def row(id: Any) -> int:
    return int(id[1:]) if isinstance(id, str) else int(id)


def named(docs: lamina.Collection, rows: Any) -> list[Any]:
    return [f"d{n:03}" if docs.snapshot()._core.id_kind == "str" else int(n) for n in rows]


def found(hits: Any) -> list[int]:
    assert (np.diff(hits.distances) >= 0).all()
    return [row(id) for id in hits.ids]


def order(vectors: Floats, query: Any) -> list[int]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.argsort(-(unit @ query), kind="stable").tolist()


def test_exclude(docs: lamina.Collection, vectors: Floats, rng: np.random.Generator) -> None:
    query = rng.standard_normal(DIM)
    true = order(vectors, query)
    for excluded in (true[:1], true[:50], true[5:N], [n for n in range(N) if n % 2]):
        wanted = [n for n in true if n not in set(excluded)][:7]
        assert found(docs.search(query, 7, exclude=named(docs, excluded), exact=True)) == wanted
        near = found(docs.search(query, 7, exclude=named(docs, excluded)))
        assert len(near) == len(wanted)
        assert not set(near) & set(excluded)
    assert found(docs.search(query, 2, exclude=named(docs, true[:1])[0], exact=True)) == true[1:3]
    assert len(docs.search(query, 500, exclude=[])) == N
    for kind in (set, frozenset, dict.fromkeys, pa.array, iter):
        one = docs.search(query, 3, exclude=kind(named(docs, true[:2])), exact=True)  # type: ignore[operator]
        assert found(one) == true[2:5]
    assert len(docs.search(query, 5, exclude=named(docs, range(N)))) == 0
    queries = rng.standard_normal((4, DIM))
    each = [order(vectors, one)[:n] for n, one in enumerate(queries)]
    hits = docs.search(queries, 5, exclude=[named(docs, rows) for rows in each], exact=True)
    assert isinstance(hits, lamina.BatchHits)
    for n, one in enumerate(hits):
        assert found(one) == order(vectors, queries[n])[n : n + 5]
    with pytest.raises(ValueError, match="ids for 4 queries, and there are 2"):
        docs.search(queries[:2], 5, exclude=[named(docs, rows) for rows in each])
    assert docs.search(np.empty((0, DIM)), 5, exclude=named(docs, [1])).ids.shape == (0, 5)


def test_like(docs: lamina.Collection, vectors: Floats, rng: np.random.Generator) -> None:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    query = rng.standard_normal(DIM)
    liked, disliked = [3, 17, 200], [40, 41]
    cases: list[tuple[Any, dict[str, Any], Any, list[int]]] = [
        (None, {"like": liked}, unit[liked].mean(axis=0), liked),
        (None, {"like": [3]}, unit[3], [3]),
        (None, {"like": liked, "unlike": disliked}, 0.75 * unit[liked].mean(0) - 0.15 * unit[disliked].mean(0),
         liked + disliked),
        (query, {"like": liked, "unlike": disliked},
         query / np.linalg.norm(query) + 0.75 * unit[liked].mean(0) - 0.15 * unit[disliked].mean(0), liked + disliked),
        (query, {"unlike": disliked}, query / np.linalg.norm(query) - 0.15 * unit[disliked].mean(0), disliked),
    ]  # fmt: skip
    for given, examples, target, left_out in cases:
        names = {name: named(docs, rows) for name, rows in examples.items()}
        wanted = [n for n in order(vectors, target) if n not in left_out][:9]
        assert found(docs.search(given, 9, exact=True, **names)) == wanted  # type: ignore[arg-type]
    one = named(docs, [3])[0]
    assert found(docs.search(like=one, k=3, exact=True)) == [n for n in order(vectors, unit[3]) if n != 3][:3]
    both = docs.search(np.stack([query, -query]), 4, like=named(docs, liked), exclude=named(docs, [9]), exact=True)
    assert isinstance(both, lamina.BatchHits)
    for one_query, hits in zip((query, -query), both, strict=True):
        target = one_query / np.linalg.norm(query) + 0.75 * unit[liked].mean(0)
        assert found(hits) == [n for n in order(vectors, target) if n not in [*liked, 9]][:4]


def test_blends_of_other_metrics() -> None:
    query, like, unlike = np.array([1.0, 0]), np.array([[0, 4.0], [0, 2]]), np.array([[2.0, 0]])
    for metric in ("l2", "ip"):
        np.testing.assert_allclose(blended(None, like, unlike[:0], metric), [0, 3])  # the middle of the examples
        np.testing.assert_allclose(blended(query, like, unlike, metric), [0.7 / 1.6, 2.25 / 1.6], rtol=1e-6)
    bits = np.packbits([[1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 1, 0, 0, 0]], axis=1)
    assert np.unpackbits(blended(None, bits, bits[:0], "hamming")).tolist() == [1, 1, 1, 0, 0, 0, 0, 0]


def limited(ranked: list[int], k: int, limit: int) -> list[int]:
    """The first k of which no more than `limit` have the same kind."""
    seen: dict[Any, int] = {}
    taken = []
    for n in ranked:
        kind = None if n % 11 == 0 else max(n, 20) % 7
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= limit:
            taken.append(n)
    return taken[:k]


@pytest.mark.parametrize("limit", [1, 2, 30])
def test_groups(docs: lamina.Collection, vectors: Floats, rng: np.random.Generator, limit: int) -> None:
    queries = rng.standard_normal((5, DIM))
    for k in (1, 5, 8, 60):
        hits = docs.search(queries, k, group_by="kind", group_limit=limit, exact=True)
        for query, one in zip(queries, hits, strict=True):
            assert found(one) == limited(order(vectors, query), k, limit)
        near = docs.search(queries[0], k, group_by="kind", group_limit=limit, include=("metadata",))
        assert len(near) == len(limited(list(range(N)), k, limit))
        kinds = [metadata.get("kind") for metadata in near.metadata]
        assert max(kinds.count(kind) for kind in kinds) <= limit
    assert len(docs.search(queries[0], 20, group_by="kind")) == 8  # seven kinds, and those without


def test_groups_of_numbers(vectors: Floats, tmp_path: Path) -> None:
    """Numbers that are equal are one group, whatever their sign of zero; all NaN are another, and nulls a third."""
    values = [0.0, -0.0, float("nan"), -float("nan"), 1.5, None] * 2
    with lamina.open(tmp_path / "s.lamina", create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=lamina.Model("own", dim=DIM))
        docs.add(range(12), vectors[:12], {"x": values})
        firsts = [n for n in order(vectors[:12], vectors[0]) if n % 6 in (4, 5)]
        hits = docs.search(vectors[0], 12, group_by="x", exact=True)
        assert len(hits) == 4
        assert {n for n in found(hits) if n % 6 in (4, 5)} == {next(n for n in firsts if n % 6 == at) for at in (4, 5)}


@pytest.mark.parametrize("verb", [{"exclude": [3]}, {"group_by": "kind", "group_limit": N}, {"diversity": 0.1}, {}])
def test_more_than_there_are(docs: lamina.Collection, vectors: Floats, verb: Any) -> None:
    """A k beyond the rows gives fewer, and takes no memory for the rest."""
    verb = {name: named(docs, value) if name == "exclude" else value for name, value in verb.items()}
    most = 2**31 - 1
    assert len(docs.search(vectors[0], most, **verb)) == N - ("exclude" in verb)
    batch = docs.search(vectors[:2], most, **verb)
    assert batch.ids.shape == docs.search(vectors[:2], most).ids.shape
    assert batch.counts.tolist() == [N - ("exclude" in verb)] * 2


def test_diversity(docs: lamina.Collection, vectors: Floats, rng: np.random.Generator) -> None:
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float64)
    query = rng.standard_normal(DIM)
    query /= np.linalg.norm(query)
    for diversity in (0.0, 0.3, 0.7, 1.0):
        pool = order(vectors, query)[:24]
        chosen: list[int] = []
        while len(chosen) < 6:

            def marginal(n: int, chosen: list[int] = chosen, weight: float = diversity) -> float:
                alike = max((float(unit[n] @ unit[m]) for m in chosen), default=0.0)
                return (1 - weight) * float(unit[n] @ query) - weight * alike

            first = not chosen and diversity == 1
            chosen.append(pool[0] if first else max((n for n in pool if n not in chosen), key=marginal))
        hits = docs.search(query, 6, diversity=diversity, exact=True)
        assert sorted(found(hits)) == sorted(chosen)
    assert found(docs.search(query, 6, diversity=0, exact=True)) == order(vectors, query)[:6]
    assert len(docs.search(query, 500, diversity=0.5)) == N
    mixed = docs.search(query, 4, diversity=0.5, group_by="kind", exclude=named(docs, [1]))
    assert len(mixed) == 4


def test_likeness_of_other_metrics(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((5, 6))
    np.testing.assert_allclose(similarity(rows, "l2"), -((rows[:, None] - rows) ** 2).sum(axis=2), atol=1e-9)
    np.testing.assert_allclose(similarity(rows, "ip"), rows @ rows.T)
    bits = rng.integers(0, 2, (5, 16)).astype(np.uint8)
    differ = (bits[:, None] != bits).sum(axis=2)
    assert (similarity(np.packbits(bits, axis=1), "hamming") == -differ).all()
    assert most_diverse(np.array([3.0, 2, 1]), np.eye(3), 0.5, 9).tolist() == [0, 1, 2]


def test_columns_are_included(docs: lamina.Collection, rng: np.random.Generator) -> None:
    query = rng.standard_normal(DIM)
    wanted = [{"kind": kind} for kind in (metadata["kind"] for metadata in docs.search(query, 3).metadata)]
    for hits in (
        docs.search(query, 3, exclude=[], include="metadata.kind"),
        next(docs.search_iter(query, page=3, include="metadata.kind")),
    ):
        assert [hit.metadata for hit in hits] == wanted
    for search in (docs.search_iter, docs.search):
        with pytest.raises(ValueError, match="no metadata column 'kin'"):
            search(query, include=("metadata.kin",))  # type: ignore[operator]


@pytest.mark.parametrize("exact", [True, False])
def test_pages(docs: lamina.Collection, vectors: Floats, rng: np.random.Generator, exact: bool) -> None:
    query = rng.standard_normal(DIM)
    pages = docs.search_iter(query, page=7, exact=exact, include=("metadata",))
    first = next(pages)
    docs.delete(named(docs, range(100)))
    docs.add(named(docs, [999]), [query])
    rest = list(pages)
    assert [len(page) for page in (first, *rest)] == [7] * (N // 7) + [N % 7]
    ids = [row(id) for page in (first, *rest) for id in page.ids]
    assert sorted(ids) == list(range(N))
    assert all(len(page.metadata) == len(page) for page in rest)
    if exact:
        assert ids == order(vectors, query)
    left = list(docs.search_iter(query, page=50, exclude=named(docs, range(120)), group_by="kind", group_limit=3))
    assert sum(map(len, left)) == len(limited([999, *range(120, N)], N, 3))
    assert list(docs.search_iter(query, page=5, exclude=named(docs, [999, *range(N)]))) == []
    assert [len(page) for page in docs.search_iter(like=named(docs, [150]), page=141)] == [140]
    with pytest.raises(ValueError, match="one query"):
        docs.search_iter(np.stack([query, query]))
    with pytest.raises(ValueError, match="page"):
        docs.search_iter(query, page=0)
    with pytest.raises(ValueError, match="diversity"):
        docs.search_iter(query, diversity=0.5)


def test_to_arrow(docs: lamina.Collection, vectors: Floats, rng: np.random.Generator, tmp_path: Path) -> None:
    queries = rng.standard_normal((300, DIM)).astype(np.float32)
    np.save(tmp_path / "q.npy", queries)
    batches = list(docs.search_to_arrow(np.load(tmp_path / "q.npy", mmap_mode="r"), 5, exact=True))
    table = pa.Table.from_batches(batches)
    assert table.column("query").to_pylist() == np.repeat(np.arange(300), 5).tolist()
    wanted = [n for query in queries for n in order(vectors, query)[:5]]
    assert [row(id) for id in table.column("id").to_pylist()] == wanted
    assert len(batches) > 1
    everything = ("metadata", "content", "vectors")
    small = list(docs.search_to_arrow(queries, 5, memory=20_000, include=everything, exact=True))
    assert len(small) > 5
    assert max(batch.nbytes for batch in small) <= 20_000
    first = small[0].to_pylist()[0]
    stored = docs.get(first["id"])
    assert (first["metadata"], first["content"]) == ({"kind": None, **stored.metadata[0]}, stored.content[0])  # type: ignore[index]
    assert first["vector"] == stored.vectors[0].tolist()  # type: ignore[index]


def test_hard_negatives(docs: lamina.Collection, vectors: Floats, rng: np.random.Generator) -> None:
    queries = rng.standard_normal((150, DIM)).astype(np.float32)
    positives = [order(vectors, query)[: n % 3] for n, query in enumerate(queries)]
    exclude = [named(docs, rows) for rows in positives]
    table = docs.search_to_arrow(queries, 4, exclude=exclude, exact=True).read_all()
    wanted = [n for query, rows in zip(queries, positives, strict=True) for n in order(vectors, query)[len(rows) :][:4]]
    assert [row(id) for id in table.column("id").to_pylist()] == wanted
    none = docs.search_to_arrow(queries, 4, exclude=named(docs, range(N))).read_all()
    assert (none.num_rows, none.schema) == (0, table.schema)
    assert docs.search_to_arrow(np.empty((0, DIM)), 4).read_all().num_rows == 0
    with pytest.raises(ValueError, match="ids for 150 queries, and there are 2"):
        docs.search_to_arrow(queries[:2], 4, exclude=exclude)
    with pytest.raises(ValueError, match="several queries"):
        docs.search_to_arrow(queries[0], 4)


def test_deep_searches_of_many_queries(
    docs: lamina.Collection, vectors: Floats, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "MOST_FOUND", 500)
    queries = rng.standard_normal((40, DIM))
    hits = docs.search(queries, 5, exclude=named(docs, range(200)), exact=True)
    for query, one in zip(queries, hits, strict=True):
        assert found(one) == [n for n in order(vectors, query) if n >= 200][:5]


def test_beside_a_filter(docs: lamina.Collection, vectors: Floats, rng: np.random.Generator) -> None:
    query = rng.standard_normal(DIM)
    passing = [n for n in order(vectors, query) if n % 11 and max(n, 20) % 7 in (2, 5)]
    where = {"kind": {"$in": ["k2", "k5"]}}
    assert found(docs.search(query, 6, filter=where, exclude=named(docs, passing[:9]), exact=True)) == passing[9:15]
    assert found(docs.search(query, 6, filter=where, group_by="kind", exact=True)) == limited(passing, 6, 1)
    assert len(docs.search(query, N, filter=where, like=named(docs, [1]), diversity=0.2)) == len(passing)
    pages = list(docs.search_iter(query, page=10, filter=where, exact=True))
    assert [row(id) for page in pages for id in page.ids] == passing
    table = docs.search_to_arrow(query[None], N, filter=where, exact=True).read_all()
    assert [row(id) for id in table.column("id").to_pylist()] == passing


@pytest.mark.parametrize("verb", ["exclude", "like", "group_by", "diversity", "search_iter", "search_to_arrow"])
def test_approximate_answers_hold_a_recall(
    docs: lamina.Collection, vectors: Floats, rng: np.random.Generator, verb: str
) -> None:
    """Of what exact searches find, 0.95 at defaults."""
    options: dict[str, Any] = {
        "exclude": {"exclude": named(docs, range(0, N, 3))},
        "like": {"like": named(docs, [3, 17]), "unlike": named(docs, [40])},
        "group_by": {"group_by": "kind", "group_limit": 3},
        "diversity": {"diversity": 0.3},
    }.get(verb, {})

    def answers(queries: Any, **more: Any) -> set[tuple[int, Any]]:
        if verb == "search_to_arrow":
            rows = docs.search_to_arrow(queries, 10, **more).read_all().to_pylist()
            return {(row["query"], row["id"]) for row in rows}
        if verb == "search_iter":
            firsts = [next(docs.search_iter(query, page=10, **more)) for query in queries]
            return {(n, id) for n, hits in enumerate(firsts) for id in hits.ids.tolist()}
        hits = docs.search(queries, 10, **options, **more)
        return {(n, id) for n, one in enumerate(hits) for id in one.ids.tolist()}

    queries = rng.standard_normal((40, DIM))
    true = answers(queries, exact=True)
    assert len(true) == 400
    assert len(true & answers(queries)) >= 0.95 * len(true)


def test_no_argument_of_a_search_is_lost_beside_a_verb(
    docs: lamina.Collection, vectors: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(verbs, "search", lambda snapshot, query, k, wanted, options: given.append(options))
    docs.search(vectors[0], exclude=named(docs, [1]))
    arguments = inspect.signature(lamina.Snapshot.search).parameters.keys()
    assert given[0].keys() == arguments - {"self", "query", "k", "verbs"}
    assert arguments == inspect.signature(lamina.Collection.search).parameters.keys()


def test_what_is_refused(docs: lamina.Collection, vectors: Floats) -> None:
    query = vectors[0]
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"top_k": 3}, TypeError, "say k="),
        ({"nonsense": 3}, TypeError, "unexpected keyword argument 'nonsense'"),
        ({"group_by": "nope"}, NotFoundError, "no such metadata column"),
        ({"group_limit": 2}, ValueError, "group_by="),
        ({"group_by": "kind", "explain": True}, ValueError, "explain="),
        ({"group_by": "kind", "group_limit": 0}, ValueError, "group_limit"),
        ({"diversity": 1.5}, ValueError, "diversity"),
        ({"diversity": float("nan")}, ValueError, "diversity"),
        ({"like": []}, ValueError, "at least one"),
        ({"like": named(docs, [5000])}, NotFoundError, "an example is a record"),
        ({"like": [1.5]}, TypeError, "id"),
        ({"exclude": [1.5]}, TypeError, "id"),
        ({"exclude": [True]}, TypeError, "id"),
        ({"like": ["owed"] if docs.snapshot()._core.id_kind == "str" else [N]}, ValueError, "no vector yet"),
    ]
    for given, error, says in cases:
        with pytest.raises(error, match=says):
            docs.search(query, 3, **given)
    for wrong in ({}, {"unlike": named(docs, [1])}, {"exclude": named(docs, [1])}):
        with pytest.raises(TypeError, match="needs a query"):
            docs.search(k=3, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k is"):
        docs.search(query, 0, exclude=named(docs, [1]))
    docs.update(named(docs, [1]), metadata=[{"list": [1]}])
    with pytest.raises(TypeError, match="makes no groups"):
        docs.search(query, 3, group_by="list")


def test_text_and_models(tmp_path: Path) -> None:
    with lamina.open(tmp_path / "s", create=True) as store:
        docs = store.create_collection("docs", "hash:64")
        assert len(docs.search("cat", exclude=[3], k=2)) == 0
        docs.add(
            [1, 2, 3], content=["red cat", "red cat and dog", "blue bird"], metadata=[{"n": 1}, {"n": 1}, {"n": 2}]
        )
        assert docs.search("red cat", k=1, exclude=[1]).ids.tolist() == [2]
        assert docs.search(["red cat", "bird"], k=2, group_by="n").ids.tolist() == [[1, 3], [3, 1]]
        assert [page.ids.tolist() for page in docs.search_iter("red cat", page=2)] == [[1, 2], [3]]
        assert docs.search_to_arrow(["red cat", "bird"], 1).read_all().column("id").to_pylist() == [1, 3]
        m = docs.migrate(to=lamina.Model("hash:32"))
        m.run()
        m.cutover()
        assert docs.search(like=[1], k=1).ids.tolist() == [2]
        assert docs.search("red cat", k=1, exclude=[1]).ids.tolist() == [2]
        with pytest.raises(ModelMismatchError):
            docs.search(np.ones(32), k=1, exclude=[1])
        tagged = docs.model.tag(np.ones((2, 32)))
        assert docs.search_to_arrow(tagged, 1).read_all().num_rows == 2
