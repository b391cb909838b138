"""Values that cannot be stored as they are given: refused by name, or stored as what they mean.

Each test is a defect that was found by hand.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import lamina
from lamina.collection import Collection

V = np.eye(4, dtype=np.float32)
ALONE = "a\ud800"  # a lone surrogate


@pytest.fixture
def docs(tmp_path: Path) -> Any:
    store = lamina.open(tmp_path / "s", create=True)
    yield store.create_collection("docs", model=lamina.Model("m", dim=4, metric="l2"))
    store.close()


def test_decimals_widen_to_the_digits_of_both(docs: Collection) -> None:
    docs.add([1], V[:1], metadata=[{"price": Decimal("12.5")}])
    docs.add([2], V[:1], metadata=[{"price": Decimal("0.125")}])
    docs.optimize()
    docs.add([3], V[:1], metadata=[{"price": Decimal("1234567.1")}])
    assert [row["price"] for row in docs.get([1, 2, 3]).metadata or []] == [
        Decimal("12.5"), Decimal("0.125"), Decimal("1234567.1"),
    ]  # fmt: skip
    docs.add([4], V[:1], metadata=[{"price": Decimal(10**60)}])
    with pytest.raises(TypeError, match=r"'price'.*decimal"):
        docs.add([5], V[:1], metadata=[{"price": Decimal("1e-30")}])


def test_zones_of_time_are_one_time(docs: Collection) -> None:
    noon = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone.utc)
    zones = [datetime.timezone.utc, ZoneInfo("Europe/Berlin"), datetime.timezone(datetime.timedelta(hours=-3))]
    for id, zone in enumerate(zones):
        docs.add([id], V[:1], metadata=[{"at": noon.astimezone(zone)}])
    docs.optimize()
    assert [row["at"] for row in docs.get([0, 1, 2]).metadata or []] == [noon] * 3
    with pytest.raises(TypeError, match="'at'"):
        docs.add([3], V[:1], metadata=[{"at": noon.replace(tzinfo=None)}])


def test_what_lies_under_a_mask_is_no_value(docs: Collection) -> None:
    mask = [False, True]
    docs.add([1, 2], V[:2], metadata={
        "n": np.ma.masked_array([1, 2], mask), "x": np.ma.masked_array([0.5, 1.5], mask),
        "t": np.ma.masked_array(["a", "b"], mask), "o": np.ma.masked_array(["c", "d"], mask, dtype=object),
    })  # fmt: skip
    assert docs.get([1, 2]).metadata == [{"n": 1, "x": 0.5, "t": "a", "o": "c"}, {}]
    masked = np.ma.masked_array(V[:2], [[False] * 4, [False, True, False, False]])
    index = lamina.Index(dim=4)
    for refused in (
        lambda: docs.add([3, 4], masked),
        lambda: docs.add(np.ma.masked_array([3, 4], mask), V[:2]),
        lambda: docs.search(masked[1]),
        lambda: index.search(masked[1]),
        lambda: index.add(masked),
    ):
        with pytest.raises(ValueError, match="masked"):
            refused()
    assert docs.search(np.ma.masked_array(V[0]), k=1).ids.tolist() == [1]


SURROGATES: dict[str, Callable[[Collection], Any]] = {
    "id": lambda docs: docs.add([ALONE], V[:1]),
    "id to get": lambda docs: docs.get([ALONE]),
    "id to delete": lambda docs: docs.delete([ALONE]),
    "content": lambda docs: docs.add([1], V[:1], content=[ALONE]),
    "metadata": lambda docs: docs.add([1], V[:1], metadata=[{"x": ALONE}]),
    "metadata in a column": lambda docs: docs.add([1], V[:1], metadata={"x": [ALONE]}),
    "metadata in a list": lambda docs: docs.add([1], V[:1], metadata=[{"x": [ALONE]}]),
    "name of a column": lambda docs: docs.add([1], V[:1], metadata=[{ALONE: 1}]),
    "name of a collection": lambda docs: docs._store.create_collection(ALONE, model="hash:8"),
}


@pytest.mark.parametrize("write", SURROGATES.values(), ids=SURROGATES.keys())
def test_lone_surrogates_are_refused_by_name(docs: Collection, write: Callable[[Collection], Any]) -> None:
    with pytest.raises(ValueError, match=r"\\ud800") as caught:
        write(docs)
    assert type(caught.value) is ValueError
    assert len(docs) == 0


WRONG_TYPES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "ef": lambda store, docs, index: docs.search(V[0], ef="x"),
    "recall": lambda store, docs, index: docs.search(V[0], recall="x"),
    "exact": lambda store, docs, index: docs.search(V[0], exact="x"),
    "threads": lambda store, docs, index: docs.search(V[:1], threads="x"),
    "k": lambda store, docs, index: docs.search(V[0], k="x"),
    "ef of an index": lambda store, docs, index: index.search(V[0], ef=1.5),
    "recall of an index": lambda store, docs, index: index.search(V[0], recall=[]),
    "exact of an index": lambda store, docs, index: index.search(V[0], exact="x"),
    "metric": lambda store, docs, index: lamina.Index(4, metric=5),
    "m": lambda store, docs, index: lamina.Index(4, m="x"),
    "threads to optimize": lambda store, docs, index: docs.optimize(threads="x"),
    "threads to optimize all": lambda store, docs, index: store.optimize(threads=1.5),
    "batch_size": lambda store, docs, index: docs.scan(batch_size="x"),
    "if_version": lambda store, docs, index: docs.add([1], V[:1], if_version="x"),
    "log_limit": lambda store, docs, index: lamina.open(store.path, log_limit="x"),
    "a collection's name": lambda store, docs, index: store.create_collection(5, model="hash:8"),
    "a name to get": lambda store, docs, index: store.get_collection(None),
    "a name to drop": lambda store, docs, index: store.drop_collection(b"docs"),
    "m of a collection": lambda store, docs, index: store.create_collection("x", model="hash:8", m="x"),
    "dtype of a collection": lambda store, docs, index: store.create_collection("x", model="hash:8", dtype=5),
}


@pytest.mark.parametrize("call", WRONG_TYPES.values(), ids=WRONG_TYPES.keys())
def test_an_argument_of_a_wrong_type_is_named(docs: Any, call: Callable[[Any, Any, Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        call(docs._store, docs, lamina.Index(4))
    assert "incompatible" not in str(caught.value)
    assert any(given in str(caught.value) for given in ("'x'", "1.5", "5", "[]", "None", "b'docs'"))


def test_an_empty_list_is_no_query_and_no_batch(docs: Collection) -> None:
    index = lamina.Index(4)
    for searched in (docs, index):
        with pytest.raises(ValueError, match=r"\(0, 4\)"):
            searched.search([])
        assert len(searched.search(np.empty((0, 4), np.float32))) == 0
