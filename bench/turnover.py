"""What it does to a collection, and what it costs, to give up a fifth of its rows for others ten times over.

One run deletes random rows and adds as many under new ids, another gives random ids other vectors in place; neither
optimizes. What is left is compared with a fresh build of the same rows. Half of the data live and the other half waits
to come, so that no row is made up. hnswlib replaces deleted rows beside it.

    python -m bench.turnover                            # a synthetic set
    LAMINA_BENCH_DATA=folder python -m bench.turnover docs_v2
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bench.aged import (
    RECALL,
    Aged,
    K,
    Line,
    bench,
    bytes_of,
    changes,
    collection,
    cpu_seconds,
    fill,
    found,
    rate_ratio,
    rest,
    table,
    write,
)
from bench.data import DataSet, load
from bench.measure import Bench
from bench.peers import EF_CONSTRUCTION, Hnswlib, M

BREADTHS = (32, 100)
WIDE = 1000  # so broad a walk passes nearly all that can be reached
SHARE = 0.2


def loss(aged: Bench, fresh: Bench) -> tuple[str, float]:
    """Recall at the same breadths, and the greatest loss."""
    pairs = [(fresh.recall(breadth), aged.recall(breadth)) for breadth in BREADTHS]
    said = ", ".join(f"{after:.4f} (fresh {before:.4f})" for before, after in pairs)
    return said, max(before - after for before, after in pairs)


def lamina_lines(folder: Path, data: DataSet, rounds: int, in_place: bool, pairs: int, seconds: float) -> list[Line]:
    live = len(data.base) // 2
    first, planned, ids, rows = changes(len(data.base), live, int(live * SHARE), rounds, in_place)
    fresh_data = Aged.of(data, np.arange(live), rows[ids])
    aged_data = Aged.of(data, ids, rows)
    fresh_store, fresh_docs = collection(folder / "fresh", data)
    store, docs = collection(folder / "aged", data)
    with fresh_store, store:

        def build() -> None:
            fill(fresh_docs, data, rows[ids])
            fresh_docs.optimize()
            rest(fresh_store)

        built = cpu_seconds(build)
        fill(docs, data, first)
        docs.optimize()
        rest(store)

        def turn_over() -> None:
            for change in itertools.chain.from_iterable(planned):
                write(store, docs, data, change)

        spent = cpu_seconds(turn_over)
        for one in (fresh_docs, docs):
            one.cleanup(timedelta(0))
        disk = bytes_of(folder / "aged") / bytes_of(folder / "fresh")

        fresh, aged = bench(fresh_docs, fresh_data), bench(docs, aged_data)
        recalls, lost = loss(aged, fresh)
        ratio = rate_ratio(aged, fresh, pairs, seconds)
        there = found(lambda queries: docs.search(queries, k=K).ids, aged_data, ids)
        missed = ids[~there]
        wide = found(lambda queries: docs.search(queries, k=K, ef=WIDE).ids, aged_data, missed)
        stats = store.stats()["collections"]["bench"]
        state = ", ".join(str(stats[kind]) for kind in ("vector_segments", "head_vectors", "dead_vectors"))

        docs.optimize()
        rest(store)
        optimized = rate_ratio(bench(docs, aged_data), fresh, pairs, seconds)
    return [
        (f"recall@{K} at ef {BREADTHS}", recalls, "at most 0.005 less", lost <= 0.005),
        (f"queries/s at recall {RECALL}, fresh = 1", ratio.text(), "≥ 0.85", ratio.median >= 0.85),
        ("the same after `optimize()`", optimized.text(), "≥ 0.95", optimized.median >= 0.95),
        ("CPU time of all writes and maintenance, fresh build = 1", f"{spent / built:.2f}", "≤ 4", spent <= 4 * built),
        ("CPU time of the fresh build", f"{built:.1f} s", "", None),
        ("findable", f"{there.mean():.5f}", "≥ 0.999", there.mean() >= 0.999),
        (f"of those missed, reached by a walk of {WIDE}", f"{wide.sum()} of {len(missed)}", "all", bool(wide.all())),
        ("disk after cleanup, fresh = 1", f"{disk:.2f}", "≤ 1.5", disk <= 1.5),
        ("vector segments, rows in the head, dead rows", state, "", None),
    ]


def with_index(index: Any, metric: str) -> Hnswlib:
    peer = Hnswlib(metric)
    peer.index = index
    return peer


def hnswlib_lines(data: DataSet, rounds: int, pairs: int, seconds: float) -> list[Line]:
    import hnswlib

    live = len(data.base) // 2
    first, planned, ids, rows = changes(len(data.base), live, int(live * SHARE), rounds, in_place=False)

    def new() -> Any:
        index = hnswlib.Index(space=data.metric, dim=data.base.shape[1])
        index.init_index(live, ef_construction=EF_CONSTRUCTION, M=M, allow_replace_deleted=True)
        index.set_num_threads(1)
        return index

    def replace(index: Any) -> None:
        for change in itertools.chain.from_iterable(planned):
            for id in change.gone:
                index.mark_deleted(id)
            index.add_items(data.base[change.rows], change.came, replace_deleted=True)

    fresh_index, index = new(), new()
    built = cpu_seconds(lambda: fresh_index.add_items(data.base[rows[ids]], np.arange(live)))
    index.add_items(data.base[first], np.arange(live))
    spent = cpu_seconds(lambda: replace(index))
    aged_data = Aged.of(data, ids, rows)
    fresh = Bench(with_index(fresh_index, data.metric), Aged.of(data, np.arange(live), rows[ids]), K, threads=1)
    aged = Bench(with_index(index, data.metric), aged_data, K, threads=1)
    recalls, _ = loss(aged, fresh)
    ratio = rate_ratio(aged, fresh, pairs, seconds)
    bracket = fresh.bracket(RECALL)
    assert bracket is not None
    index.set_ef(bracket.high)
    there = found(aged.peer.batch(K, 1), aged_data, ids)
    return [
        (f"recall@{K} at ef {BREADTHS}", recalls, "", None),
        (f"queries/s at recall {RECALL}, fresh = 1", ratio.text(), "", None),
        ("CPU time of all writes, fresh build = 1", f"{spent / built:.2f}", "", None),
        (f"findable at ef {bracket.high}, where the fresh one has that recall", f"{there.mean():.5f}", "", None),
    ]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.turnover", description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", default="synthetic:50000:384", help="as bench.compare takes it")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each half of a pair")
    chosen = parser.parse_args(arguments)
    data = load(chosen.data)
    for name, in_place in {"deleted and added": False, "updated in place": True}.items():
        with tempfile.TemporaryDirectory(prefix="lamina-turnover-") as folder:
            lines = lamina_lines(Path(folder), data, chosen.rounds, in_place, chosen.pairs, chosen.seconds)
        print(*table(f"lamina, {data.name}, {name}", lines), "", sep="\n", flush=True)
    if Hnswlib.supports(data.metric):
        lines = hnswlib_lines(data, chosen.rounds, chosen.pairs, chosen.seconds)
        print(*table(f"hnswlib, {data.name}, `replace_deleted`", lines), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
