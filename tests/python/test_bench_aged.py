"""The benchmarks of collections that change: their plan keeps its books, and their tables come out in a small size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench import aged, data, refresh_cost, turnover


@pytest.mark.parametrize("in_place", [False, True])
def test_the_plan_leads_where_it_says(in_place: bool) -> None:
    first, rounds, live, rows = aged.changes(1000, 400, 80, 5, in_place)
    there = dict(enumerate(first.tolist()))
    for change in (change for planned in rounds for change in planned):
        for id in change.gone.tolist():
            del there[id]
        assert not there.keys() & set(change.came.tolist())
        there.update(zip(change.came.tolist(), change.rows.tolist(), strict=True))
        assert len(set(there.values())) == 400  # no row of the data twice
    assert there == dict(zip(live.tolist(), rows[live].tolist(), strict=True))
    assert sorted(set(first.tolist()) - set(there.values()))
    assert (max(there) < 400) == in_place


def test_recall_is_of_the_rows_behind_the_ids() -> None:
    base = np.eye(6, dtype=np.float32)
    known = data.DataSet("known", "l2", base, base[:1], np.arange(6)[None])
    rows = np.array([5, 4, 3, 2, 1, 0])
    live = np.array([1, 3, 5])
    found = aged.Aged(known.name, known.metric, known.base, known.queries, rows[live][None, ::-1], rows)
    assert found.recall(np.array([[5, -1]]), 1) == 1.0
    assert found.recall(np.array([[0, -1]]), 1) == 0.0


@pytest.mark.slow
def test_the_tables_come_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data, "CACHE", tmp_path)
    monkeypatch.setattr(refresh_cost, "REFRESHES", 2)
    for module in (aged, refresh_cost):
        monkeypatch.setattr(module, "BATCH", 100)
    quick = ["--pairs", "1", "--seconds", "0.02"]
    assert turnover.main(["synthetic:1500:16", "--rounds", "2", *quick]) == 0
    assert refresh_cost.main(["synthetic:1500:16:l2", *quick]) == 0
    said = capsys.readouterr().out
    for line in ("findable", "disk after cleanup", "CPU time of a refresh", "2 refreshes: bytes written"):
        assert line in said
