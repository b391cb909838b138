"""How long it takes from the first row handed over to the state that is then searched."""

from __future__ import annotations

from typing import Any

import lamina
from bench.data import DataSet

ROWS = 5_000


def test_build(benchmark: Any, texts: DataSet) -> None:
    rows = texts.base[:ROWS]

    def build() -> lamina.Index:
        index = lamina.Index(dim=rows.shape[1], metric=texts.metric)
        index.add(rows)
        index.optimize()
        return index

    index = build()
    own = index.search(rows[:200], k=1, ef=64)
    assert (own.ids[:, 0] == range(200)).mean() >= 0.99, "a row finds itself"
    benchmark.pedantic(build, rounds=3)


def test_add_one_by_one(benchmark: Any, texts: DataSet) -> None:
    index = lamina.Index(dim=texts.base.shape[1], metric=texts.metric)
    index.add(texts.base[:ROWS])
    fresh = iter(texts.base[ROWS:])

    def add() -> None:
        index.add(next(fresh)[None])

    benchmark.pedantic(add, rounds=500)
    assert len(index) > ROWS
    assert index.search(texts.base[ROWS], k=1, ef=64).ids[0] == ROWS
