"""Models are values, told apart by what changes their numbers.

Goal: a fingerprint depends on every field that changes a vector, on nothing else, and never drifts. Method: change each
field alone; compare with a fingerprint that was written down; embed with callables that misbehave.
"""

from __future__ import annotations

import asyncio
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina import DimensionMismatchError, InvalidVectorError, Model, ModelMismatchError
from lamina.models import mismatch

BASE: dict[str, Any] = {"name": "m", "revision": "1", "dim": 8, "metric": "cosine"}


def ones(texts: list[str]) -> np.ndarray:
    return np.ones((len(texts), 8))


def test_the_fingerprint_is_sha256_of_the_canonical_json() -> None:
    model = Model("m", revision="1", dim=8)
    assert model.canonical() == '{"dim":8,"metric":"cosine","name":"m","revision":"1"}'
    assert model.fingerprint == hashlib.sha256(model.canonical().encode()).hexdigest()
    assert bytes.fromhex(model.fingerprint) == model.digest


def test_the_fingerprint_of_today_is_the_one_of_tomorrow() -> None:
    assert Model("hash:384").fingerprint == "558ead119d08b544cca621da4f752dc9597a0511011d530bb001405ddb2f47a2"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n"), ("revision", "2"), ("revision", None), ("dim", 16), ("metric", "ip"), ("normalize", True),
        ("prompt", "passage: "), ("query_prompt", "query: "), ("max_tokens", 256),
        ("truncation", "left"), ("pooling", "mean"), ("full_dim", 32),
    ],
)  # fmt: skip
def test_each_field_changes_it_and_the_difference_names_it(field: str, value: object) -> None:
    one, other = Model(**BASE), Model(**(BASE | {field: value}))
    assert one != other
    assert one.fingerprint != other.fingerprint
    assert one.diff(other) == {field: (BASE.get(field, False if field == "normalize" else None), value)}


def test_the_embedder_is_not_part_of_it() -> None:
    assert Model(**BASE) == Model(**BASE, embed=ones)
    assert hash(Model(**BASE)) == hash(Model(**BASE, embed=ones))


@pytest.mark.parametrize(
    ("alias", "metric"),
    [("cos", "cosine"), ("dot", "ip"), ("inner_product", "ip"), ("l2sq", "l2"), ("euclidean", "l2")],
)
def test_aliases_of_a_metric_are_one_metric(alias: str, metric: str) -> None:
    assert Model("m", dim=8, metric=alias) == Model("m", dim=8, metric=metric)
    assert Model("m", dim=8, metric=alias).metric == metric


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": ""}, "non-empty"), ({"dim": 0}, "dim"), ({"dim": -4}, "dim"), ({"dim": True}, "dim"),
        ({"dim": 1.5}, "dim"), ({"dim": 70000}, "dim"), ({"dim": None}, "dim="), ({"metric": "manhattan"}, "manhattan"),
        ({"metric": "hamming", "dim": 12}, "multiple of 8"), ({"full_dim": 4}, "cut to dim=8"),
        ({"full_dim": "x"}, "dim"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model(**(BASE | changed))


def test_a_model_cannot_change() -> None:
    model = Model(**BASE)
    with pytest.raises(AttributeError):
        model.dim = 16  # type: ignore[misc]


def test_it_travels_as_json_and_as_a_pickle() -> None:
    model = Model(**BASE, prompt="é ", query_prompt="q", max_tokens=3, normalize=True)
    assert Model.from_canonical(model.canonical()) == model
    assert pickle.loads(pickle.dumps(model)) == model
    with pytest.raises(ValueError, match="not a model"):
        Model.from_canonical('{"name": "m", "dim": 8, "colour": "red"}')


def test_prompts_go_before_texts_and_queries() -> None:
    seen: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return ones(texts)

    Model(**BASE, embed=embed, prompt="p:", query_prompt="q:").embed(["a"])
    Model(**BASE, embed=embed, prompt="p:", query_prompt="q:").embed_query(["a"])
    Model(**BASE, embed=embed, prompt="p:").embed_query(["a"])
    Model(**BASE, embed=embed, prompt="p:", query_prompt="").embed_query(["a"])
    Model(**BASE, embed=embed).embed_query(["a"])
    assert seen == ["p:a", "q:a", "p:a", "a", "a"]


def test_embed_returns_contiguous_float32_and_normalizes() -> None:
    vectors = Model(**BASE, embed=lambda texts: np.full((8, len(texts)), 3, np.float64).T, normalize=True).embed(
        ["a", "b"]
    )
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert Model(**BASE, embed=ones).embed([]).shape == (0, 8)


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (np.ones((2, 7)), DimensionMismatchError), (np.ones((3, 8)), DimensionMismatchError),
        (np.ones(8), DimensionMismatchError), (np.full((2, 8), np.nan), InvalidVectorError),
        (np.full((2, 8), np.inf), InvalidVectorError), (np.full((2, 8), "x"), TypeError),
        (np.ones((2, 8), complex), TypeError),
    ],
)  # fmt: skip
def test_an_embedder_that_misbehaves_is_refused(returned: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error, match="embedder of 'm'"):
        Model(**BASE, embed=lambda texts: returned).embed(["a", "b"])


