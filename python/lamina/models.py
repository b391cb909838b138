"""Models: values with a fingerprint, so that two are never mixed in one search.

The fingerprint is the SHA-256 of the canonical JSON of what changes the numbers that a model returns for a text, and of
the metric: not of how vectors are stored. Fields that hold their default are left out of that JSON, so a field that is
added later changes no fingerprint of today.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina import embedders
from lamina.errors import DimensionMismatchError, InvalidVectorError, ModelMismatchError
from lamina.waiting import settled

METRICS = {name: name for name in ("cosine", "ip", "l2", "hamming")} | {
    "cos": "cosine",
    "dot": "ip",
    "inner_product": "ip",
    "l2sq": "l2",
    "euclidean": "l2",
}

# The fields of the fingerprint, and the values that leave them out of it.
IDENTITY: dict[str, Any] = {
    "name": None, "revision": None, "dim": None, "metric": None, "normalize": False, "prompt": None,
    "query_prompt": None, "max_tokens": None, "truncation": None, "pooling": None, "full_dim": None,
}  # fmt: skip

Embed = Callable[[Sequence[str]], Any]


class Model:
    """What turns texts into vectors, named. Immutable; equal to another of the same fingerprint.

    Args:
        name: any name of your own, or one that lamina can bind by itself: `hash:384`, `sentence-transformers:NAME`,
            `openai:NAME`, `module:callable`.
        revision: of the weights; another revision is another model.
        dim: elements of a vector (bits for "hamming"). May be left out where the embedder says it (`hash:384`).
        metric: "cosine", "ip", "l2", "hamming", or an alias of these.
        embed: a callable from a list of str to a float array (n, dim), or to an awaitable of one; or a spec as in
            `name`. Never stored.
        normalize: scale each vector that `embed` returns to unit length.
        prompt: put before each text that is stored.
        query_prompt: put before each text that is searched for; None: the same as `prompt`.
        max_tokens: after how many tokens the embedder cuts a text. Built-in embedders obey it; for a callable of your
            own it states what that callable does.
        truncation, pooling: what else is true of the embedder, in words of your own: which side it cuts ("left"), how
            it makes one vector of many ("mean").
        full_dim: elements of the vectors that `embed` returns, of which the first `dim` are kept (Matryoshka
            embeddings; give `normalize=True` where lengths should be 1 after the cut). None: `dim`.

    Raises ValueError for a dim, full_dim or metric that cannot be.
    """

    __slots__ = (*IDENTITY, "digest", "embed_with")

    name: str
    revision: str | None
    dim: int
    metric: str  # canonical
    normalize: bool
    prompt: str | None
    query_prompt: str | None
    max_tokens: int | None
    truncation: str | None
    pooling: str | None
    full_dim: int | None
    embed_with: Embed | None  # not part of the value
    digest: bytes  # the fingerprint's 32 bytes

    def __init__(
        self,
        name: str,
        revision: str | None = None,
        dim: int | None = None,
        metric: str = "cosine",
        embed: Embed | str | None = None,
        *,
        normalize: bool = False,
        prompt: str | None = None,
        query_prompt: str | None = None,
        max_tokens: int | None = None,
        truncation: str | None = None,
        pooling: str | None = None,
        full_dim: int | None = None,
    ) -> None:
        if not name or not isinstance(name, str):
            raise ValueError(f"a model's name is a non-empty str, not {name!r}")
        if metric not in METRICS:
            raise ValueError(f"metric {metric!r} is not one of {', '.join(METRICS)}")
        bound, revision = _bound(name, revision, embed, max_tokens)
        dim = getattr(bound, "dim", None) if dim is None else dim
        dim = _check_dim(name, dim, METRICS[metric])
        full_dim = None if full_dim in (None, dim) else _check_dim(name, full_dim, METRICS[metric])
        if full_dim is not None and full_dim < dim:
            raise ValueError(f"full_dim is the longer one: {full_dim} elements cannot be cut to dim={dim}")
        values = {
            "name": name, "revision": revision, "dim": dim, "metric": METRICS[metric], "normalize": bool(normalize),
            "prompt": prompt, "query_prompt": query_prompt, "max_tokens": max_tokens, "truncation": truncation,
            "pooling": pooling, "full_dim": full_dim, "embed_with": bound,
        }  # fmt: skip
        for field, value in values.items():
            object.__setattr__(self, field, value)
        object.__setattr__(self, "digest", hashlib.sha256(self.canonical().encode()).digest())

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Model cannot change: make another to have another {name}")

    @property
    def fingerprint(self) -> str:
        """64 hex digits: the SHA-256 of everything that changes the numbers."""
        return self.digest.hex()

    def identity(self) -> dict[str, Any]:
        """What the fingerprint is made of: every field that is not at its default."""
        values = {name: getattr(self, name) for name in IDENTITY}
        return {name: value for name, value in values.items() if value != IDENTITY[name]}

    def canonical(self) -> str:
        """The JSON that is fingerprinted, and kept in a store."""
        return json.dumps(self.identity(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @classmethod
    def from_canonical(cls, text: str, embed: Embed | str | None = None) -> Model:
        """The model that `canonical` wrote, with this embedder bound to it. ValueError if the text is no such thing."""
        try:
            fields = json.loads(text)
            return cls(embed=embed, **fields)
        except (TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a model: {text!r} ({error})") from error

    def bind(self, embed: Embed | str | None) -> Model:
        """This model with another embedder."""
        return Model.from_canonical(self.canonical(), embed)

    def embed(self, texts: Iterable[str]) -> NDArray[Any]:
        """Texts to be stored as vectors: float32 (n, dim), or uint8 (n, dim / 8) for "hamming".

        Raises ValueError without an embedder, DimensionMismatchError for another shape than (n, dim),
        InvalidVectorError for NaN or infinity.
        """
        return self._embed(texts, self.prompt)

    def embed_query(self, texts: Iterable[str]) -> NDArray[Any]:
        """Texts to be searched for as vectors: as `embed`, with `query_prompt`."""
        return self._embed(texts, self.prompt if self.query_prompt is None else self.query_prompt)

    def tag(self, vectors: Any) -> TaggedVectors:
        """Vectors that carry this model's fingerprint through writes and searches."""
        return TaggedVectors(np.asarray(vectors), self)

    def diff(self, other: Model) -> dict[str, tuple[Any, Any]]:
        """What differs from another model: field → (here, there)."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in IDENTITY}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.identity().items())
        return f"Model({fields}, fingerprint={self.fingerprint[:12]}…)"

    def __reduce__(self) -> Any:
        return Model.from_canonical, (self.canonical(), self.embed_with)

    def _embed(self, texts: Iterable[str], prompt: str | None) -> NDArray[Any]:
        if isinstance(texts, str):
            raise TypeError("embed takes a list of texts: write embed([text])")
        listed = list(texts)
        for at, text in enumerate(listed):
            if not isinstance(text, str):
                raise TypeError(f"text {at} is a {type(text).__name__}, not a str")
        if self.embed_with is None:
            raise ValueError(
                f"the model {self.name!r} has no embedder bound to it: give embed= to Model or to get_collection, or "
                "give vectors"
            )
        if not listed:
            return self._checked(np.zeros(self._shape(0), self._dtype()), 0)
        made = settled(self.embed_with([prompt + text for text in listed] if prompt else listed))
        return self._checked(made, len(listed))

    def _shape(self, rows: int) -> tuple[int, int]:
        dim = self.full_dim or self.dim
        return (rows, dim // 8 if self.metric == "hamming" else dim)

    def _dtype(self) -> type:
        return np.uint8 if self.metric == "hamming" else np.float32

    def _checked(self, vectors: Any, rows: int) -> NDArray[Any]:
        array = np.asarray(vectors)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"the embedder of {self.name!r} returned {array.dtype}, not numbers")
        if array.shape != self._shape(rows):
            raise DimensionMismatchError(
                f"the embedder of {self.name!r} returned an array of shape {array.shape} for {rows} texts; "
                f"expected {self._shape(rows)}"
            )
        kept = self.dim // 8 if self.metric == "hamming" else self.dim
        array = np.ascontiguousarray(array[:, :kept], dtype=self._dtype())
        finite = np.isfinite(array).all(axis=1) if array.dtype.kind == "f" else np.ones(rows, bool)
        if not finite.all():
            at = int(finite.argmin())
            raise InvalidVectorError(f"the embedder of {self.name!r} returned NaN or infinity for text {at}")
        if self.normalize and array.dtype.kind == "f":
            norms = np.linalg.norm(array, axis=1, keepdims=True)
            array = (array / np.where(norms > 0, norms, 1)).astype(np.float32)
        return array


class TaggedVectors:
    """An array that says which model made it: `model.tag(array)`. Slices keep the tag; arithmetic drops it."""

    __slots__ = ("model", "vectors")

    def __init__(self, vectors: NDArray[Any], model: Model) -> None:
        self.vectors = vectors
        self.model = model

    @property
    def fingerprint(self) -> str:
        return self.model.fingerprint

    @property
    def shape(self) -> tuple[int, ...]:
        return self.vectors.shape

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, at: Any) -> TaggedVectors:
        return TaggedVectors(self.vectors[at], self.model)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = np.asarray(self.vectors, dtype=dtype)
        return array.copy() if copy and array is self.vectors else array

    def __repr__(self) -> str:
        return f"TaggedVectors(shape={self.shape}, model={self.model.name!r}, {self.fingerprint[:12]}…)"


def mismatch(given: Model, served: Model, *, doing: str, collection: str) -> ModelMismatchError:
    """The error for vectors of one model where another one's are stored: what differs, and what mends it."""
    fields = [f"  {name}: {theirs!r} here, {ours!r} in the collection"
              for name, (theirs, ours) in given.diff(served).items()]  # fmt: skip
    return ModelMismatchError(
        f"cannot {doing} in {collection!r} with another model than the one that made its vectors:\n"
        f"  given   {given.name!r}, fingerprint {given.fingerprint}\n"
        f"  stored  {served.name!r}, fingerprint {served.fingerprint}\n" + "\n".join(fields) + "\n"
        f"Embed with the stored model (collection.model.embed(texts), or give text), or migrate the collection to the "
        f"new one: collection.migrate(to=Model({given.name!r}, ...))."
    )


