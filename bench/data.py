"""The data that benchmarks run on, each set with its exact answers.

A set is named on the command line as
  NAME                  NAME.npy and its queries, in the folder that LAMINA_BENCH_DATA names: docs_v2, sift …
  synthetic:N:DIM       seeded vectors of a realistic intrinsic dimension, cosine; synthetic:N:DIM:l2 for l2
  FILE.hdf5             a data set of ann-benchmarks
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

TRUTH_DEPTH = 100
CACHE = Path(os.environ.get("LAMINA_BENCH_CACHE", Path(__file__).resolve().parents[1] / "build" / "bench"))


@dataclass(frozen=True)
class DataSet:
    """Vectors, queries, and the exact nearest neighbours of the queries. For cosine both are of unit length."""

    name: str
    metric: str  # "cosine" | "ip" | "l2"
    base: Floats
    queries: Floats
    truth: Ids  # (queries, TRUTH_DEPTH)

    def distances(self, query: int, ids: NDArray[Any]) -> NDArray[np.float64]:
        rows = self.base[ids].astype(np.float64)
        wanted = self.queries[query].astype(np.float64)
        if self.metric == "l2":
            return np.asarray(((rows - wanted) ** 2).sum(axis=1))
        return np.asarray(1.0 - rows @ wanted)

    def recall(self, answers: NDArray[Any], k: int) -> float:
        """The share of the k nearest that was found; a row as near as the k-th counts, so ties harm nobody.

        Raises ValueError where an answer is no row, or names a row twice.
        """
        found = 0
        for query, ids in enumerate(answers):
            ids = ids[ids >= 0][:k]
            if len(np.unique(ids)) != len(ids) or (ids >= len(self.base)).any():
                raise ValueError(f"query {query}: {ids} is not a set of rows")
            reach = self.distances(query, self.truth[query, k - 1 : k])[0]
            found += int((self.distances(query, ids) <= reach + 1e-6 * max(1.0, abs(reach))).sum())
        return found / (len(answers) * k)


def load(name: str, queries: int = 1000) -> DataSet:
    """REQUIRES: `name` as the head of this file spells it. Raises FileNotFoundError, ValueError."""
    if name.startswith("synthetic:"):
        metric, base, asked = synthetic(name)
    elif name.endswith((".hdf5", ".h5")):
        metric, base, asked = ann_benchmarks(Path(name))
        name = Path(name).stem
    else:
        metric, base, asked = from_folder(name)
    asked = asked[:queries]
    if metric == "cosine":
        base, asked = unit(base), unit(asked)
    base, asked = np.ascontiguousarray(base), np.ascontiguousarray(asked)
    return DataSet(name, metric, base, asked, exact(metric, base, asked))


def synthetic(name: str) -> tuple[str, Floats, Floats]:
    """Clusters in 40 latent dimensions of falling weight, bent into DIM by a fixed random network.

    Uniform noise in DIM dimensions has no near neighbours and tells nothing about embeddings, whose local
    intrinsic dimension is 10 to 30; independent clusters alone are too easy.
    """
    _, rows, dim, *rest = name.split(":")
    metric = rest[0] if rest else "cosine"
    count, asked, latent, clusters = int(rows), 1000, 40, 256
    rng = np.random.default_rng(7)
    weight = (1.0 + np.arange(latent)) ** -0.3
    centres = rng.standard_normal((clusters, latent)) * weight
    member = rng.integers(0, clusters, count + asked)
    point = centres[member] + 1.0 * weight * rng.standard_normal((count + asked, latent))
    hidden = np.tanh(point @ rng.standard_normal((latent, 2 * latent)))
    vectors = hidden @ rng.standard_normal((2 * latent, int(dim))) / np.sqrt(2 * latent)
    vectors += 0.02 * rng.standard_normal(vectors.shape)
    vectors = vectors.astype(np.float32)
    return metric, vectors[:count], vectors[count:]


def from_folder(name: str) -> tuple[str, Floats, Floats]:
    """`docs_v2` with `queries_v2`, `sift` with `sift_queries`: text embeddings by cosine, all else by l2."""
    folder = Path(os.environ.get("LAMINA_BENCH_DATA", ""))
    paired = f"queries{name.removeprefix('docs')}" if name.startswith("docs") else f"{name}_queries"
    files = [folder / f"{stem}.npy" for stem in (name, paired)]
    if not os.environ.get("LAMINA_BENCH_DATA") or not all(file.exists() for file in files):
        raise FileNotFoundError(
            f"no {name}.npy with {paired}.npy in the folder that LAMINA_BENCH_DATA names ({folder})"
        )
    base, asked = (np.load(file).astype(np.float32) for file in files)
    return ("cosine" if name.startswith("docs") else "l2"), base, asked


def ann_benchmarks(path: Path) -> tuple[str, Floats, Floats]:
    import h5py

    with h5py.File(path) as file:
        metric = {"angular": "cosine", "euclidean": "l2", "dot": "ip"}[str(file.attrs["distance"])]
        return metric, np.asarray(file["train"], np.float32), np.asarray(file["test"], np.float32)


def unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)


def exact(metric: str, base: Floats, queries: Floats) -> Ids:
    """The TRUTH_DEPTH nearest of each query by brute force, kept in CACHE under a digest of what was asked."""
    digest = hashlib.sha256(metric.encode())
    for array in (base, queries):
        digest.update(str(array.shape).encode())
        digest.update(array.tobytes())
    kept = CACHE / f"truth-{digest.hexdigest()[:24]}.npy"
    if kept.exists():
        return np.asarray(np.load(kept))
    depth = min(TRUTH_DEPTH, len(base))
    norms = (base.astype(np.float64) ** 2).sum(axis=1)
    truth = np.empty((len(queries), depth), np.int64)
    for start in range(0, len(queries), 100):
        block = queries[start : start + 100]
        products = (block @ base.T).astype(np.float64)
        keys = norms - 2.0 * products if metric == "l2" else -products
        near = np.argpartition(keys, depth - 1, axis=1)[:, :depth]
        order = np.argsort(np.take_along_axis(keys, near, axis=1), axis=1, kind="stable")
        truth[start : start + 100] = np.take_along_axis(near, order, axis=1)
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.save(kept, truth)
    return truth
