"""The canary: a model that changed behind an unchanged name is noticed.

Goal: other numbers are refused with what was measured, the same ones with noise are not. Method: embedders that turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.python.counting import Counting

import lamina
from lamina import Model, ModelMismatchError, RefreshError, canary
from lamina.embedders import HashEmbedder
from lamina.kept import NO_CANARY, kept_of

BASE = HashEmbedder(32)


def noisy(texts: Sequence[str]) -> np.ndarray:
    return BASE(texts) + np.random.default_rng(len(texts)).normal(scale=1e-4, size=(len(texts), 32))


def mixed(texts: Sequence[str]) -> np.ndarray:
    return BASE(texts) + 0.1 * BASE([text[::-1] for text in texts])


@pytest.mark.parametrize(
    ("metric", "embed", "message"),
    [
        ("cosine", BASE, None), ("cosine", noisy, None), ("ip", noisy, None), ("cosine", lambda t: 3 * BASE(t), None),
        ("cosine", mixed, "cosine 0.9"), ("l2", mixed, "cosine"), ("ip", lambda t: 1.1 * BASE(t), "lengths"),
        ("cosine", lambda t: -BASE(t), "cosine -1.0000"),
    ],
)  # fmt: skip
def test_drift_is_refused_and_noise_is_not(
    tmp_path: Path, metric: str, embed: Callable[[Sequence[str]], np.ndarray], message: str | None
) -> None:
    with lamina.open(tmp_path / "s", create=True, durability="os") as store:
        docs = store.create_collection("docs", Model("own", dim=32, metric=metric, embed=BASE))
        docs.refresh([("a", "text")])
    with lamina.open(tmp_path / "s", durability="os") as store:
        docs = store.get_collection("docs")
        if message is None:
            assert docs.refresh([("a", "text")], embed=embed).unchanged == 1
        else:
            with pytest.raises(ModelMismatchError, match=message):
                docs.refresh([("b", "other")], embed=embed)
            assert docs.ids().tolist() == ["a"]


def test_it_comes_with_the_first_texts_that_are_embedded(tmp_path: Path) -> None:
    with lamina.open(tmp_path / "s", create=True, durability="os") as store:
        docs = store.create_collection("docs", Model("own", dim=32, embed=BASE))
        docs.add(["v"], BASE(["vector"]))
        assert kept_of(docs).canary(docs.model) == ""
        with pytest.raises(lamina.DuplicateIdError):
            docs.add(["v"], content=["refused"])
        assert kept_of(docs).canary(docs.model) == ""
        written = docs.add(["a"], content=["text"], if_version=docs.version)
        assert (docs.version, kept_of(docs).canary(docs.model)) == (written.version, canary.encode(BASE(canary.TEXTS)))
    with lamina.open(tmp_path / "s", durability="os") as store:
        docs = store.get_collection("docs", embed=mixed)
        with pytest.raises(ModelMismatchError, match="cosine"):
            docs.refresh([("a", "text")])


def test_bits(tmp_path: Path) -> None:
    def bits(texts: Sequence[str]) -> np.ndarray:
        return np.packbits(BASE(texts) > 0, axis=1)

    with lamina.open(tmp_path / "s", create=True, durability="os") as store:
        docs = store.create_collection("docs", Model("own", dim=32, metric="hamming", embed=bits))
        docs.refresh([("a", "text")])
        assert docs.refresh([("a", "text")]).unchanged == 1
        with pytest.raises(ModelMismatchError, match="of the bits differ"):
            docs.refresh([("a", "text")], embed=lambda texts: ~bits(texts))


def test_an_embedder_that_cannot_embed_the_fixed_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Such as one that looks up what was embedded before."""

    def look_up(texts: Sequence[str]) -> np.ndarray:
        return np.array([{"one": [1, 0], "two": [0, 1]}[text] for text in texts], np.float32)

    with lamina.open(tmp_path / "s", create=True, durability="os") as store:
        docs = store.create_collection("docs", Model("own", dim=2, embed=look_up))
        docs.add(["z"], content=["two"])
        assert kept_of(docs).canary(docs.model) == NO_CANARY
        assert docs.refresh([("a", "one"), ("b", "three"), ("c", "two")], batch_size=1, concurrency=1).failed == 1
        assert "cannot embed the fixed texts" in caplog.text
        other = store.create_collection("other", Model("own", dim=4, embed=Counting()))
        other.refresh([("a", "one")])
        with pytest.raises(RefreshError, match="KeyError"):
            other.refresh([("a", "one")], embed=look_up)


def test_the_texts_never_change() -> None:
    """What stores have kept is of these."""
    joined = "\n".join(canary.TEXTS)
    assert hashlib.sha256(joined.encode()).hexdigest()[:16] == "1dedceeeb4358b22"
