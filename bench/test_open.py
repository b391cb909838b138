"""How long it takes from a closed file to an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lamina
from bench.data import DataSet


@pytest.fixture(scope="module")
def saved(texts: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("open") / "texts.index"
    index = lamina.Index(dim=texts.base.shape[1], metric=texts.metric)
    index.add(texts.base)
    index.optimize()
    index.save(path)
    return path


@pytest.mark.parametrize("answers", [1, 100])
def test_open_to_answers(benchmark: Any, texts: DataSet, saved: Path, answers: int) -> None:
    def answer() -> list[int]:
        index = lamina.Index.open(saved)
        return [int(index.search(query, k=1, ef=64).ids[0]) for query in texts.queries[:answers]]

    right = sum(found == nearest for found, nearest in zip(answer(), texts.truth[:answers, 0], strict=True))
    assert right >= 0.95 * answers
    benchmark(answer)
