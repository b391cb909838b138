"""The graph of nearest neighbours, and near duplicates, of a whole set: beside faiss and scikit-learn.

    python -m bench.knn_graph                                # a synthetic set of 20,000 rows
    LAMINA_BENCH_DATA=folder python -m bench.knn_graph docs_v2

All cores, every library from its own index in memory, built before the clock starts (its time is a column of its own;
faiss-flat and scikit-learn have nothing to build). The breadth of faiss-hnsw is raised until it finds a share of RECALL
of the true neighbours of 1,000 rows; what is timed is lamina's default. No figure is printed unless each answer holds
that recall: of graphs the share of the true neighbours, of near duplicates the share of the true pairs that are in one
group, none of which may hold rows that no true pairs link. A B A B; the median of the ratios of the rounds, lamina = 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import lamina
from bench.data import DataSet, Floats, Ids, exact, load
from bench.measure import Summary
from bench.peers import EF_CONSTRUCTION, M

K = 10
RECALL = 0.95
THRESHOLD = 0.1  # of cosine distance
ROUNDED = 1e-5  # what single precision may add to one
SAMPLE = 1000
CORES = len(os.sched_getaffinity(0))

Graph = NDArray[Any]  # (rows, K) positions, the row itself not among them
Groups = NDArray[Any]  # (rows,) of each row the number of its group of near duplicates


class Library(ABC):
    """REQUIRES: vectors of unit length."""

    name: str
    broadens = False

    @abstractmethod
    def build(self, vectors: Floats) -> None: ...
    @abstractmethod
    def graph(self) -> Graph: ...
    @abstractmethod
    def groups(self) -> Groups:
        """What pairs at most THRESHOLD apart link, from whatever the library has for it."""

    def broaden(self) -> None:
        """Searches more broadly from now on. REQUIRES: `broadens`."""
        raise NotImplementedError


class Lamina(Library):
    name = "lamina"

    def build(self, vectors: Floats) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lamina-bench-graph-")
        self._store = lamina.open(Path(self._folder.name) / "kb", create=True, durability="os", maintenance="manual")
        docs = self._store.create_collection("docs", model=lamina.Model("own", dim=vectors.shape[1]))
        for part in np.array_split(np.arange(len(vectors)), max(1, len(vectors) // 5000)):
            docs.add(part, vectors[part])
        docs.optimize()
        self._docs = docs

    def graph(self) -> Graph:
        graph = self._docs.knn_graph(K)
        return cast(Graph, graph.indices.reshape(-1, K))

    def groups(self) -> Groups:
        groups = np.arange(len(self._docs))
        for group in self._docs.near_duplicates(THRESHOLD):
            groups[group] = group[0]
        return groups


class Faiss(Library):
    """REQUIRES: all of its cores, which faiss takes by itself."""

    def build(self, vectors: Floats) -> None:
        import faiss

        faiss.omp_set_num_threads(CORES)
        self._vectors = vectors
        self._index = self._made(faiss, vectors.shape[1])
        self._index.add(vectors)

    @abstractmethod
    def _made(self, faiss: Any, dim: int) -> Any: ...

    def graph(self) -> Graph:
        _, found = self._index.search(self._vectors, K + 1)
        return without_self(found)

    def groups(self) -> Groups:
        limits, _, found = self._index.range_search(self._vectors, 1.0 - THRESHOLD)
        rows = np.repeat(np.arange(len(self._vectors)), np.diff(limits.astype(np.int64)))
        return linked(len(self._vectors), rows, found)


class FaissHnsw(Faiss):
    name = "faiss-hnsw"
    broadens = True

    def _made(self, faiss: Any, dim: int) -> Any:
        index = faiss.IndexHNSWFlat(dim, M, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.hnsw.efSearch = K + 1
        return index

    def groups(self) -> Groups:
        """Of the 64 nearest (its range_search with inner products ends the process in 1.15.1)."""
        near, found = self._index.search(self._vectors, 64)
        rows, slots = np.nonzero((near >= 1.0 - THRESHOLD) & (found >= 0))
        return linked(len(self._vectors), rows, found[rows, slots])

    def broaden(self) -> None:
        self._index.hnsw.efSearch += 2


class FaissFlat(Faiss):
    name = "faiss-flat"

    def _made(self, faiss: Any, dim: int) -> Any:
        return faiss.IndexFlatIP(dim)


class ScikitLearn(Library):
    name = "scikit-learn"

    def build(self, vectors: Floats) -> None:
        from sklearn.neighbors import NearestNeighbors

        self._index = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="cosine", n_jobs=CORES).fit(vectors)

    def graph(self) -> Graph:
        return cast(Graph, self._index.kneighbors(return_distance=False))

    def groups(self) -> Groups:
        matrix = self._index.radius_neighbors_graph(radius=THRESHOLD, mode="distance").tocoo()
        return linked(matrix.shape[0], matrix.row, matrix.col)


def without_self(found: Ids) -> Graph:
    """Of K + 1 found the K others."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    return cast(Graph, found[~own].reshape(len(found), K))


