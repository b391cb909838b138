"""The grammar of filters, their keys and their errors.

Goal: what a filter may say is checked before it is asked, and its key says all of it. Method: examples of each operator
on one small collection; keys read back into what they were made of.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lamina
from lamina import Collection, Filter, FilterError, Model
from lamina.predicate import Predicate

UTC = dt.timezone.utc
ROWS: dict[str, dict[str, Any]] = {
    "a": {"n": 1, "x": 0.5, "s": "red", "b": True, "t": dt.datetime(2020, 1, 1), "tags": ["p", "q"], "p": {"k": 1}},
    "b": {"n": 2, "x": 1.5, "s": "green", "b": False, "t": dt.datetime(2021, 1, 1), "tags": [], "p": {"k": 2}},
    "c": {"n": 3, "x": float("nan"), "s": "", "b": True, "t": dt.datetime(2022, 1, 1), "tags": ["q", None]},
    "d": {"z": dt.datetime(2020, 6, 1, tzinfo=UTC), "m": decimal.Decimal("1.50"), "d": dt.date(2020, 2, 3)},
    "e": {"n": 2**60, "x": -0.0, "y": b"\x00\x01", "w": dt.timedelta(seconds=3), "h": dt.time(12, 30), "a.b": 7},
}
VECTORS = np.random.default_rng(3).normal(size=(len(ROWS), 4)).astype(np.float32)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    path = tmp_path_factory.mktemp("filters") / "s.lamina"
    with lamina.open(path, create=True, durability="os", maintenance="manual") as store:
        made = store.create_collection("docs", model=Model("m", dim=4))
        made.add(list(ROWS)[:3], VECTORS[:3], list(ROWS.values())[:3])
        made.optimize()
        made.add(list(ROWS)[3:], VECTORS[3:], list(ROWS.values())[3:])
        yield made


class Colour(str, enum.Enum):
    RED = "red"


PASSING: list[tuple[Any, str]] = [
    ({}, "abcde"),
    ({"n": 1}, "a"),
    ({"n": {"$eq": 1}}, "a"),
    ({"n": None}, "d"),
    ({"n": {"$ne": None}}, "abce"),
    ({"n": {"$ne": 1}}, "bcde"),
    ({"n": {"$gt": 1}}, "bce"),
    ({"n": {"$gte": 2, "$lt": 3}}, "b"),
    ({"n": {"$lte": 2.5}}, "ab"),
    ({"n": {"$gt": 2.5}}, "ce"),
    ({"n": {"$lt": float("inf")}}, "abce"),
    ({"n": {"$gt": 2.0**60}}, ""),
    ({"n": {"$gte": 2.0**60}}, "e"),
    ({"n": {"$lt": 10**30}}, "abce"),
    ({"n": {"$gte": -(10**30)}}, "abce"),
    ({"n": 10**30}, ""),
    ({"n": 1.0}, "a"),
    ({"n": 1.5}, ""),
    ({"n": {"$in": [1, 3, 1.5]}}, "ac"),
    ({"n": {"$in": []}}, ""),
    ({"n": {"$nin": []}}, "abcde"),
    ({"n": {"$in": [1, None]}}, "ad"),
    ({"n": {"$nin": [1, None]}}, "bce"),
    ({"n": {"$nin": [1]}}, "bcde"),
    ({"n": {"$in": np.array([2, 3])}}, "bc"),
    ({"n": np.int64(2)}, "b"),
    ({"n": {"$not": {"$gt": 1}}}, "ad"),
    ({"$not": {"n": {"$gt": 1}}}, "ad"),
    ({"$not": {"$not": {"n": 1}}}, "a"),
    ({"n": {"$exists": True}}, "abce"),
    ({"n": {"$exists": False}}, "d"),
    ({"x": {"$gt": 0}}, "ab"),
    ({"x": 0}, "e"),
    ({"x": {"$in": [0.0, 0.5]}}, "ae"),
    ({"x": {"$in": [0.5, float("nan")]}}, "a"),
    ({"x": float("nan")}, ""),
    ({"x": {"$ne": float("nan")}}, "abcde"),
    ({"x": {"$lt": 2**53 + 1}}, "abe"),
    ({"x": {"$lt": 10**400}}, "abe"),
    ({"x": {"$gte": -(10**400)}}, "abe"),
    ({"x": {"$in": [0.5, 10**400]}}, "a"),
    ({"x": {"$exists": True}}, "abce"),
    ({"s": "red"}, "a"),
    ({"s": Colour.RED}, "a"),
    ({"s": {"$gt": "green"}}, "a"),
    ({"s": {"$contains": "re"}}, "ab"),
    ({"s": {"$contains": ""}}, "abc"),
    ({"s": {"$not": {"$contains": "re"}}}, "cde"),
    ({"b": True}, "ac"),
    ({"b": {"$in": [True, False]}}, "abc"),
    ({"tags": {"$contains": "q"}}, "ac"),
    ({"tags": {"$not": {"$contains": "q"}}}, "bde"),
    ({"tags": {"$exists": True}}, "abc"),
    ({"p.k": 2}, "b"),
    ({"p.k": {"$exists": False}}, "cde"),
    ({"p": {"$exists": True}}, "ab"),
    ({"a.b": 7}, "e"),
    ({"t": {"$gte": dt.datetime(2021, 1, 1)}}, "bc"),
    ({"t": {"$gte": "2021-01-01T00:00:00"}}, "bc"),
    ({"t": np.datetime64("2021-01-01")}, "b"),
    ({"z": {"$lt": dt.datetime(2021, 1, 1, tzinfo=UTC)}}, "d"),
    ({"z": dt.datetime(2020, 6, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))}, "d"),
    ({"z": {"$lt": "2020-06-01T00:00:01Z"}}, "d"),
    ({"d": dt.date(2020, 2, 3)}, "d"),
    ({"d": {"$gt": "2020-02-02"}}, "d"),
    ({"m": {"$gt": decimal.Decimal("1.499")}}, "d"),
    ({"m": {"$in": [decimal.Decimal("1.5"), 3]}}, "d"),
    ({"m": {"$in": [decimal.Decimal("1.5"), decimal.Decimal("1e-90"), 10**90]}}, "d"),
    ({"m": {"$gt": decimal.Decimal("1.4" + "9" * 90)}}, "d"),
    ({"m": {"$gte": decimal.Decimal("1.5" + "0" * 90)}}, "d"),
    ({"m": {"$lt": decimal.Decimal("1.5" + "0" * 90)}}, ""),
    ({"m": {"$lt": decimal.Decimal("1.5" + "0" * 90 + "1")}}, "d"),
    ({"m": {"$lt": 10**90}}, "d"),
    ({"m": {"$gt": 10**90}}, ""),
    ({"m": {"$gt": decimal.Decimal("-9.999")}}, "d"),
    ({"m": {"$gte": decimal.Decimal("-1e999999")}}, "d"),
    ({"m": {"$lte": decimal.Decimal("1e-999999")}}, ""),
    ({"y": b"\x00\x01"}, "e"),
    ({"w": {"$gte": dt.timedelta(seconds=3)}}, "e"),
    ({"h": {"$lt": "12:31:00"}}, "e"),
    ({"_id": {"$in": ["a", "e", "zz"]}}, "ae"),
    ({"_id": {"$gte": "c"}}, "cde"),
    ({"_scope": ""}, "abcde"),
    ({"_updated_at": {"$gt": "2020-01-01T00:00:00Z"}}, "abcde"),
    ({"_created_at": {"$lt": dt.datetime(2020, 1, 1, tzinfo=UTC)}}, ""),
    ({"_embedded_at": {"$exists": True}}, "abcde"),
    ({"n": 1, "s": "red"}, "a"),
    ({"$or": [{"n": 1}, {"s": "green"}]}, "ab"),
    ({"$and": [{"n": {"$gt": 0}}, {"$or": [{"b": True}, {"x": {"$lt": 0.5}}]}]}, "ace"),
    (pc.field("n") >= 2, "bce"),
    (pc.field("n") != 1, "bce"),
    (~(pc.field("n") > 1), "a"),
    (pc.field(("p", "k")) == 1, "a"),
    (pc.field("_id").isin(["b", "c"]), "bc"),
    (pc.scalar(True), "abcde"),
    ({"$and": [pc.field("n") >= 2, {"b": True}]}, "c"),
    ({"$not": Filter({"n": 1})}, "bcde"),
]


@pytest.mark.parametrize(("asked", "passing"), PASSING)
def test_what_passes(docs: Collection, asked: Any, passing: str) -> None:
    assert "".join(sorted(docs.ids(filter=asked))) == passing
    compiled = docs.filter(asked)
    assert docs.count(filter=compiled) == len(passing)
    assert "".join(sorted(docs.search(VECTORS[0], k=9, exact=True, filter=compiled).ids)) == passing
    assert "".join(sorted(id for batch in docs.scan(filter=asked, batch_size=2) for id in batch.ids)) == passing


REFUSED: list[tuple[Any, str]] = [
    ("n > 1", "a filter is a dict"),
    ([{"n": 1}], "a filter is a dict"),
    ({1: 2}, "a field is named by a str"),
    ({"": 1}, "empty"),
    ({"\ud800": 1}, "lone surrogates"),
    ({"n": {}}, "is asked nothing"),
    ({"n": {"gt": 1}}, "'n.gt'"),
    ({"n": {"$gr": 1}}, r"no operator '\$gr'; the nearest are: '\$gt"),
    ({"$xor": []}, r"no operator '\$xor'.*'\$or'"),
    ({"$and": []}, r"\$and needs at least one"),
    ({"$or": {"n": 1}}, r"\$or takes a list"),
    ({"$and": ["n"]}, "a filter is a dict"),
    ({"$not": [{"n": 1}]}, "a filter is a dict"),
    ({"n": {"$not": 1}}, r"\$not of field 'n' is of operators"),
    ({"n": {"$in": 1}}, r"\$in takes a list, not 1"),
    ({"s": {"$nin": "red"}}, r"\$nin takes a list"),
    ({"n": {"$exists": 1}}, r"\$exists of field 'n' is True or False"),
    ({"n": [1, 2]}, r"\$eq of field 'n' takes one value.*\$in takes several"),
    ({"n": {"$gt": None}}, r"\$gt of field 'n' needs a value"),
    ({"tags": {"$contains": None}}, r"\$contains of field 'tags' needs a value"),
    ({"n": object()}, "cannot be compared with"),
    ({"s": "\ud800"}, "lone surrogates"),
    ({"t": np.datetime64("2020-01-01T00:00:00.000000001")}, "to the microsecond"),
    ({"m": decimal.Decimal("NaN")}, "cannot be compared"),
    (pc.field(0) > 1, "no form of its own"),
]

MISFITS: list[tuple[Any, str]] = [
    ({"nn": 1}, r"no field 'nn'; the nearest are: 'n'"),
    ({"p.q": 1}, r"no field 'p.q'; the nearest are: 'p.k'"),
    ({"n.k": 1}, "no field 'n.k'"),
    ({"_ids": 1}, "the nearest are: '_id'"),
    ({"n": "1"}, r"field 'n' is int64: it is compared with a number, not '1' \(str\)"),
    ({"n": True}, "not True"),
    ({"x": "1"}, "field 'x' is double"),
    ({"s": 1}, "field 's' is string: it is compared with a str"),
    ({"b": 1}, "field 'b' is bool: it is compared with True or False"),
    ({"t": dt.date(2020, 1, 1)}, "compared with a datetime"),
    ({"t": "yesterday"}, "is not one in ISO 8601"),
    ({"t": dt.datetime(2020, 1, 1, tzinfo=UTC)}, "of times with no time zone, and .* has one"),
    ({"z": dt.datetime(2020, 1, 1)}, "of times with a time zone, and .* has none"),
    ({"d": dt.datetime(2020, 1, 1)}, "compared with a date,"),
    ({"m": 1.5}, "compared with an int or a Decimal"),
    ({"w": 3}, "compared with a timedelta"),
    ({"tags": "p"}, r"which is not compared: ask \$contains"),
    ({"tags": {"$contains": 1}}, "compared with a str"),
    ({"p": 1}, "ask a field in it"),
    ({"n": {"$contains": 1}}, r"\$contains asks texts and lists, and field 'n' is int64"),
    ({"_updated_at": dt.datetime(2020, 1, 1)}, "times with a time zone"),
    (pc.field("nn") > 1, "no field 'nn'; the nearest are"),
    (pc.field("p", "q") > 1, "no field 'p.q'; the nearest are: 'p.k'"),
    (pc.field("n") > "a", "cannot be asked"),
    (pc.field("n") + 1, "is int64, not true or false"),
]


@pytest.mark.parametrize(("asked", "why"), REFUSED)
def test_what_is_no_filter_is_refused_at_once(docs: Collection, asked: Any, why: str) -> None:
    with pytest.raises(FilterError, match=why):
        Filter(asked)
    with pytest.raises(FilterError, match=why):
        docs.count(filter=asked)


@pytest.mark.parametrize(("asked", "why"), MISFITS)
def test_what_does_not_fit_the_collection_is_refused(docs: Collection, asked: Any, why: str) -> None:
    Filter(asked)
    for ask in (docs.filter, docs.count, docs.ids, lambda f: docs.search(VECTORS[0], filter=f)):
        with pytest.raises(FilterError, match=why):
            ask(asked)
    with pytest.raises(FilterError, match=why):
        docs.delete(filter=asked)


def test_filters_nest_only_so_deep() -> None:
    deep: dict[str, Any] = {"n": 1}
    for _ in range(100):
        deep = {"$not": {"$or": [deep, {"n": 2}]}}
    with pytest.raises(FilterError, match="64 levels"):
        Filter(deep)


def test_a_filter_is_a_value() -> None:
    one = Filter({"$or": [{"n": 1}, {"s": "x", "n": {"$gt": 2}}]})
    same = Filter({"$or": [{"n": {"$gt": 2}, "s": {"$eq": "x"}}, {"n": {"$in": [1]}}]})
    assert one == same
    assert hash(one) == hash(same)
    assert one != Filter({"n": 1})
    assert one != "n"
    assert pickle.loads(pickle.dumps(one)) == one
    arrow = Filter(pc.field("n") > 1)
    assert arrow == Filter(pc.field("n") > 1)
    assert pickle.loads(pickle.dumps(arrow)) == arrow
    assert Filter(one) == one


SAME = [
    ({"n": 1}, {"n": {"$eq": 1}}, {"n": {"$in": [1]}}, {"$and": [{"n": 1}]}, {"$or": [{"n": 1}, {"n": 1}]}),
    ({"n": {"$ne": 1}}, {"$not": {"n": 1}}, {"n": {"$not": {"$eq": 1}}}, {"n": {"$nin": [1, 1]}}),
    ({"n": None}, {"n": {"$exists": False}}, {"n": {"$in": [None]}}),
    ({"n": 1, "s": "x"}, {"s": "x", "n": 1}, {"$and": [{"s": "x"}, {"$and": [{"n": 1}]}]}),
    ({"n": {"$gt": 1, "$lt": 5}}, {"$and": [{"n": {"$lt": 5}}, {"n": {"$gt": 1}}]}),
    ({"n": {"$in": [3, 1, 2]}}, {"n": {"$in": (1, 2, 3, 3)}}),
]


@pytest.mark.parametrize("spellings", SAME)
def test_spelling_leaves_no_trace(spellings: tuple[Any, ...]) -> None:
    assert len({Filter(spelling).key for spelling in spellings}) == 1


UNLIKE = [
    *({"n": value} for value in (1, 1.0, "1", True, b"1", decimal.Decimal(1), None, 0.0, -0.0, "", b"")),
    *({"n": value} for value in (dt.datetime(1970, 1, 1), dt.datetime(1970, 1, 1, tzinfo=UTC), dt.date(1970, 1, 1))),
    *({"n": value} for value in ("1970-01-01", "1970-01-01T00:00:00", dt.timedelta(0), dt.time(0))),
    *({"n": {name: 1}} for name in ("$gt", "$gte", "$lt", "$lte", "$ne", "$contains")),
    {"m": 1},
    {"n": {"$in": ["a", "b"]}},
    {"n": {"$in": ["ab"]}},
    {"n": {"$in": ["a1:sb"]}},
    {"n": "in(1:n2:i1)"},
    {"$and": [{"n": 1}, {"n": 2}]},
    {"$or": [{"n": 1}, {"n": 2}, {"n": 3}]},
    {"n": {"$in": [1, 2]}},
    {},
    {"n": {"$in": []}},
    {"n": {"$exists": True}},
    pc.field("n") == 1,
    pc.field("n") == 1.0,
    pc.field("n") == "1",
    pc.field("n").isin(list(range(100))),
    pc.field("n").isin([*range(99), 100]),
]


def test_no_two_unequal_predicates_share_a_key() -> None:
    keys = [Filter(asked).key for asked in UNLIKE]
    assert len(set(keys)) == len(UNLIKE)


literals = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5),
    st.datetimes(), st.datetimes(timezones=st.just(UTC)), st.dates(), st.times(), st.timedeltas(),
    st.decimals(allow_nan=False, allow_infinity=False),
)  # fmt: skip
names = st.sampled_from(["n", "m", "in", "n1:", "and(", "a.b"])
leaves = st.one_of(
    st.builds(lambda name, value: {name: value}, names, literals),
    st.builds(lambda name, values: {name: {"$in": values}}, names, st.lists(literals, max_size=3)),
    st.builds(
        lambda name, operator, value: {name: {operator: value}},
        names, st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$contains"]), literals.filter(lambda v: v is not None),
    ),
    st.builds(lambda name, value: {name: {"$exists": value}}, names, st.booleans()),
)  # fmt: skip
grammar = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=6,
)


def read(key: bytes) -> tuple[str, tuple[bytes, ...]]:
    """A key, as the kind of predicate and the pieces that it was made of."""
    kind, _, rest = key.partition(b"(")
    assert rest.endswith(b")")
    rest, pieces = rest[:-1], []
    while rest:
        size, _, rest = rest.partition(b":")
        pieces.append(rest[: int(size)])
        assert len(pieces[-1]) == int(size)
        rest = rest[int(size) :]
    return kind.decode(), tuple(pieces)


def value_of(key: bytes) -> Any:
    """A literal of a key, so that nothing of it can have been lost. (NaN by its bytes.)"""
    tag, rest = key[:1], key[1:]
    text = rest.decode("utf-8", "replace")
    day = dt.timedelta(days=1)
    readers: dict[bytes, Any] = {
        b"?": lambda: rest == b"1", b"i": lambda: int(text, 16), b"f": lambda: ("double", rest), b"s": lambda: text,
        b"y": lambda: rest, b"t": lambda: dt.datetime.fromisoformat(text), b"d": lambda: dt.date.fromisoformat(text),
        b"T": lambda: dt.datetime(1970, 1, 1, tzinfo=UTC) + int(text) * (day / 86_400_000_000),
        b"c": lambda: dt.time.fromisoformat(text), b"l": lambda: int(text) * (day / 86_400_000_000),
        b"m": lambda: ("decimal", text),
    }  # fmt: skip
    return type(readers[tag]()), readers[tag]()


def as_read(value: Any) -> Any:
    if isinstance(value, float):
        return tuple, ("double", np.array(value, ">f8").tobytes())
    if isinstance(value, decimal.Decimal):
        return tuple, ("decimal", str(value))
    return type(value), value


def check_key(node: Predicate) -> None:
    kind, pieces = read(node.key)
    assert kind == node.kind
    if kind in ("and", "or", "not"):
        assert pieces == tuple(part.key for part in node.parts)
        for part in node.parts:
            check_key(part)
    else:
        assert pieces[0].decode() == node.field
        assert [value_of(piece) for piece in pieces[1:]] == [as_read(value) for value in node.values]


@given(grammar)
def test_a_key_can_be_read_back(asked: Any) -> None:
    """And so says all of its predicate: no other one has it."""
    check_key(Filter(asked).predicate)


@given(grammar, grammar, grammar)
def test_the_order_of_parts_is_no_part_of_a_key(one: Any, two: Any, three: Any) -> None:
    for joined in ("$and", "$or"):
        assert Filter({joined: [one, two, three]}) == Filter({joined: [three, two, one, two]})
        assert Filter({joined: [one, {joined: [two, three]}]}) == Filter({joined: [{joined: [one, two]}, three]})


def test_an_empty_collection_checks_filters_too(tmp_path: Path) -> None:
    with lamina.open(tmp_path / "s.lamina", create=True) as store:
        docs = store.create_collection("docs", model=Model("m", dim=4))
        assert docs.count(filter={"_id": 3}) == 0
        assert list(docs.scan(filter={})) == []
        assert len(docs.search(VECTORS[0], filter={"_scope": "x"})) == 0
        with pytest.raises(FilterError, match="no field 'year'"):
            docs.count(filter={"year": 2020})


def test_arrow_is_not_imported_before_a_filter_is_used() -> None:
    import subprocess
    import sys

    script = (
        "import sys, lamina; lamina.Filter({'n': {'$gt': 1}}); from lamina import collection, store; "
        "print('pyarrow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_column_of_nulls_takes_any_value(tmp_path: Path) -> None:
    with lamina.open(tmp_path / "s.lamina", create=True) as store:
        docs = store.create_collection("docs", model=Model("m", dim=4))
        docs.add([1, 2], VECTORS[:2], {"n": pa.nulls(2)})
        for asked in ({"n": 1}, {"n": "x"}, {"n": {"$gt": 1}}, {"n": {"$contains": "x"}}, {"n": {"$in": [1, "x"]}}):
            assert docs.count(filter=asked) == 0
            assert docs.count(filter={"$not": asked}) == 2
