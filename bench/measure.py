"""How a ratio is measured: A B A B in one process on one core, at equal recall, the median of the pair ratios.

Queries per second at a recall lie between two swept breadths at most 0.02 of recall apart, found by interpolating
log QPS over log(1 - recall); nothing is extrapolated. Where the least breadth of a library already finds more than
was asked, its own rate there stands in: that can only understate it, and the result says so.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.data import DataSet
from bench.peers import Peer

WIDEST_GAP = 0.02
GREATEST_BREADTH = 4096


@dataclass(frozen=True)
class Summary:
    """The median of some ratios, and the range from the 10th to the 90th in a hundred."""

    median: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: list[float]) -> Summary:
        low, median, high = np.percentile(values, [10, 50, 90])
        return Summary(float(median), float(low), float(high), len(values))

    def text(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Bracket:
    """Two breadths on either side of a recall; the same one twice where the least breadth is already past it."""

    low: int
    high: int
    recall_low: float
    recall_high: float

    @property
    def understated(self) -> bool:
        return self.low == self.high


class Bench:
    """One library, loaded, with the data that it is asked about. Recall at a breadth is measured once."""

    def __init__(self, peer: Peer, data: DataSet, k: int, threads: int) -> None:
        self.peer, self.data, self.k, self.threads = peer, data, k, threads
        self.prepared = [peer.prepare(query) for query in data.queries]
        self.recalls: dict[int, float] = {}

    def recall(self, breadth: int) -> float:
        if breadth not in self.recalls:
            self.peer.set_breadth(breadth)
            answers = self.peer.batch(self.k, self.threads)(self.data.queries)
            self.recalls[breadth] = self.data.recall(answers, self.k)
        return self.recalls[breadth]

    def bracket(self, target: float) -> Bracket | None:
        """The narrowest pair of breadths around `target`; None where it is out of reach or jumped over."""
        low, high = self.k, self.k
        if self.recall(low) >= target:
            return Bracket(low, low, self.recall(low), self.recall(low))
        while self.recall(high) < target:
            low, high = high, high * 2
            if high > GREATEST_BREADTH:
                return None
        while high - low > 1 and self.recall(high) - self.recall(low) > WIDEST_GAP / 4:
            middle = (low + high) // 2
            low, high = (middle, high) if self.recall(middle) < target else (low, middle)
        if self.recall(high) - self.recall(low) > WIDEST_GAP:
            return None
        return Bracket(low, high, self.recall(low), self.recall(high))

    def rate(self, breadth: int, seconds: float, batched: bool) -> float:
        """Queries per second over at least `seconds`."""
        self.peer.set_breadth(breadth)
        if batched:
            search_all = self.peer.batch(self.k, self.threads)
            return repeat(lambda: search_all(self.data.queries), seconds) * len(self.data.queries)
        search = self.peer.one(self.k)
        return repeat(lambda: [search(query) for query in self.prepared], seconds) * len(self.prepared)

    def rate_at(self, target: float, bracket: Bracket, seconds: float, batched: bool) -> float:
        if bracket.understated:
            return self.rate(bracket.low, seconds, batched)
        slow = self.rate(bracket.high, seconds / 2, batched)
        fast = self.rate(bracket.low, seconds / 2, batched)
        return interpolate(target, (bracket.recall_low, fast), (bracket.recall_high, slow), self.resolution)

    @property
    def resolution(self) -> float:
        """Half of the least miss that this many queries can show: stands for 1 - recall where nothing was missed."""
        return 0.5 / (len(self.data.queries) * self.k)


def repeat(call: Callable[[], Any], seconds: float) -> float:
    """Calls per second."""
    done, began = 0, time.perf_counter()
    while True:
        call()
        done += 1
        used = time.perf_counter() - began
        if used >= seconds:
            return done / used


def interpolate(target: float, low: tuple[float, float], high: tuple[float, float], resolution: float) -> float:
    """The rate at `target` on the line from (recall, rate) `low` to `high`, log rate over log(1 - recall).

    REQUIRES: low[0] <= target <= high[0].
    """
    start, end, at = (math.log(max(1.0 - recall, resolution)) for recall in (low[0], high[0], target))
    if start == end:
        return high[1]
    share = (at - start) / (end - start)
    return math.exp(math.log(low[1]) + share * (math.log(high[1]) - math.log(low[1])))


def paired(first: Callable[[], float], second: Callable[[], float], pairs: int) -> tuple[Summary, float, float]:
    """first() / second() over A B A B …: the summary of the ratios, and the median of each."""
    one, other = [], []
    for _ in range(pairs):
        one.append(first())
        other.append(second())
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    return Summary.of(ratios), float(np.median(one)), float(np.median(other))


def available_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@contextmanager
def on_one_core() -> Iterator[None]:
    """All threads of the process stay on the last of its cores; elsewhere than on Linux, where they like."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    _stay_on({max(before)})
    try:
        yield
    finally:
        _stay_on(before)


def _stay_on(cores: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread), cores)
