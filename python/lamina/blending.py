"""Vectors weighed against each other: a query made of examples, and answers that are not all alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIKE, UNLIKE = 0.75, 0.15  # weights of examples beside a query of weight 1


def blended(query: NDArray[Any] | None, like: NDArray[Any], unlike: NDArray[Any], metric: str) -> NDArray[Any]:
    """A vector `(dim,)` near `query` and `like` and away from `unlike`; `(q, dim)` of that many queries.

    (query + 0.75 · mean(like) − 0.15 · mean(unlike)) / (the sum of the weights of what is given), for cosine of the
    vectors at length 1: Rocchio, "Relevance feedback in information retrieval", 1971, with the weights of Manning,
    Raghavan and Schütze, "Introduction to Information Retrieval", 2008, chapter 9. Of packed bits: where it is above
    a half. REQUIRES: a query or `like`; examples are `(n, dim)`, and n may be 0.
    """
    total, weight = np.zeros(1), 0.0
    if query is not None:
        total, weight = _plain(query, metric), 1.0
    for share, examples in ((LIKE, like), (-UNLIKE, unlike)):
        if len(examples):
            total, weight = total + share * _plain(examples, metric).mean(axis=0), weight + share
    made = total / weight
    return np.packbits(made > 0.5, axis=-1) if metric == "hamming" else made.astype(np.float32)


def most_diverse(
    relevance: NDArray[np.float64], similarity: NDArray[np.float64], diversity: float, k: int
) -> NDArray[np.int64]:
    """The positions of the k that maximal marginal relevance chooses, ascending.

    One after another that of the greatest (1 − diversity) · relevance − diversity · (greatest similarity to those
    chosen before): Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and
    producing summaries", SIGIR 1998, where λ is 1 − diversity. The first is the most relevant.
    """
    alike = np.zeros(len(relevance))
    left = np.ones(len(relevance), np.bool_)
    chosen = np.empty(min(k, len(relevance)), np.int64)
    for n in range(len(chosen)):
        marginal = (1 - diversity) * relevance - diversity * alike if n else relevance
        chosen[n] = np.where(left, marginal, -np.inf).argmax()
        left[chosen[n]] = False
        alike = np.maximum(alike, similarity[chosen[n]]) if n else similarity[chosen[n]]
    return np.sort(chosen)


def similarity(vectors: NDArray[Any], metric: str) -> NDArray[np.float64]:
    """The scores of vectors among themselves, `(n, n)`, as a search gives them."""
    rows = _plain(vectors, metric)
    products: NDArray[np.float64] = rows @ rows.T
    if metric in ("cosine", "ip"):
        return products
    norms = np.diag(products)  # of bits too, the squared distance is the number of those that differ
    squared: NDArray[np.float64] = norms[:, None] + norms - 2 * products
    return -squared


def _plain(rows: NDArray[Any], metric: str) -> NDArray[np.float64]:
    """As doubles: bits as 0 and 1, for cosine at length 1."""
    if metric == "hamming":
        return np.unpackbits(rows, axis=-1).astype(np.float64)
    plain: NDArray[np.float64] = rows.astype(np.float64)
    if metric != "cosine":
        return plain
    norms = np.linalg.norm(plain, axis=-1, keepdims=True)
    scaled: NDArray[np.float64] = plain / np.where(norms > 0, norms, 1)
    return scaled
