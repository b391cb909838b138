"""Gates and bridges: what a new model must show before, and what serves while, it is being migrated to.

Method: two linear models of one text space, of which the truth can be computed; numbers are compared with exact search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lamina
from lamina import Collection, Gate, MigrationStateError, Model, ModelMismatchError
from lamina.bridge import BridgeReport, fit
from lamina.gate import Answers

WORDS, DIM = 400, 24
HIDDEN = np.random.default_rng(1).standard_normal((WORDS, DIM))


class Linear:
    """The vector of text "n" is row n of the hidden matrix, turned, and with noise of its own."""

    def __init__(self, seed: int, dim: int, noise: float) -> None:
        rng = np.random.default_rng(seed)
        turn = np.linalg.qr(rng.standard_normal((max(dim, DIM), max(dim, DIM))))[0][:DIM, :dim]
        self.rows = (HIDDEN @ turn + noise * rng.standard_normal((WORDS, dim))).astype(np.float32)

    def __call__(self, texts: Sequence[str]) -> NDArray[Any]:
        return np.stack([self.rows[int(text) if text.isdigit() else len(text) % WORDS] for text in texts])


@pytest.fixture
def docs(tmp_path: Path) -> Any:
    with lamina.open(tmp_path / "kb", create=True, maintenance="manual") as store:
        made = store.create_collection("docs", model=Model("old", dim=DIM, embed=Linear(2, DIM, 0.0)))
        made.upsert(range(WORDS), content=[str(n) for n in range(WORDS)])
        yield made


def migrated(docs: Collection, noise: float, gate: Gate | None = None, dim: int = DIM, serve: str = "old") -> Any:
    m = docs.migrate(to=Model("new", dim=dim, embed=Linear(3, dim, noise)), gate=gate, serve=serve)
    m.run()
    return m


def test_an_evaluation_counts_what_exact_search_counts(docs: Collection) -> None:
    golden = [(str(n), {n: 2.0, n + 1: 1.0}) for n in range(20)]
    m = migrated(docs, 0.0, Gate(golden, k=5))
    found = m.evaluate()
    assert found.ok
    assert (found.queries, found.coverage) == (20, 1.0)
    core = docs.snapshot()._core
    hits = Answers.of(core.other(), m.model.embed_query([str(n) for n in range(20)]), 5, True).ids
    assert found.recall == pytest.approx(np.mean([len({n, n + 1} & set(ids)) / 2 for n, ids in enumerate(hits)]))
    assert found.mrr == pytest.approx(1.0)  # each text finds itself
    assert found.overlap == pytest.approx(1.0)  # the same space, turned
    assert found.worst == ()
    graded = [{n: 2.0, n + 1: 1.0} for n in range(20)]
    gains = [
        sum(grade.get(id, 0) / np.log2(rank + 2) for rank, id in enumerate(ids))
        for grade, ids in zip(graded, hits, strict=True)
    ]
    assert found.ndcg == pytest.approx(np.mean(gains) / (2 + 1 / np.log2(3)))


def test_a_gate_refuses_a_worse_model_and_force_is_recorded(docs: Collection) -> None:
    gate = Gate([(str(n), None) for n in range(20)], min_recall=0.9, max_regression=0.2)
    m = migrated(docs, 5.0, gate)
    found = m.evaluate()
    assert not found.ok
    assert found.old_recall == 1.0
    assert found.worst[0][2] < found.worst[0][1]
    with pytest.raises(MigrationStateError, match=r"recall is .* at least 0\.9"):
        m.cutover()
    assert docs.model.name == "old"
    m.cutover(force=True)
    assert "recall" in m.status().events[-1].note
    assert docs.model.name == "new"


def test_a_gate_does_not_stand_in_for_what_is_missing(docs: Collection) -> None:
    m = migrated(docs, 0.0, Gate([("1", [1])]))
    docs.upsert([1], content=["2"])
    assert any("coverage" in why for why in m.evaluate().refusals)
    with pytest.raises(MigrationStateError, match="owed"):
        m.cutover(force=True)


def test_gates_that_cannot_be_are_refused() -> None:
    with pytest.raises(TypeError, match="text"):
        Gate([([0.5], [1])])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="k is"):
        Gate(k=0)


@pytest.mark.parametrize("dim", [DIM, 16, 40])
def test_a_bridge_answers_queries_of_the_new_model(docs: Collection, dim: int) -> None:
    noise = 0.02 if dim >= DIM else 0.0
    m = migrated(docs, noise, Gate(min_bridge_recall=0.5), dim, serve="bridge")
    query = m.model.tag(m.model.embed(["7"])[0])
    assert docs.search(query, k=1).ids[0] == 7
    assert docs.search("7", k=1, model=m.model).ids[0] == 7
    assert docs.search(m.model.embed(["7", "9"]), k=1, model=m.model).ids[:, 0].tolist() == [7, 9]
    report = m.status().bridge
    assert isinstance(report, BridgeReport)
    assert report.recall > (report.unbridged or 0.1) + 0.3
    with pytest.raises(ModelMismatchError):
        docs.search(Model("third", dim=dim).tag(np.asarray(query)))
    m.cutover()
    assert docs.search(query, k=1).ids[0] == 7


def test_a_bridge_that_does_not_hold_is_refused(docs: Collection) -> None:
    m = migrated(docs, 20.0, serve="bridge")
    query = m.model.tag(m.model.embed(["7"])[0])
    with pytest.raises(ModelMismatchError, match=r"finds 0\.\d+ of the neighbours"):
        docs.search(query)
    assert m.status().bridge.recall < 0.5
    docs.migrate()  # without a bridge
    with pytest.raises(ModelMismatchError, match="another model"):
        docs.search(query)


def test_a_bridge_needs_pairs(docs: Collection) -> None:
    m = docs.migrate(to=Model("new", dim=DIM, embed=Linear(3, DIM, 0.0)), serve="bridge")
    m.run(budget=lamina.Budget(tokens=5), batch_size=8, concurrency=1)
    with pytest.raises(ModelMismatchError, match="run"):
        docs.search(m.model.tag(m.model.embed(["7"])[0]))


def test_the_map_is_chosen_on_pairs_that_it_was_not_fitted_on(rng: np.random.Generator) -> None:
    x = rng.standard_normal((600, 8))
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    model = Model("m", dim=8, metric="l2")
    (off, matrix, on), report = fit(x, x @ turn + 3, model, model)
    np.testing.assert_allclose((x - off) @ matrix + on, x @ turn + 3, atol=0.05)
    assert (report.held_out, report.pairs) == (120, 480)
    assert report.recall > 0.95
    assert report.unbridged is not None
    assert report.unbridged < 0.5
