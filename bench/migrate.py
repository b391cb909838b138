"""What a migration writes, and what a bridge between two models finds: `python -m bench.migrate`. Markdown tables.

    LAMINA_BENCH_DATA=… python -m bench.migrate [--rows 50000] [--pairs 5000]

The bridge is fitted on pairs of documents' vectors, and asked with the vectors of queries that are no documents: found
is the share of the exact ten nearest of the new model (by its own vectors), and of the old model. `old` to `new` reads:
queries of `new`, on the stored vectors of `old`. `tfidf` is the truncated SVD of the texts' TF-IDF, of 256 dimensions.
Bytes are what the process wrote (`/proc/self/io`) from `run` to the end of `cutover`, beside those of the new
generation's own files.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lamina
from lamina.bridge import apply, fit

K = 10
PAIRS = [("docs_v2", "docs_v3"), ("docs_v1", "docs_v2"), ("tfidf", "docs_v2")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=5000)
    arguments = parser.parse_args()
    folder = Path(os.environ["LAMINA_BENCH_DATA"])
    spaces = {name: _load(folder, name, arguments.rows) for name in ("docs_v1", "docs_v2", "docs_v3", "tfidf")}
    print("| old → new | method | new model's neighbours | old model's | without a bridge | as it says itself |")
    print("|---|---|---|---|---|---|")
    for old, new in PAIRS:
        print(bridge_row(old, new, spaces, arguments.pairs))
    print()
    print(written(spaces["docs_v2"][0], spaces["docs_v3"][0]))


def bridge_row(old: str, new: str, spaces: dict[str, Any], pairs: int) -> str:
    (old_rows, old_queries), (new_rows, new_queries) = spaces[old], spaces[new]
    sample = np.random.default_rng(0).permutation(len(old_rows))[:pairs]
    models = [lamina.Model(name, dim=spaces[name][0].shape[1]) for name in (new, old)]
    fitted, report = fit(new_rows[sample], old_rows[sample], *models)
    mapped = apply(fitted, new_queries.astype(np.float64)).astype(np.float32)
    found = nearest(mapped, old_rows)
    own, theirs = nearest(new_queries, new_rows), nearest(old_queries, old_rows)
    same_dim = old_rows.shape[1] == new_rows.shape[1]
    unbridged = f"{share(nearest(new_queries, old_rows), own):.3f}" if same_dim else "-"
    return (
        f"| {old} → {new} | {report.method} | {share(found, own):.3f} | {share(found, theirs):.3f} | {unbridged} | "
        f"{report.recall:.3f} |"
    )


def written(old: NDArray[Any], new: NDArray[Any]) -> str:
    """One line: bytes written by a migration of these vectors, and their share of what the new generation is."""
    ids = np.arange(len(old))
    with (
        tempfile.TemporaryDirectory(prefix="lamina-bench-migrate-") as folder,
        lamina.open(Path(folder) / "kb", create=True, maintenance="manual") as store,
    ):
        docs = store.create_collection("docs", model=lamina.Model("old", dim=old.shape[1]))
        for part in np.array_split(ids, max(1, len(ids) // 5000)):
            docs.upsert(part, old[part], content=[f"text {id}" for id in part])
        docs.optimize()
        before, vectors = _written(), store.stats()["vector_bytes"]
        m = docs.migrate(to=lamina.Model("new", dim=new.shape[1]), vectors=(ids, new))
        m.run()
        m.cutover()
        bytes_written, size = _written() - before, store.stats()["vector_bytes"] - vectors
    return (
        f"{len(ids):,} rows: {bytes_written / 1e6:.1f} MB written for a generation of {size / 1e6:.1f} MB: "
        f"{bytes_written / size:.2f} times"
    )


def nearest(queries: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.int64]:
    return np.argpartition(-(_unit(queries) @ rows.T), K, axis=1)[:, :K]


def share(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(found, wanted, strict=True)]))


def _load(folder: Path, name: str, rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if name == "tfidf":
        return _tfidf(folder, rows)
    docs = np.load(folder / f"{name}.npy")[:rows].astype(np.float32)
    queries = np.load(folder / f"{name.replace('docs', 'queries')}.npy").astype(np.float32)
    return _unit(docs), _unit(queries)


class Counts:
    """TF-IDF weights of texts, sparse: of each text the words that the documents have at least twice."""

    def __init__(self, texts: list[str], words: dict[str, int], idf: NDArray[np.float32]) -> None:
        self.width = len(words)
        rows, columns, weights = [], [], []
        for row, text in enumerate(texts):
            counts = Counter(words[word] for word in _words(text) if word in words)
            counts.setdefault(0, 0)  # so that no row is empty
            rows += [row] * len(counts)
            columns += list(counts)
            weights += [np.log1p(count) for count in counts.values()]
        self._rows, self._columns = np.array(rows), np.array(columns)
        self._weights = np.array(weights, np.float32) * idf[self._columns]
        self._height = len(texts)

    def times(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return _summed(self._rows, self._weights, matrix, self._columns, self._height)

    def turned_times(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return _summed(self._columns, self._weights, matrix, self._rows, self.width)


def _summed(
    to: NDArray[Any], weights: NDArray[Any], matrix: NDArray[Any], of: NDArray[Any], height: int
) -> NDArray[np.float32]:
    order = np.argsort(to, kind="stable")
    out = np.zeros((height, matrix.shape[1]), np.float32)
    for part in np.array_split(order, max(1, len(order) // 50_000)):
        starts = np.flatnonzero(np.diff(to[part], prepend=-1))
        out[to[part][starts]] += np.add.reduceat(weights[part, None] * matrix[of[part]], starts)
    return out


def _tfidf(folder: Path, rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """By a randomized SVD (Halko, Martinsson, Tropp 2011) with two power iterations."""
    docs, queries = (
        [json.loads(line)["text"] for line in (folder / file).read_text().splitlines()]
        for file in ("docs.jsonl", "queries.jsonl")
    )
    seen = Counter(word for text in docs[:rows] for word in set(_words(text)))
    words = {word: at for at, word in enumerate(sorted(word for word, count in seen.items() if count > 1))}
    idf = np.array([np.log(rows / seen[word]) + 1 for word in words], np.float32)
    of_docs, of_queries = Counts(docs[:rows], words, idf), Counts(queries, words, idf)
    range_of = np.random.default_rng(0).standard_normal((len(words), 276)).astype(np.float32)
    for _ in range(3):
        basis = np.linalg.qr(of_docs.times(range_of))[0]
        range_of = of_docs.turned_times(basis)
    components = np.linalg.svd(range_of, full_matrices=False)[0][:, :256]
    return _unit(of_docs.times(components)), _unit(of_queries.times(components))


def _words(text: str) -> list[str]:
    return re.findall(r"\w\w+", text.lower())


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit


def _written() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


if __name__ == "__main__":
    main()