def test_longer_vectors_are_cut_and_then_scaled() -> None:
    model = Model("m", dim=2, full_dim=4, normalize=True, embed=lambda texts: np.array([[3, 4, 5, 6]] * len(texts)))
    np.testing.assert_allclose(model.embed(["a"]), [[0.6, 0.8]], rtol=1e-6)
    assert Model("m", dim=4, full_dim=4) == Model("m", dim=4)
    with pytest.raises(DimensionMismatchError, match=r"\(1, 4\)"):
        model.bind(lambda texts: np.ones((len(texts), 2))).embed(["a"])
    bits = Model("m", dim=8, full_dim=16, metric="hamming", embed=lambda texts: np.full((1, 2), [1, 2], np.uint8))
    assert bits.embed(["a"]).tolist() == [[1]]


def test_an_embedder_may_be_a_coroutine_function() -> None:
    async def embed(texts: list[str]) -> np.ndarray:
        return ones(texts)

    model = Model(**BASE, embed=embed)
    assert model.embed(["a", "b"]).shape == (2, 8)

    async def main() -> np.ndarray:
        return model.embed(["a"])  # while this thread's own loop is busy with it

    assert asyncio.run(main()).shape == (1, 8)


def test_texts_are_a_list_of_str() -> None:
    with pytest.raises(TypeError, match="list"):
        Model(**BASE, embed=ones).embed("text")
    with pytest.raises(TypeError, match="text 1 is a int"):
        Model(**BASE, embed=ones).embed(["a", 5])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no embedder"):
        Model(**BASE).embed(["a"])


def test_tagged_vectors_keep_their_model_in_slices_and_lose_it_in_arithmetic() -> None:
    model = Model(**BASE)
    tagged = model.tag([[1.0] * 8] * 3)
    assert (tagged.fingerprint, tagged.shape, len(tagged)) == (model.fingerprint, (3, 8), 3)
    assert tagged[1:].model is model
    assert type(np.asarray(tagged) * 2) is np.ndarray


def test_a_search_takes_one_model_and_nothing_else_for_it(tmp_path: Path) -> None:
    served, other = Model(**BASE), Model("other", dim=8)
    with lamina.open(tmp_path / "kb", create=True) as store:
        docs = store.create_collection("docs", model=served)
        docs.upsert([1], vectors=np.ones((1, 8), np.float32))
        query = served.tag(np.ones(8, np.float32))
        for way in ({}, {"model": served}, {"model": Model(**BASE)}):
            assert docs.search(query, **way).ids.tolist() == [1]
        with pytest.raises(ModelMismatchError, match="other"):
            docs.search(query, model=other)
        with pytest.raises(ModelMismatchError, match="other"):
            docs.search(other.tag(query.vectors), model=served)
        with pytest.raises(TypeError, match="is a lamina"):
            docs.search(query, model="m")  # type: ignore[arg-type]


def test_a_mismatch_says_both_fingerprints_the_difference_and_what_mends_it() -> None:
    given, served = Model("m", revision="2", dim=8), Model("m", revision="1", dim=8)
    message = str(mismatch(given, served, doing="search", collection="docs"))
    assert given.fingerprint in message
    assert served.fingerprint in message
    assert "revision: '2' here, '1' in the collection" in message
    assert "collection.model.embed" in message
    assert "dim" not in message.split("Embed with")[0].replace("dimension", "")
