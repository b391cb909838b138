"""Embedders by name, and one that needs nothing: `hash:DIM`.

An embedder is a callable from a list of str to an array (n, dim), or to an awaitable of one. What it may say of itself,
and `refresh` obeys: `max_batch`, texts in one call; `max_batch_tokens`, tokens in one call; `max_concurrency`, calls at
a time; `count_tokens(text)`, an int; `price`, of a million tokens; `dim`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Embedder = Callable[[Sequence[str]], Any]

LIMITS = frozenset({"max_batch", "max_batch_tokens", "max_concurrency", "count_tokens", "price"})

_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def embedder(spec: str, *, max_tokens: int | None = None) -> Embedder:
    """The embedder that a spec names: a callable from a list of str to a float array (n, dim).

    `hash:DIM` (built in, no download); `sentence-transformers:NAME`; `openai:NAME`, of an endpoint that speaks OpenAI's
    protocol (see `lamina.endpoints`); or `module:callable`, which is imported. Raises ValueError for a spec of another
    form, ImportError saying what to install.
    """
    scheme, _, rest = spec.partition(":")
    if scheme == "hash":
        if not re.fullmatch(r"[1-9][0-9]{0,4}", rest) or int(rest) > 65536:
            raise ValueError(f"hash:DIM needs a dimension from 1 to 65536, as in hash:384, not {spec!r}")
        return HashEmbedder(int(rest), max_words=max_tokens)
    if scheme == "sentence-transformers" and rest:
        return SentenceTransformersEmbedder(rest, max_tokens=max_tokens)
    if scheme == "openai" and rest:
        from lamina.endpoints import OpenAIEmbedder

        return OpenAIEmbedder(rest)
    if _CALLABLE.fullmatch(spec):
        return CallableEmbedder(spec)
    raise ValueError(
        f"embedder {spec!r} is not of the form hash:DIM, sentence-transformers:NAME, openai:NAME or module:callable"
    )


def is_spec(name: str) -> bool:
    """Whether `embedder` understands this name."""
    return name.startswith(("hash:", "sentence-transformers:", "openai:")) or _CALLABLE.fullmatch(name) is not None


class CallableEmbedder:
    """`module:callable`, imported when it is first called."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._call: Embedder | None = None

    def __call__(self, texts: Sequence[str]) -> Any:
        return self._loaded()(texts)

    def __getattr__(self, name: str) -> Any:
        if name not in LIMITS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._loaded(), name)

    def _loaded(self) -> Embedder:
        if self._call is None:
            self._call = self._load()
        return self._call

    def _load(self) -> Embedder:
        module, _, path = self.spec.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            if not hasattr(found, name):
                raise ImportError(f"embedder {self.spec!r}: {found!r} has no attribute {name!r}")
            found = getattr(found, name)
        if not callable(found):
            raise TypeError(f"embedder {self.spec!r} is a {type(found).__name__}, which cannot be called")
        call: Embedder = found
        return call


class SentenceTransformersEmbedder:
    """A model of the sentence-transformers package, loaded when it is first called."""

    max_concurrency = 1  # a call keeps the whole device busy

    def __init__(self, name: str, *, max_tokens: int | None = None) -> None:
        self.name = name
        self._max_tokens = max_tokens
        self._model: Any = None

    @property
    def dim(self) -> int:
        return int(self._loaded().get_sentence_embedding_dimension())

    def __call__(self, texts: Sequence[str]) -> Any:
        return self._loaded().encode(list(texts), convert_to_numpy=True, show_progress_bar=False)

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                from sentence_transformers import SentenceTransformer
            except ImportError as error:
                raise ImportError(
                    f"sentence-transformers:{self.name} needs the sentence-transformers package: "
                    'pip install "lamina[sentence-transformers]"'
                ) from error
            self._model = SentenceTransformer(self.name)
            if self._max_tokens is not None:
                self._model.max_seq_length = self._max_tokens
        return self._model


class HashEmbedder:
    """Signed feature hashing of words, pairs of words, and character n-grams within a word.

    Each feature adds ± weight · √count to one of `dim` places, chosen by a hash; vectors have unit length (all zero for
    a text without a letter or digit). Texts that share words or parts of words are near; there is no meaning in it.
    After Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009), with the character n-grams of
    Bojanowski et al., "Enriching Word Vectors with Subword Information" (2017).

    The same text gives the same bits on every machine: sums are of whole numbers, and the only operations that round
    (√ and ÷) are exact to the last bit by IEEE 754.
    """

    revision = "1"  # of this algorithm; another one makes another model

    def __init__(self, dim: int, *, max_words: int | None = None) -> None:
        self.dim = dim
        self.max_words = max_words

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.empty((len(texts), self.dim), np.float32)
        start = 0
        while start < len(texts):  # batches of bounded length keep the work in the cache
            stop, size = start + 1, len(texts[start])
            while stop < len(texts) and stop - start < 256 and size + len(texts[stop]) < 1 << 16:
                size += len(texts[stop])
                stop += 1
            out[start:stop] = self._embed(texts[start:stop])
            start = stop
        return out

    def __repr__(self) -> str:
        return f"HashEmbedder({self.dim})"

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        features = _features(texts, self.max_words)
        text, key, weight = _counted(*features)
        place = (key % np.uint64(self.dim)).astype(np.int64)
        sign = 1 - 2 * (key >> np.uint64(63)).astype(np.int64)
        sums = np.bincount(text * self.dim + place, weights=sign * weight, minlength=len(texts) * self.dim)
        rows = sums.reshape(len(texts), self.dim)
        norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        unit: NDArray[np.float32] = (rows / np.where(norms > 0, norms, 1)).astype(np.float32)
        return unit


