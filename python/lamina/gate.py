"""What a new generation must show before it is served: answers to golden queries, and a graph that finds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lamina import _core
    from lamina.models import Model

__all__ = ["Evaluation", "Gate"]

Relevant = Mapping[Any, float] | Sequence[Any] | None
WORST_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Gate:
    """Golden queries, and what the new model must reach on them.

    Args:
        golden: pairs `(query, relevant)`. A query is a text; `relevant` is a list of ids, a mapping from id to a grade
            above 0 (a list counts 1 each), or None: the old model's own `k` nearest.
        k: how many hits count.
        min_recall: of the relevant ids, the share among the k hits.
        min_ndcg, min_mrr: discounted gain, by grade; the reciprocal rank of the first relevant hit.
        min_overlap: share of the old model's k hits that the new one has too.
        max_regression: by how much the recall of any one query may be below that which the old model had.
        min_ann_recall: share of the exact k nearest that the graph of the new generation finds.
        min_bridge_recall: of a bridge (`serve="bridge"`): the share of the new model's neighbours that it must find.

    All are means over the queries, but for `max_regression`. None: not asked for.
    """

    golden: Sequence[tuple[str, Relevant]] = ()
    k: int = 10
    min_recall: float | None = None
    min_ndcg: float | None = None
    min_mrr: float | None = None
    min_overlap: float | None = None
    max_regression: float | None = None
    min_ann_recall: float | None = 0.9
    min_bridge_recall: float = 0.9

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k is at least 1, not {self.k}")
        for query, _ in self.golden:
            if not isinstance(query, str):
                raise TypeError(f"a golden query is a text, not {query!r}")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What golden queries showed. Numbers are means over the queries; None where there are no queries."""

    queries: int
    coverage: float  # share of the records whose new vector is there, and of their text
    recall: float | None
    ndcg: float | None
    mrr: float | None
    old_recall: float | None  # the same of the old model
    old_ndcg: float | None
    old_mrr: float | None
    overlap: float | None
    ann_recall: float | None
    worst: tuple[tuple[str, float, float], ...]  # (query, old recall, new recall), the worst regressions first
    refusals: tuple[str, ...]  # what the gate asked for, and was not reached

    @property
    def ok(self) -> bool:
        return not self.refusals

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "ok": self.ok}

    def __str__(self) -> str:
        if not self.queries:
            return f"coverage {self.coverage:.1%}, no golden queries" + "".join(f"; {why}" for why in self.refusals)
        numbers = (
            f"recall {self.recall:.3f} (old {self.old_recall:.3f}), nDCG {self.ndcg:.3f} (old {self.old_ndcg:.3f}), "
            f"MRR {self.mrr:.3f} (old {self.old_mrr:.3f}), overlap {self.overlap:.3f}, ANN recall {self.ann_recall:.3f}"
        )
        said = "passed" if self.ok else "refused: " + "; ".join(self.refusals)
        return f"{self.queries} queries, coverage {self.coverage:.1%}: {numbers}; {said}"


@dataclasses.dataclass
class Answers:
    """The ids that each query found, nearest first."""

    ids: list[list[Any]]

    @classmethod
    def of(cls, core: _core.Snapshot, queries: NDArray[Any], k: int, exact: bool) -> Answers:
        found: Any = core.search(queries, k, None, None, exact, None, core.fingerprint)
        ids, _, counts, _ = found
        return cls([row[:count].tolist() for row, count in zip(ids, counts, strict=True)])


def evaluate(
    gate: Gate, old: Model, new: Model, core: _core.Snapshot, generation: _core.Snapshot, coverage: float
) -> Evaluation:
    """Compares the new generation with the served one. ValueError if a model has no embedder for the queries."""
    refusals = [] if coverage == 1 else [f"coverage is {coverage:.4f}, and has to be 1"]
    if not gate.golden:
        none = (None,) * 8
        return Evaluation(0, coverage, *none, worst=(), refusals=tuple(refusals))
    texts = [query for query, _ in gate.golden]
    k = gate.k
    before = Answers.of(core, old.embed_query(texts), k, True).ids
    vectors = new.embed_query(texts)
    exact = Answers.of(generation, vectors, k, True).ids
    graph = Answers.of(generation, vectors, k, False).ids
    grades = [_grades(relevant, ids) for (_, relevant), ids in zip(gate.golden, before, strict=True)]
    after_recall = [_recall(ids, wanted, k) for ids, wanted in zip(graph, grades, strict=True)]
    before_recall = [_recall(ids, wanted, k) for ids, wanted in zip(before, grades, strict=True)]
    lost = sorted(zip(texts, before_recall, after_recall, strict=True), key=lambda one: one[2] - one[1])
    numbers = {
        "recall": _mean(after_recall),
        "ndcg": _mean([_ndcg(ids, wanted, k) for ids, wanted in zip(graph, grades, strict=True)]),
        "mrr": _mean([_reciprocal(ids, wanted) for ids, wanted in zip(graph, grades, strict=True)]),
        "overlap": _mean([_share(ids, others) for ids, others in zip(graph, before, strict=True)]),
        "ann_recall": _mean([_share(ids, others) for ids, others in zip(graph, exact, strict=True)]),
    }
    for name, value in numbers.items():
        wanted = getattr(gate, f"min_{name}")
        if wanted is not None and value < wanted:
            refusals.append(f"{name} is {value:.3f}, and has to be at least {wanted:g}")
    regression = lost[0][1] - lost[0][2]
    if gate.max_regression is not None and regression > gate.max_regression:
        refusals.append(f"{lost[0][0]!r} lost {regression:.3f} of its recall, and may lose {gate.max_regression:g}")
    return Evaluation(
        len(texts),
        coverage,
        **numbers,
        old_recall=_mean(before_recall),
        old_ndcg=_mean([_ndcg(ids, wanted, k) for ids, wanted in zip(before, grades, strict=True)]),
        old_mrr=_mean([_reciprocal(ids, wanted) for ids, wanted in zip(before, grades, strict=True)]),
        worst=tuple(one for one in lost[:WORST_SHOWN] if one[2] < one[1]),
        refusals=tuple(refusals),
    )


def _grades(relevant: Relevant, neighbours: list[Any]) -> dict[Any, float]:
    if relevant is None:
        return dict.fromkeys(neighbours, 1.0)
    if isinstance(relevant, Mapping):
        return {id: float(grade) for id, grade in relevant.items() if grade > 0}
    return dict.fromkeys(relevant, 1.0)


def _recall(ids: list[Any], wanted: dict[Any, float], k: int) -> float:
    return sum(id in wanted for id in ids) / min(len(wanted), k) if wanted else 1.0


def _ndcg(ids: list[Any], wanted: dict[Any, float], k: int) -> float:
    gained = sum(wanted.get(id, 0.0) / np.log2(rank + 2) for rank, id in enumerate(ids))
    best = sum(grade / np.log2(rank + 2) for rank, grade in enumerate(sorted(wanted.values(), reverse=True)[:k]))
    return float(gained / best) if best else 1.0


def _reciprocal(ids: list[Any], wanted: dict[Any, float]) -> float:
    return next((1 / (rank + 1) for rank, id in enumerate(ids) if id in wanted), 0.0 if wanted else 1.0)


def _share(ids: list[Any], others: list[Any]) -> float:
    return len(set(ids) & set(others)) / len(others) if others else 1.0


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
