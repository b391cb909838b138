"""The canary: a few fixed texts whose vectors a collection keeps, to notice that a model changed behind its name.

They are kept with the first texts that the collection's embedder embeds for it, and compared before each refresh.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.errors import ModelMismatchError
from lamina.kept import NO_CANARY
from lamina.models import Model
from lamina.retry import asked_to_wait, may_pass

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "How do I restore a database from last night's backup?",
    "def mean(values): return sum(values) / len(values)",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "2026-11-26 14:05:09 ERROR payment 48213 refused: limit exceeded",
    "光の速さは秒速およそ三十万キロメートルである。",
)
MIN_COSINE = 0.999  # what rounding, hardware and batching change is well above; other weights are far below
MAX_NORM_CHANGE = 0.02  # share, where lengths count (ip and l2)
MAX_FLIPPED = 0.02  # share of the bits, for hamming


def encode(vectors: NDArray[Any]) -> str:
    """Vectors of `TEXTS` as text to be kept."""
    return base64.b64encode(vectors.tobytes()).decode()


def first(model: Model) -> str:
    """What is to be kept of an embedder that is used for the first time; "" if it may be asked later."""
    try:
        return encode(model.embed(TEXTS))
    except Exception as error:
        return "" if may_pass(error) or asked_to_wait(error) is not None else NO_CANARY


def check(model: Model, kept: str, vectors: NDArray[Any], collection: str) -> None:
    """ModelMismatchError, with what was measured, if these vectors of `TEXTS` are not those that were kept."""
    drift = _drift(np.frombuffer(base64.b64decode(kept), vectors.dtype).reshape(vectors.shape), vectors, model.metric)
    if drift is None:
        return
    raise ModelMismatchError(
        f"the embedder of {model.name!r} is not the one that {collection!r} was filled with, though it has the same "
        f"name: {drift} on {len(TEXTS)} fixed texts. Nothing was written, since its vectors cannot be compared with "
        f"the stored ones. Bind the embedder that made them (get_collection(..., embed=)); or, if the new is meant, "
        f"give it another revision= and migrate to it: migrate(to=Model({model.name!r}, revision=...), embed=...)."
    )


def _drift(before: NDArray[Any], now: NDArray[Any], metric: str) -> str | None:
    """In words; None within the tolerance."""
    if metric == "hamming":
        flipped = float(np.unpackbits(before ^ now).mean())
        return None if flipped <= MAX_FLIPPED else f"{flipped:.1%} of the bits differ (at most {MAX_FLIPPED:.0%} may)"
    a, b = before.astype(np.float64), now.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = lengths[0] * lengths[1]
    same_zero = (lengths[0] == 0) & (lengths[1] == 0)
    cosine = float(np.where(same_zero, 1, (a * b).sum(axis=1) / np.where(product > 0, product, 1)).min())
    if cosine < MIN_COSINE:
        return f"its vectors are at cosine {cosine:.4f} to those of before (at least {MIN_COSINE} is wanted)"
    changed = float((np.abs(lengths[1] - lengths[0]) / np.where(lengths[0] > 0, lengths[0], 1)).max())
    if metric != "cosine" and changed > MAX_NORM_CHANGE:
        return f"the lengths of its vectors changed by {changed:.1%} (at most {MAX_NORM_CHANGE:.0%} may)"
    return None
