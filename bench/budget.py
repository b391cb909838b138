"""What a budget of memory costs a search, and whether it is kept.

    python -m bench.budget                            # a synthetic set
    LAMINA_BENCH_DATA=folder python -m bench.budget docs_v2 --share 0.45

Memory is that of a fresh process, from before it opens the store to the peak of 20,000 queries at recall 0.95.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import lamina
from bench.aged import RECALL, K, Line, bench, collection, copy_store, fill, rate_ratio, table
from bench.data import DataSet, Floats, load
from bench.worker import QUERIES_FOR_MEMORY, status

ENOUGH = 0.7  # of the rate without a budget
KEPT = 1.05  # times the budget, at most


def grown(path: Path, memory: int | None, queries: Floats, breadth: int) -> int:
    """Bytes that this process grew by (Linux), once the code that runs is there."""
    with lamina.open(path, read_only=True) as store:
        store.get_collection("bench").search(queries[0], k=K)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = status("VmRSS")
    with lamina.open(path, read_only=True, memory=memory) as store:
        docs = store.get_collection("bench")
        for number in range(QUERIES_FOR_MEMORY):
            docs.search(queries[number % len(queries)], k=K, ef=breadth)
    return (status("VmHWM") - before) * 1024


def in_fresh_process(*arguments: Any) -> int:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as one:
        return one.submit(grown, *arguments).result()


def measure(data: DataSet, folder: Path, share: float, pairs: int, seconds: float) -> list[Line]:
    """ValueError where recall 0.95 is out of reach."""
    budget = int(share * data.base.nbytes)
    free, bounded = folder / "free.lamina", folder / "bounded.lamina"
    store, docs = collection(free, data)
    with store:
        fill(docs, data, np.arange(len(data.base)))
        docs.optimize()
    copy_store(free, bounded)
    with lamina.open(free, read_only=True) as one, lamina.open(bounded, read_only=True, memory=budget) as other:
        sides = [bench(opened.get_collection("bench"), data) for opened in (one, other)]
        bracket = sides[0].bracket(RECALL)
        if bracket is None:
            raise ValueError(f"no recall of {RECALL}")
        ratio = rate_ratio(sides[1], sides[0], pairs, seconds)
    took = {memory: in_fresh_process(free, memory, data.queries, bracket.high) for memory in (None, budget)}
    raw = data.base.nbytes
    return [
        ("queries per second at recall 0.95, without a budget = 1", ratio.text(), f"{ENOUGH}", ratio.median >= ENOUGH),
        ("memory without a budget, raw vectors = 1", f"{took[None] / raw:.2f}", "", None),
        (f"memory, budget of {share} = 1", f"{took[budget] / budget:.3f}", f"{KEPT}", took[budget] <= KEPT * budget),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="synthetic:20000:384")
    parser.add_argument("--share", type=float, default=0.45, help="of the raw vectors")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as folder:
        lines = measure(load(options.data), Path(folder), options.share, options.pairs, options.seconds)
    print("\n".join(table(f"budget, {options.data}", lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
