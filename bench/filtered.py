"""Searches that may return some of the rows only: beside faiss, hnswlib and LanceDB, on one core.

A cell is a share of the rows that pass, and how they lie to the queries: anywhere; near (the rows nearest to an
anchor, asked by the queries nearest to it), or far (the same rows, asked by those farthest from it). Where `docs.jsonl`
lies beside the data its `source` is a column too. lamina searches as it does by itself; each other library at the least
breadth at which it finds as much, or by a scan where it has one that is sooner done; where it never finds as much, at
the broadest, marked with ≥. LanceDB is told the filters beforehand, as columns with a bitmap index each.

    python -m bench.filtered                                 # a synthetic set
    LAMINA_BENCH_DATA=folder python -m bench.filtered docs_v2
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.data import DataSet, Floats, Ids, load
from bench.measure import on_one_core, paired, repeat
from bench.peers import EF_CONSTRUCTION, Faiss, Hnswlib, Lamina, M

K = 10
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
ANCHORS = 3
ASKED = 40  # queries a cell and anchor
SCAN = 0  # in place of a breadth: all rows are looked at

Search = Callable[[Floats], Ids]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cell:
    name: str
    passing: Mask
    queries: Floats
    truth: list[NDArray[np.float64]]  # distances of the K nearest that pass, of each query

    @staticmethod
    def of(name: str, data: DataSet, passing: Mask, asked: Ids) -> Cell:
        ids = np.flatnonzero(passing)
        truth = [np.sort(data.distances(int(query), ids))[:K] for query in asked]
        return Cell(name, passing, data.queries[asked], truth)

    def recall(self, data: DataSet, search: Search) -> float:
        """The share of the nearest that was found. AssertionError for a row that does not pass, or twice."""
        found, wanted = 0, 0
        for query, truth in zip(self.queries, self.truth, strict=True):
            ids = search(query)
            assert self.passing[ids].all()
            assert len(np.unique(ids)) == len(ids)
            rows = data.base[ids].astype(np.float64)
            told = ((rows - query) ** 2).sum(axis=1) if data.metric == "l2" else 1 - rows @ query.astype(np.float64)
            found += int((told <= truth[-1] + 1e-6 * max(1.0, abs(truth[-1]))).sum()) if len(truth) else 0
            wanted += len(truth)
        return found / wanted

    def rate(self, search: Search, seconds: float) -> float:
        return repeat(lambda: [search(query) for query in self.queries], seconds) * len(self.queries)


def cells(data: DataSet, shares: tuple[float, ...] = SHARES) -> Iterator[tuple[str, list[Cell]]]:
    """Each with one filter or several: its figures are of all of them."""
    rng = np.random.default_rng(11)
    rows = len(data.base)
    similar = data.queries @ data.queries.T
    for share in shares:
        count = max(round(rows * share), 1)
        label = f"{share * 100:g} %"
        passing = np.zeros(rows, bool)
        passing[rng.choice(rows, count, replace=False)] = True
        asked = rng.choice(len(data.queries), min(ASKED * ANCHORS, len(data.queries)), replace=False)
        yield f"{label}, anywhere", [Cell.of("", data, passing, asked)]
        near, far = [], []
        for anchor in rng.choice(len(data.queries), ANCHORS, replace=False):
            passing = np.zeros(rows, bool)
            passing[np.argsort(data.distances(int(anchor), np.arange(rows)), kind="stable")[:count]] = True
            order = np.argsort(-similar[anchor], kind="stable")
            near.append(Cell.of("", data, passing, order[:ASKED]))
            far.append(Cell.of("", data, passing, order[-ASKED:]))
        yield f"{label}, near", near
        yield f"{label}, far", far
    yield from by_source(data)


def by_source(data: DataSet) -> Iterator[tuple[str, list[Cell]]]:
    folder = Path(os.environ.get("LAMINA_BENCH_DATA", ""))
    texts = folder / "docs.jsonl"
    if not data.name.startswith("docs") or not texts.exists():
        return
    column, asked = (
        np.array([json.loads(line)["source"] for line in file.read_text().splitlines()])
        for file in (texts, folder / "queries.jsonl")
    )
    for source in np.unique(column):
        passing = column == source
        for label, chosen in {"its own queries": asked == source, "the others'": asked != source}.items():
            queries = np.flatnonzero(chosen[: len(data.queries)])[: ASKED * ANCHORS]
            yield f"{source} ({passing.mean() * 100:.0f} %), {label}", [Cell.of("", data, passing, queries)]


class Filtered:
    """A library with its index of the rows: `search` gives the call to time, for a filter and a breadth."""

    name: str
    package: str
    index: str  # what it is, for the reader of the table
    breadths: tuple[int, ...] = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
    scans = False  # SCAN is a breadth too

    def __init__(self, data: DataSet, filters: list[Mask]) -> None:
        """`filters`: all that will be asked."""
        self.data, self.filters = data, filters

    def search(self, passing: Mask, breadth: int) -> Search:
        raise NotImplementedError


class FilteredLamina(Filtered):
    name = package = "lamina"
    breadths = (SCAN,)  # whatever it chooses

    def __init__(self, data: DataSet, filters: list[Mask]) -> None:
        super().__init__(data, filters)
        self.peer = Lamina(data.metric)
        self.peer.build(data.base, 2)

    def search(self, passing: Mask, breadth: int) -> Search:
        import lamina

        chosen, search = lamina.IdFilter(passing), self.peer.index.search
        return lambda query: search(query, K, filter=chosen).ids


class FilteredFaiss(Filtered):
    name, package = "faiss", "faiss-cpu"
    index = f"IndexHNSWFlat (M {M}, efC {EF_CONSTRUCTION}) or IndexFlat, IDSelectorBitmap"
    scans = True

    def __init__(self, data: DataSet, filters: list[Mask]) -> None:
        import faiss

        super().__init__(data, filters)
        self.peer = Faiss(data.metric)
        self.peer.build(data.base, 2)
        self.flat = faiss.IndexFlat(data.base.shape[1], self.peer.faiss_metric())
        self.flat.add(data.base)
        faiss.omp_set_num_threads(1)

    def search(self, passing: Mask, breadth: int) -> Search:
        import faiss

        bits = np.packbits(passing, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        if breadth == SCAN:
            index, parameters = self.flat, faiss.SearchParameters(sel=selector)
        else:
            index, parameters = self.peer.index, faiss.SearchParametersHNSW(sel=selector, efSearch=breadth)

        def search(query: Floats, kept: Any = bits) -> Ids:
            ids: Ids = index.search(query[None], K, params=parameters)[1][0]
            return ids[ids >= 0]

        return search


class FilteredHnswlib(Filtered):
    name = package = "hnswlib"
    index = f"Index (M {M}, efC {EF_CONSTRUCTION}), a Python functor"

    def __init__(self, data: DataSet, filters: list[Mask]) -> None:
        super().__init__(data, filters)
        self.peer = Hnswlib(data.metric)
        self.peer.build(data.base, 2)

    def search(self, passing: Mask, breadth: int) -> Search:
        index, allowed = self.peer.index, passing.tolist()
        k = min(K, int(passing.sum()))
        index.set_ef(breadth)

        def search(query: Floats) -> Ids:
            try:
                ids = index.knn_query(query, k=k, num_threads=1, filter=allowed.__getitem__)[0][0]
            except RuntimeError:  # it has found fewer than k
                return np.empty(0, np.int64)
            return np.asarray(ids, np.int64)

        return search


class FilteredLance(Filtered):
    name = package = "lancedb"
    index = f"HnswSq (M {M}, efC {EF_CONSTRUCTION}, 1 partition, refine_factor up to 4) or no index, prefilter"
    scans = True

    def __init__(self, data: DataSet, filters: list[Mask]) -> None:
        import lancedb
        import pyarrow as pa
        from lancedb.index import Bitmap, HnswSq

        super().__init__(data, filters)
        self.folder = tempfile.TemporaryDirectory(prefix="lamina-lance-")
        self.metric = "l2" if data.metric == "l2" else "cosine" if data.metric == "cosine" else "dot"
        rows, dim = data.base.shape
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(data.base.reshape(-1)), dim)
        columns = {"id": pa.array(np.arange(rows)), "vector": vectors}
        columns |= {f"f{number}": pa.array(passing) for number, passing in enumerate(filters)}
        self.table = lancedb.connect(self.folder.name).create_table("bench", pa.table(columns))
        graph = HnswSq(distance_type=self.metric, num_partitions=1, m=M, ef_construction=EF_CONSTRUCTION)
        self.table.create_index("vector", config=graph)
        for number in range(len(filters)):
            self.table.create_index(f"f{number}", config=Bitmap())

    def search(self, passing: Mask, breadth: int) -> Search:
        table, metric, refined = self.table, self.metric, min(4, breadth // K)
        where = f"f{next(n for n, one in enumerate(self.filters) if one is passing)} = true"

        def search(query: Floats) -> Ids:
            asked = table.search(query).distance_type(metric).where(where, prefilter=True).limit(K)
            asked = asked.bypass_vector_index() if breadth == SCAN else asked.ef(breadth).refine_factor(refined)
            ids: Ids = asked.select(["id", "_distance"]).to_arrow()["id"].to_numpy()
            return ids

        return search


PEERS = {"faiss": FilteredFaiss, "hnswlib": FilteredHnswlib, "lancedb": FilteredLance}


def recall_of(peer: Filtered, some: list[Cell], breadth: int) -> float:
    return float(np.mean([cell.recall(peer.data, peer.search(cell.passing, breadth)) for cell in some]))


def rate_of(peer: Filtered, some: list[Cell], breadth: int, seconds: float) -> float:
    rates = [cell.rate(peer.search(cell.passing, breadth), seconds / len(some)) for cell in some]
    return len(rates) / sum(1 / rate for rate in rates)


def best_breadth(peer: Filtered, some: list[Cell], target: float, seconds: float) -> tuple[int, float]:
    """The breadth at which a peer finds as much soonest, and what it finds; the broadest, where it never does."""
    breadth, recall = SCAN, 0.0
    for breadth in peer.breadths:
        recall = recall_of(peer, some, breadth)
        if recall >= target:
            break
    if not peer.scans:
        return breadth, recall
    if recall >= target and rate_of(peer, some, breadth, seconds) > rate_of(peer, some, SCAN, seconds):
        return breadth, recall
    return SCAN, recall_of(peer, some, SCAN)


def plans(lamina: FilteredLamina, some: list[Cell]) -> str:
    """What was done in most of the searches."""
    import lamina as package

    done = []
    for cell in some:
        chosen = package.IdFilter(cell.passing)
        for query in cell.queries:
            hits = cast(package.Hits, lamina.peer.index.search(query, K, filter=chosen, explain=True))
            done.append(", then ".join(step["method"] for step in hits.plan or []))
    return max(set(done), key=done.count)


def row(lamina: FilteredLamina, others: list[Filtered], name: str, some: list[Cell], pairs: int, s: float) -> list[str]:
    recall = recall_of(lamina, some, 0)
    ratios, rate = [], 0.0
    for peer in others:
        breadth, theirs = best_breadth(peer, some, recall, s)
        ratio, rate, _ = paired(lambda: rate_of(lamina, some, 0, s), lambda: rate_of(peer, some, breadth, s), pairs)  # noqa: B023
        said = "" if theirs >= recall else f" (finds {theirs:.3f})"
        ratios.append(f"{'' if theirs >= recall else '≥ '}{ratio.text()}{said}")
    return [name, plans(lamina, some), f"{recall:.3f}", f"{1e6 / rate:.0f}" if rate else "", *ratios]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.filtered", description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", default="synthetic:50000:128", help="as bench.compare takes it")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each half of a pair")
    parser.add_argument("--only", nargs="*", default=list(PEERS), choices=list(PEERS))
    chosen = parser.parse_args(arguments)
    data = load(chosen.data)
    asked = list(cells(data))
    filters = [cell.passing for _, some in asked for cell in some]
    others = [PEERS[name](data, filters) for name in chosen.only if importlib.util.find_spec(name)]
    lamina = FilteredLamina(data, filters)
    head = ["passing, and where they lie", "plan", "recall", "µs", *(f"{peer.name} = 1" for peer in others)]
    print(f"{data.name}: {len(data.base):,} × {data.base.shape[1]}, {data.metric}\n")
    for peer in others:
        print(f"* {peer.name} {importlib.metadata.version(peer.package)}: {peer.index}")
    print()
    print("| " + " | ".join(head) + " |", "|---" * len(head) + "|", sep="\n", flush=True)
    with on_one_core():
        for name, some in asked:
            print("| " + " | ".join(row(lamina, others, name, some, chosen.pairs, chosen.seconds)) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
