"""Answering queries of a new model from the vectors of the old one, through a linear map: the bridge.

The map is fitted on records that have both vectors: an orthogonal one (Procrustes; Schönemann 1966, rectangular where
the dimensions differ) and ridge regression, both centred. A fifth of the pairs is held out: the held-out new vectors,
mapped, search the old vectors of the others, and the method that finds most of the new model's own neighbours is taken.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lamina.errors import ModelMismatchError
from lamina.known import generation_of
from lamina.models import Model

if TYPE_CHECKING:
    from lamina.collection import Collection

__all__ = ["Bridge", "BridgeReport", "fit"]

Floats = NDArray[np.float64]
Map = tuple[Floats, Floats, Floats]  # what is taken off, the matrix, what is added

LEAST_PAIRS = 200
MOST_PAIRS = 5000
HELD_OUT = 0.2
RIDGES = (1e-3, 1e-2, 1e-1)  # of the mean variance of a new dimension
K = 10


@dataclasses.dataclass(frozen=True)
class BridgeReport:
    """How well a bridge holds, on held-out pairs."""

    method: str  # "procrustes" or "ridge"
    pairs: int  # that it was fitted on
    held_out: int
    recall: float  # share of the new model's own 10 nearest that it finds
    old_recall: float  # share of the old model's 10 nearest for the same records
    unbridged: float | None  # recall of the new vectors as they are; None: of another dimension


class Bridge:
    """From a new model to the old one of a collection; fitted when it is first needed. Safe from any thread."""

    def __init__(self, collection: Collection, model: Model, min_recall: float) -> None:
        self._collection = collection
        self._model = model
        self._min_recall = min_recall
        self._lock = threading.Lock()
        self._fitted: tuple[bytes, Map, BridgeReport] | None = None  # for the old model of this fingerprint

    def report(self) -> BridgeReport | None:
        """What was measured; None: it is not fitted yet, or there are not enough pairs."""
        return None if self._fitted is None else self._fitted[2]

    def queries(self, vectors: NDArray[Any], served: bytes) -> NDArray[np.float32]:
        """Queries `(dim,)` or `(q, dim)` of the new model as queries of the served one, whose fingerprint is given.

        ModelMismatchError if there are too few pairs, or if the bridge does not hold.
        """
        with self._lock:
            if self._fitted is None or self._fitted[0] != served:
                self._fitted = (served, *self._fit(served))
            _, fitted, report = self._fitted
        if report.recall < self._min_recall:
            raise ModelMismatchError(
                f"the bridge from {self._model.name!r} to the model that {self._collection.name!r} is served by finds "
                f"{report.recall:.2f} of the neighbours, and {self._min_recall:g} is asked for "
                "(Gate(min_bridge_recall=)): query with the old model until the cut-over"
            )
        array = np.asarray(vectors)
        if array.ndim not in (1, 2) or array.shape[-1] != self._model.dim:
            raise ValueError(f"queries of {self._model.name!r} have {self._model.dim} dimensions, not {array.shape}")
        return apply(fitted, _unit(np.atleast_2d(array), self._model)).astype(np.float32).reshape(*array.shape[:-1], -1)

    def _fit(self, served: bytes) -> tuple[Map, BridgeReport]:
        core = self._collection._take()
        if core.fingerprint != served:
            raise ModelMismatchError(f"{self._collection.name!r} is served by another model by now: there is no bridge")
        new = generation_of(core, self._model, self._collection.name)
        old_model = self._collection._model_of(core)
        refs = core.scan(None, len(core))
        has = core.provenance_at(refs)["has_vector"] & new.provenance_at(refs)["has_vector"]
        missing = np.concatenate([*core.missing(), *new.missing()])
        pairs = refs[has & ~np.isin(refs, missing)]
        if len(pairs) < LEAST_PAIRS:
            raise ModelMismatchError(
                f"a bridge needs {LEAST_PAIRS} records with vectors of both models, and {self._collection.name!r} has "
                f"{len(pairs)}: run() the migration first"
            )
        pairs = np.random.default_rng(0).permutation(pairs)[:MOST_PAIRS]
        return fit(new.vectors_at(pairs)[0], core.vectors_at(pairs)[0], self._model, old_model)


def fit(new: NDArray[Any], old: NDArray[Any], new_model: Model, old_model: Model) -> tuple[Map, BridgeReport]:
    """The better of the maps from rows of `new` to those of `old`, and what it was found to hold."""
    x, y = _unit(new, new_model), _unit(old, old_model)
    held = max(K, int(len(x) * HELD_OUT))
    fit_x, fit_y, test_x, test_y = x[held:], y[held:], x[:held], y[:held]
    own = _nearest(test_x, fit_x, new_model)
    of_old = _nearest(test_y, fit_y, old_model)
    best: tuple[Map, BridgeReport] | None = None
    for method, candidate in _maps(fit_x, fit_y):
        found = _nearest(apply(candidate, test_x), fit_y, old_model)
        unbridged = _overlap(_nearest(test_x, fit_y, old_model), own) if x.shape[1] == y.shape[1] else None
        report = BridgeReport(method, len(fit_x), held, _overlap(found, own), _overlap(found, of_old), unbridged)
        if best is None or report.recall > best[1].recall:
            best = (candidate, report)
    if best is None:
        raise ValueError("no map to choose from")
    return best


def apply(fitted: Map, rows: Floats) -> Floats:
    off, matrix, on = fitted
    mapped: Floats = (rows - off) @ matrix + on
    return mapped


def _maps(x: Floats, y: Floats) -> list[tuple[str, Map]]:
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean_x, y - mean_y
    cross = x.T @ y
    left, values, right = np.linalg.svd(cross, full_matrices=False)
    scale = values.sum() / max(float((x * x).sum()), np.finfo(np.float64).tiny)
    maps = [("procrustes", (mean_x, scale * left @ right, mean_y))]
    square = x.T @ x
    for ridge in RIDGES:
        weight = ridge * np.trace(square) / len(square)
        maps.append(("ridge", (mean_x, np.linalg.solve(square + weight * np.eye(len(square)), cross), mean_y)))
    return maps


def _unit(rows: NDArray[Any], model: Model) -> Floats:
    """The rows, of length 1 where lengths do not count."""
    if model.metric == "hamming":
        raise ValueError("a bridge is linear, and there is none from or to packed bits")
    wide = rows.astype(np.float64)
    if model.metric != "cosine":
        return wide
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(norms > 0, norms, 1)


def _nearest(queries: Floats, rows: Floats, model: Model) -> NDArray[np.int64]:
    products = queries @ rows.T
    if model.metric == "cosine":
        products /= np.maximum(np.linalg.norm(rows, axis=1), np.finfo(np.float64).tiny)
    elif model.metric == "l2":
        products = 2 * products - (rows * rows).sum(axis=1)
    return np.argpartition(-products, K, axis=1)[:, :K]


def _overlap(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(found, wanted, strict=True)]))
