"""Refresh and its sources.

Goal: what changed is embedded, once, and nothing else; whatever cannot be read is said with its place. Method: an
embedder that counts, and one source in every form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.python.counting import Counting

import lamina
from lamina import Collection, Model, Store, sources

ROWS = [
    {"id": f"d{at}", "text": f"text number {at}", "source": "odd" if at % 2 else "even", "rank": at} for at in range(30)
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lamina.open(tmp_path / "s.lamina", create=True, durability="os") as opened:
        yield opened


@pytest.fixture
def embed() -> Counting:
    return Counting()


@pytest.fixture
def docs(store: Store, embed: Counting) -> Collection:
    return store.create_collection("docs", model=Model("counted", dim=4, embed=embed))


def counts(report: lamina.RefreshReport) -> tuple[int, int, int, int, int]:
    return (report.added, report.updated, report.metadata_only, report.unchanged, report.embedded)


def test_only_what_changed_is_embedded(docs: Collection, embed: Counting) -> None:
    assert counts(docs.refresh(ROWS, batch_size=7)) == (30, 0, 0, 0, 30)
    assert docs.get(["d3"]).to_list()[0]["metadata"] == {"source": "odd", "rank": 3}
    version = docs.version
    assert counts(docs.refresh(ROWS)) == (0, 0, 0, 30, 0)
    assert docs.version == version
    changed = [dict(row) for row in ROWS]
    changed[4]["text"] = "new text"
    changed[5]["rank"] = 500
    changed[6]["rank"] = None
    changed.append({"id": "extra", "text": "one more"})
    assert counts(docs.refresh(changed, batch_size=7)) == (1, 1, 2, 28 - 1, 2)
    assert sorted(embed.texts[30:]) == ["new text", "one more"]
    records = docs.get(["d4", "d5", "d6"])
    assert records.content == ["new text", "text number 5", "text number 6"]
    assert records.metadata == [{"source": "even", "rank": 4}, {"source": "odd", "rank": 500}, {"source": "even"}]
    np.testing.assert_array_equal(records.vectors, Counting()(records.content))  # type: ignore[arg-type]


def test_a_record_that_is_owed_its_vector_is_embedded(store: Store, embed: Counting) -> None:
    docs = store.create_collection("late", model=Model("counted", dim=4))
    docs.add(["a", "b"], content=["one", "two"])
    assert counts(docs.refresh([("a", "one")], embed=embed)) == (0, 1, 0, 0, 1)
    assert docs.get(["a", "b"]).owed.tolist() == [False, True]


def test_an_embedder_that_fails_loses_no_batch_before(docs: Collection, embed: Counting) -> None:
    def fails_late(texts: list[str]) -> np.ndarray:
        if len(docs) == 20:
            raise TimeoutError("no answer")
        return embed(texts)

    with pytest.raises(lamina.RefreshError, match="TimeoutError: no answer"):
        docs.refresh(ROWS, embed=fails_late, batch_size=10, retry=1, concurrency=1)
    assert len(docs) == 20
    assert counts(docs.refresh(ROWS, batch_size=10)) == (10, 0, 0, 20, 10)


def test_somebody_else_writes_in_between(docs: Collection) -> None:
    docs.refresh(ROWS[:10])

    def meddling(texts: list[str]) -> np.ndarray:
        if len(docs) == 10:
            docs.upsert(["d3"], np.zeros((1, 4)), content=["meddled"])
            docs.upsert(["other"], np.ones((1, 4)))
        return Counting()(texts)

    changed = [{**row, "text": row["text"] + "!"} for row in ROWS[:5]]
    docs.refresh(changed, embed=meddling)
    assert docs.get(["d3", "other"]).content == ["text number 3!", None]
    np.testing.assert_array_equal(docs.get(["d3"]).vectors, Counting()(["text number 3!"]))


def test_an_id_that_comes_again_replaces(docs: Collection) -> None:
    docs.refresh([("a", "first"), ("b", "x"), ("a", "second")], batch_size=10)
    docs.refresh([("b", "y"), ("b", "z")], batch_size=1)
    assert docs.get(["a", "b"]).content == ["second", "z"]


def test_texts_may_be_null(docs: Collection) -> None:
    assert counts(docs.refresh([("a", None, {"n": 1}), ("b", "text")])) == (2, 0, 0, 0, 1)
    assert docs.get(["a"]).to_list() == [{"id": "a", "metadata": {"n": 1}, "content": None, "vector": None}]
    assert counts(docs.refresh([("a", None, {"n": 1}), ("b", "text")])) == (0, 0, 0, 2, 0)


def test_numbers_that_are_not_numbers_are_equal_to_themselves(docs: Collection) -> None:
    docs.refresh([("a", "x", {"f": float("nan")})])
    assert counts(docs.refresh([("a", "x", {"f": float("nan")})])) == (0, 0, 0, 1, 0)


def write_jsonl(path: Path) -> Path:
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    return path


def metadata(row: dict[str, Any]) -> dict[str, Any]:
    return {"source": row["source"], "rank": row["rank"]}


def sources_of(tmp_path: Path) -> dict[str, Any]:
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, tmp_path / "s.parquet", row_group_size=7)
    pd.DataFrame(ROWS).to_csv(tmp_path / "s.csv", index=False)
    pd.DataFrame(ROWS).to_csv(tmp_path / "s.tsv", index=False, sep="\t")
    return {
        "jsonl": write_jsonl(tmp_path / "s.jsonl"),
        "a path as str": str(write_jsonl(tmp_path / "t.ndjson")),
        "csv": tmp_path / "s.csv",
        "tsv": tmp_path / "s.tsv",
        "parquet": tmp_path / "s.parquet",
        "dicts": ROWS,
        "generator": (row for row in ROWS),
        "tuples": [(row["id"], row["text"], metadata(row)) for row in ROWS],
        "nested": [{"_id": row["id"], "content": row["text"], "metadata": metadata(row)} for row in ROWS],
        "pandas": pd.DataFrame(ROWS),
        "polars": pl.DataFrame(ROWS),
        "arrow": table,
    }  # fmt: skip


FILES = ["jsonl", "a path as str", "csv", "tsv", "parquet"]
IN_MEMORY = ["dicts", "generator", "tuples", "nested", "pandas", "polars", "arrow"]


@pytest.mark.parametrize("form", FILES + IN_MEMORY)
def test_every_form_of_source_is_the_same(docs: Collection, tmp_path: Path, form: str) -> None:
    docs.refresh(sources_of(tmp_path)[form], batch_size=8)
    number = str if form in ("csv", "tsv") else int  # a CSV file knows no numbers
    expected = {row["id"]: (row["text"], {"source": row["source"], "rank": number(row["rank"])}) for row in ROWS}
    assert {r.id: (r.content, r.metadata) for batch in docs.scan() for r in batch} == expected
    assert docs.refresh(sources_of(tmp_path)[form]).unchanged == 30


def test_a_folder_of_texts(docs: Collection, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "a.txt").write_text("first")
    (folder / "deep" / "er" / "b.md").write_text("zweiter é", encoding="utf-8")
    (folder / "image.png").write_bytes(b"\x89PNG")
    (folder / ".hidden" / "c.txt").write_text("not me")
    assert counts(docs.refresh(folder)) == (2, 0, 0, 0, 2)
    assert docs.get(["a.txt", "deep/er/b.md"]).content == ["first", "zweiter é"]
    (folder / "bad.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"bad\.txt is not UTF-8"):
        docs.refresh(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.jsonl", b'{"id": 1, "text": "x"}\n{"id": 2, ', r"s\.jsonl:2 is not JSON"),
        ("s.jsonl", b'{"id": 1, "text": "x"}\n[1]\n', r"s\.jsonl:2 is not a JSON object"),
        ("s.jsonl", b'{"id": 1, "text": "x"}\n{"text": "y"}\n', r"s\.jsonl:2 has no field 'id'"),
        ("s.jsonl", b'{"key": 1, "text": "x"}\n', "id_field"),
        ("s.jsonl", b'{"id": 1, "words": "x"}\n', "text_field"),
        ("s.jsonl", b'{"id": 1.5, "text": "x"}\n', r"s\.jsonl:1: an id is an int or a str, not 1\.5"),
        ("s.jsonl", b'{"id": true, "text": "x"}\n', "not True"),
        ("s.jsonl", b'{"id": 1, "text": 5}\n', "a text is a str, not 5"),
        ("s.jsonl", b'{"id": 1, "text": "\xff"}\n', "is not JSON"),
        ("s.jsonl", b'{"id": "x", "text": "\\ud800"}\n', "text of 'x' holds lone surrogates"),
        ("s.csv", b"id,text\n1\n", r"s\.csv:2 has another number of fields"),
        ("s.csv", b"id,text\n1,a,b\n", r"s\.csv:2 has another number of fields"),
        ("s.csv", b"id,text\n1,\xff\n", "is not CSV in UTF-8"),
        ("s.csv", b"id,text,a,a\n1,x,2,3\n", r"s\.csv has the field 'a' twice"),
        ("s.jsonl", b'{"id": 1, "text": "x", "a": 2, "metadata": {"a": 3}}\n', r"s\.jsonl:1 has the field 'a' twice"),
        ("s.parquet", b"PAR1 no", "is not Parquet"),
        ("s.xlsx", b"", "no known kind"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(
    docs: Collection, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        docs.refresh(tmp_path / name)


def test_fields_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"key": 7, "words": "x", "id": "other"}\n')
    found = list(sources.items(tmp_path / "s.jsonl", sources.Fields("key", "words")))
    assert found == [sources.Item(7, "x", {"id": "other"})]


TWICE = pa.Table.from_arrays([pa.array([1]), pa.array(["x"]), pa.array([2]), pa.array([3])], ["id", "text", "a", "a"])


@pytest.mark.parametrize("of_file", [False, True])
def test_two_columns_of_one_name_are_refused(docs: Collection, tmp_path: Path, of_file: bool) -> None:
    pq.write_table(TWICE, tmp_path / "s.parquet")
    with pytest.raises(ValueError, match="has the field 'a' twice"):
        docs.refresh(tmp_path / "s.parquet" if of_file else TWICE)


@pytest.mark.parametrize("source", [5, None, {"id": 1, "text": "x"}, [5], [("a",)], [("a", "b", "c", "d")], ["text"]])
def test_things_that_are_no_source(docs: Collection, source: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        docs.refresh(source)
    assert len(docs) == 0


def test_refresh_needs_an_embedder(store: Store) -> None:
    docs = store.create_collection("bare", model=Model("m", dim=4))
    with pytest.raises(ValueError, match="embed="):
        docs.refresh(ROWS)
    with pytest.raises(ValueError, match="batch_size"):
        docs.refresh(ROWS, batch_size=0)