SCALE = 64  # weights are whole numbers of 1/64
PAIR_WEIGHT = 12
GRAM_WEIGHTS = {3: 24, 4: 24, 5: 24}
WORD_MAX = 64  # letters of a word that count

_PRIME = 0x9E3779B97F4A7C15
_POWERS = np.multiply.accumulate(np.full(WORD_MAX, _PRIME, np.uint64))


def _features(
    texts: Sequence[str], max_words: int | None
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Every feature of every text, repeats included: (which text, hash, weight)."""
    letters, is_letter = _letters(texts)
    edges = np.diff(is_letter.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    text_ends = np.cumsum([len(text) + 1 for text in texts])
    owner = np.searchsorted(text_ends, starts, side="right")
    if max_words is not None:
        first = np.searchsorted(owner, owner)  # each word's text's first word
        kept = np.arange(len(starts)) - first < max_words
        starts, stops, owner = starts[kept], stops[kept], owner[kept]
    lengths = np.minimum(stops - starts, WORD_MAX)
    word = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(word)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes = letters[np.repeat(starts, lengths) + within]
    hashes = _sums(codes * _POWERS[within], lengths)

    kinds = [(owner, _mix(hashes, 1), _word_weights(lengths))]
    if len(starts) > 1:
        same = owner[1:] == owner[:-1]
        pairs = _mix(hashes[:-1], 2) + hashes[1:]
        kinds.append((owner[1:][same], _mix(pairs[same], 3), np.full(int(same.sum()), PAIR_WEIGHT)))
    for size, weight in GRAM_WEIGHTS.items():
        grams, of_word = _grams(codes, lengths, size)
        kinds.append((owner[of_word], _mix(grams, 10 + size), np.full(len(grams), weight)))
    text, key, weight_of = (np.concatenate(column) for column in zip(*kinds, strict=True))
    return text, key, weight_of


def _letters(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The characters of all texts, each text followed by a separator, and which of them are letters or digits.

    Cases are folded by a fixed table for ASCII, Latin, Greek and Cyrillic, not by Python's, which grows with Unicode.
    """
    joined = "\0".join(texts) + "\0"
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    upper = (
        ((points >= 0x41) & (points <= 0x5A))
        | ((points >= 0xC0) & (points <= 0xDE) & (points != 0xD7))
        | ((points >= 0x391) & (points <= 0x3A9))
        | ((points >= 0x410) & (points <= 0x42F))
    )
    points[upper] += np.uint64(0x20)
    ascii_letter = ((points >= 0x61) & (points <= 0x7A)) | ((points >= 0x30) & (points <= 0x39))
    symbol = (
        ((points >= 0x80) & (points < 0xC0) & (points != 0xAA) & (points != 0xB5) & (points != 0xBA))
        | (points == 0xD7) | (points == 0xF7)
        | ((points >= 0x2000) & (points < 0x2070))  # spaces, dashes, quotes
        | ((points >= 0x2190) & (points < 0x2C00))  # arrows, mathematics, drawings
        | ((points >= 0x3000) & (points < 0x3041))  # CJK punctuation
        | ((points >= 0xFF00) & (points < 0xFF10))
    )  # fmt: skip
    return points, ascii_letter | ((points >= 0x80) & ~symbol)


def _grams(
    codes: NDArray[np.uint64], lengths: NDArray[np.int64], size: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of all runs of `size` letters of each word with a mark at both its ends, and the word of each."""
    padded = lengths + 2
    total = int(padded.sum())
    if total < size:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    word = np.repeat(np.arange(len(lengths)), padded)
    begins = np.cumsum(padded) - padded
    marked = np.full(total, ord(" "), np.uint64)
    inner = np.ones(total, bool)
    inner[begins] = inner[begins + padded - 1] = False
    marked[inner] = codes
    grams = marked[: total - size + 1] * _POWERS[0]
    for at in range(1, size):
        grams = grams + marked[at : total - size + 1 + at] * _POWERS[at]
    whole = word[: total - size + 1] == word[size - 1 :]
    return grams[whole], word[: total - size + 1][whole]


def _counted(
    text: NDArray[np.int64], key: NDArray[np.uint64], weight: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Each distinct feature of each text once, its weight times the root of its count (rounded to a whole number)."""
    if not len(key):
        return text, key, weight
    order = np.lexsort((key, text))
    text, key, weight = text[order], key[order], weight[order]
    new = np.ones(len(key), bool)
    new[1:] = (key[1:] != key[:-1]) | (text[1:] != text[:-1])
    first = np.flatnonzero(new)
    counts = np.diff(first, append=len(key))
    return text[first], key[first], np.rint(weight[first] * np.sqrt(counts)).astype(np.int64)


def _word_weights(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Longer words tell more: the weight grows with the letters, up to eight."""
    return SCALE * np.minimum(lengths, 8) // 8


def _sums(values: NDArray[np.uint64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Sums of consecutive runs of these lengths (each at least 1), modulo 2**64."""
    if not len(lengths):
        return np.empty(0, np.uint64)
    sums: NDArray[np.uint64] = np.add.reduceat(values, np.cumsum(lengths) - lengths)
    return sums


def _mix(values: NDArray[np.uint64], kind: int) -> NDArray[np.uint64]:
    """A 64-bit finaliser (SplitMix64's), so that every bit of a hash depends on every bit of the feature."""
    mixed: NDArray[np.uint64] = values + np.uint64(kind * _PRIME % (1 << 64))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