def linked(count: int, rows: NDArray[Any], others: NDArray[Any]) -> Groups:
    """The connected components of so many rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(rows), bool), (rows, others)), shape=(count, count))
    return cast(Groups, connected_components(links, directed=False)[1])


def true_neighbours(data: DataSet, sample: Ids) -> Graph:
    """The K nearest others of some rows, and as many more as lie as near."""
    return exact("cosine", data.base, data.base[sample])[:, : K + 1]


def recall(data: DataSet, sample: Ids, graph: Graph) -> float:
    """The share of the K nearest others that was found; a row as near as the last counts."""
    found = 0
    for row, truth in zip(sample.tolist(), true_neighbours(data, sample), strict=True):
        others = truth[truth != row][:K]
        reach = (data.base[others] @ data.base[row]).min()
        near = graph[row][graph[row] != row]
        assert len(set(near.tolist())) == len(near)
        found += int((data.base[near] @ data.base[row] >= reach - 1e-6).sum())
    return found / (len(sample) * K)


@dataclass(frozen=True)
class Truth:
    """The pairs at most THRESHOLD apart, and groups that hold whatever may count as such."""

    rows: NDArray[Any]
    others: NDArray[Any]
    groups: Groups

    @staticmethod
    def of(vectors: Floats) -> Truth:
        """By looking at all pairs."""
        found = []
        for start in range(0, len(vectors), 1000):
            similar = vectors[start : start + 1000] @ vectors[start:].T
            rows, others = np.nonzero(similar >= 1.0 - THRESHOLD - ROUNDED)
            apart = rows < others
            rows, others = rows[apart], others[apart]
            found.append(np.stack([rows + start, others + start, similar[rows, others] >= 1.0 - THRESHOLD]))
        rows, others, surely = np.concatenate(found, axis=1)
        within = surely.astype(bool)
        assert within.any(), f"no two rows are within {THRESHOLD}"
        return Truth(rows[within], others[within], linked(len(vectors), rows, others))

    def share(self, groups: Groups) -> float:
        """The share of the pairs that are in one group. ValueError for a group of rows that nothing links."""
        if len(np.unique(np.stack([groups, self.groups]), axis=1).T) > len(np.unique(groups)):
            raise ValueError("some of its near duplicates are none")
        return float((groups[self.rows] == groups[self.others]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="synthetic:20000:384")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    data = load(arguments.data)
    kinds: list[type[Library]] = [Lamina]
    kinds += [FaissHnsw, FaissFlat] if importlib.util.find_spec("faiss") else []
    kinds += [ScikitLearn] if importlib.util.find_spec("sklearn") else []
    libraries = [kind() for kind in kinds]
    built = {}
    for library in libraries:
        began = time.perf_counter()
        library.build(data.base)
        built[library.name] = time.perf_counter() - began
    sample = np.random.default_rng(0).permutation(len(data.base))[:SAMPLE]
    truth = Truth.of(data.base)
    for library in libraries:
        while library.broadens and recall(data, sample, library.graph()) < RECALL:
            library.broaden()
    times: dict[str, list[tuple[float, float]]] = {library.name: [] for library in libraries}
    recalls, shares = {}, {}
    for _ in range(arguments.rounds):
        for library in libraries:
            name, began, cpu = library.name, time.perf_counter(), time.process_time()
            graph = library.graph()
            halfway, cpu = time.perf_counter(), time.process_time() - cpu
            groups = library.groups()
            times[name].append((halfway - began, time.perf_counter() - halfway))
            recalls[name], shares[name] = recall(data, sample, graph), truth.share(groups)
            walls = " and ".join(f"{wall:.1f} s" for wall in times[name][-1])
            print(f"{name}: {walls} (graph: {cpu:.1f} s of CPU time), {recalls[name]:.4f}", file=sys.stderr)
            assert min(recalls[name], shares[name]) >= RECALL, f"{name}: {recalls[name]:.3f}, {shares[name]:.3f} found"
    about = f"{CORES} cores; {len(truth.rows):,} pairs ≤ {THRESHOLD}"
    print(f"{data.name}: {len(data.base):,} × {data.base.shape[1]}, {about}\n")
    print("| | build, s | graph of 10, s | times lamina's | recall | duplicates, s | times lamina's | found |")
    print("|---|---|---|---|---|---|---|---|")
    for library in libraries:
        own, ours = times[library.name], times["lamina"]
        shown = [f"{library.name}", f"{built[library.name]:.1f}"]
        for at, share in ((0, recalls), (1, shares)):
            ratio = Summary.of([one[at] / other[at] for one, other in zip(own, ours, strict=True)])
            shown += [f"{np.median([one[at] for one in own]):.2f}", ratio.text(), f"{share[library.name]:.4f}"]
        print("| " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