def unnamed(served: Model, *, doing: str, collection: str) -> ModelMismatchError:
    """The error for vectors that do not say which model made them, where more than one can have."""
    return ModelMismatchError(
        f"cannot {doing} in {collection!r} with an array that does not say which model made it: the collection was "
        f"migrated, and serves {served.name!r}, fingerprint {served.fingerprint}, now. Give text, tag the array "
        f"(model.tag(array)), or name the model (model=)."
    )


def _bound(
    name: str, revision: str | None, embed: Embed | str | None, max_tokens: int | None
) -> tuple[Embed | None, str | None]:
    """The embedder that is meant, and the revision that it is of."""
    if isinstance(embed, str):
        return embedders.embedder(embed, max_tokens=max_tokens), revision
    if embed is not None and not callable(embed):
        raise TypeError(f"embed is a {type(embed).__name__}: give a callable from a list of str to an array")
    if embed is None and embedders.is_spec(name):
        bound = embedders.embedder(name, max_tokens=max_tokens)
        ours = getattr(bound, "revision", revision)
        return (bound, ours) if revision in (None, ours) else (None, revision)  # another algorithm than this version's
    return embed, revision


def _check_dim(name: str, dim: int | None, metric: str) -> int:
    if dim is None:
        raise ValueError(f"Model({name!r}) needs dim=, the length of the vectors that it makes")
    if type(dim) is not int or not 1 <= dim <= 65536:
        raise ValueError(f"dim is a whole number from 1 to 65536, not {dim!r}")
    if metric == "hamming" and dim % 8:
        raise ValueError(f"dim counts bits for hamming, and is a multiple of 8, not {dim}")
    return dim
