"""The benchmark's own arithmetic: a wrong ratio is worse than none.

Method: a made-up library whose recall and rate at each breadth are known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import data, gil, growth, interference, measure, peers, roofline

import lamina
from lamina import _core


class Known(peers.Peer):
    """Finds the share of all neighbours that `recall` gives for its breadth."""

    name = module = package = "known"
    flags = ""

    def __init__(self, truth: data.Ids, recall: Callable[[int], float]) -> None:
        super().__init__("l2")
        self.truth, self.recall = truth, recall

    def build(self, vectors: data.Floats, threads: int) -> None: ...
    def save(self, path: Path) -> None: ...
    def load(self, path: Path, dim: int, rows: int) -> None: ...

    def set_breadth(self, breadth: int) -> None:
        self.breadth = breadth

    def one(self, k: int) -> Callable[[data.Floats], Any]:
        return lambda query: None

    def batch(self, k: int, threads: int) -> Callable[[data.Floats], Any]:
        found = self.truth[:, :k].copy()
        flat = found.reshape(-1)
        flat[round(self.recall(self.breadth) * len(flat)) :] = -1
        return lambda queries: found


@pytest.fixture(scope="module")
def known_data() -> data.DataSet:
    rng = np.random.default_rng(3)
    base, queries = rng.random((500, 8), np.float32), rng.random((100, 8), np.float32)
    distances = ((queries[:, None] - base[None]) ** 2).sum(axis=2)
    return data.DataSet("known", "l2", base, queries, np.argsort(distances, axis=1)[:, :100])


def bench(known: data.DataSet, recall: Callable[[int], float]) -> measure.Bench:
    return measure.Bench(Known(known.truth, recall), known, k=10, threads=1)


def test_a_bracket_lies_on_either_side_and_close(known_data: data.DataSet) -> None:
    found = bench(known_data, lambda breadth: 1 - 3 / breadth).bracket(0.95)
    assert found is not None
    assert found.recall_low < 0.95 <= found.recall_high
    assert found.recall_high - found.recall_low <= measure.WIDEST_GAP
    assert not found.understated


def test_a_recall_out_of_reach_has_no_bracket(known_data: data.DataSet) -> None:
    assert bench(known_data, lambda breadth: 0.9).bracket(0.95) is None


def test_a_recall_jumped_over_has_no_bracket(known_data: data.DataSet) -> None:
    assert bench(known_data, lambda breadth: 0.9 if breadth < 50 else 0.99).bracket(0.95) is None


def test_more_than_was_asked_at_the_least_breadth_is_said(known_data: data.DataSet) -> None:
    found = bench(known_data, lambda breadth: 0.98).bracket(0.95)
    assert found is not None
    assert found.understated


def test_interpolation_is_straight_in_logarithms() -> None:
    def rate(recall: float) -> float:
        return 7000.0 * float((1 - recall) ** 0.6)

    at = measure.interpolate(0.95, (0.94, rate(0.94)), (0.96, rate(0.96)), 1e-4)
    assert at == pytest.approx(rate(0.95))


def test_growth_is_the_exponent_of_a_power_law() -> None:
    rows = [100, 1000, 30_000]
    assert growth.exponent(rows, [3.0 * n**1.5 for n in rows]) == pytest.approx(1.5)
    assert growth.exponent(rows, [7.0] * 3) == pytest.approx(0.0, abs=1e-12)


def test_a_ratio_is_the_median_of_the_pairs() -> None:
    first, second = iter([2.0, 9.0, 4.0]), iter([1.0, 3.0, 2.0])
    summary, one, other = measure.paired(lambda: next(first), lambda: next(second), 3)
    assert (summary.median, one, other) == (2.0, 4.0, 2.0)
    assert summary.low == pytest.approx(2.0)
    assert summary.high > 2.0


def test_a_row_as_near_as_the_kth_counts() -> None:
    base = np.zeros((12, 2), np.float32)
    base[10:] = 5
    known = data.DataSet("ties", "l2", base, np.zeros((1, 2), np.float32), np.arange(12)[None])
    assert known.recall(np.arange(5, 10)[None], 5) == 1.0
    assert known.recall(np.array([[0, 1, 2, 3, 10]]), 5) == 0.8


@pytest.mark.parametrize("answer", [[0, 1, 1], [0, 1, 99]])
def test_an_answer_that_is_no_set_of_rows_is_refused(answer: list[int]) -> None:
    known = data.DataSet("few", "l2", np.eye(4, dtype=np.float32), np.zeros((1, 4), np.float32), np.arange(4)[None])
    with pytest.raises(ValueError, match="not a set of rows"):
        known.recall(np.array([answer]), 3)


def test_the_share_of_the_limit_is_what_the_lines_take_at_the_least(tmp_path: Path) -> None:
    gather = tmp_path / "gather"
    gather.write_text('#!/bin/sh\ntest "$*" = "1 2" && echo 0.5\n')  # megabytes, and the lines of a row
    gather.chmod(0o755)
    rows = np.random.default_rng(4).random((3000, 24), np.float32)
    nearest = np.argsort(((rows[:50, None] - rows[None]) ** 2).sum(axis=2))[:, :100]
    index = lamina.Index(dim=24, metric="l2", m=roofline.M, quantize=None)
    index.add(rows)
    index.optimize()
    found = roofline.measure(data.DataSet("own", "l2", rows, rows[:50], nearest), 0.9, index, gather, seconds=0.01)
    assert found.recall >= 0.85
    assert 10 <= found.rows < len(rows)
    assert 2 * found.rows < found.lines < 4 * found.rows  # two lines a row, and two for the links of those expanded
    assert found.text("own").split("|")[7].strip() == f"{found.lines / 0.5 / 1000:.1f}"


def test_interference_is_measured_in_processes_and_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data, "CACHE", tmp_path)
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    for more in ([], ["--threads"], ["--load", "migrate"]):
        was = os.sched_getaffinity(0)
        interference.main(["synthetic:1000:16", "--seconds", "0.2", "--rounds", "1", *more])
        os.sched_setaffinity(0, was)
        found = json.loads(capsys.readouterr().out)
        assert all(found[kind]["searches"] > 0 and found[kind]["p99_us"] > 0 for kind in interference.WINDOWS)
        ratio = found["loaded"]["p99_us"] / found["control"]["p99_us"]
        assert found["p99 loaded / control"]["median"] == pytest.approx(ratio)


@pytest.mark.skipif(not hasattr(_core, "testing_gil_hold"), reason="needs a test build on Linux")
def test_each_call_is_measured_while_it_holds_the_gil(capsys: pytest.CaptureFixture[str]) -> None:
    assert gil.main(["--dim", "16", "--rows", "500", "--repeats", "3"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("µs held")
    assert len(lines) > 20
    for line in lines:
        least, median, high, alone = map(int, line.split()[-4:])
        assert 0 < least <= median <= high
        assert alone > 0


@pytest.mark.skipif(not hasattr(_core, "testing_gil_hold"), reason="needs a test build on Linux")
def test_a_function_holds_the_gil_for_less_than_the_call_around_it() -> None:
    numbers = list(range(100_000))

    def call() -> int:
        return sum(numbers) + sum([number * number for number in numbers])

    assert 0 < gil.longest_function(call) < gil.longest_hold(call)
