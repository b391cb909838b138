"""What a refresh deletes.

Goal: nothing that should not be. Method: sources that raise, are cut, empty, partial, or of another scope.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.python.counting import Counting

import lamina
from lamina import Collection, Model, RefreshError, Store

ROWS = [(f"d{at}", f"text {at}") for at in range(40)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lamina.open(tmp_path / "s.lamina", create=True, durability="os") as opened:
        yield opened


@pytest.fixture
def docs(store: Store) -> Collection:
    docs = store.create_collection("docs", model=Model("counted", dim=4, embed=Counting()))
    docs.refresh(ROWS)
    return docs


def test_what_left_the_source_is_deleted_at_the_end(docs: Collection) -> None:
    assert docs.refresh(ROWS[4:]).deleted == 0
    report = docs.refresh([*ROWS[4:], ("new", "x")], delete="missing")
    assert (report.deleted, report.added, report.unchanged) == (4, 1, 36)
    assert sorted(docs.ids()) == sorted(id for id, _ in [*ROWS[4:], ("new", "")])
    assert docs.refresh([*ROWS[4:], ("new", "x")], delete="missing").deleted == 0


def test_a_source_that_raises_halfway_deletes_nothing(docs: Collection) -> None:
    def source() -> Iterator[tuple[str, str]]:
        yield ("new", "this one is written")
        yield from ROWS[:20]
        raise OSError("the connection broke")

    with pytest.raises(OSError, match="broke"):
        docs.refresh(source(), delete="missing", max_delete=1)
    assert {id for id, _ in ROWS} <= set(docs.ids())


@pytest.mark.parametrize("source", [[], ROWS[:12]])
def test_a_source_that_is_empty_or_cut_deletes_nothing(docs: Collection, source: list[Any]) -> None:
    with pytest.raises(RefreshError, match=rf"{40 - len(source)} of the 40 records .*max_delete=0.2") as raised:
        docs.refresh(source, delete="missing")
    assert (raised.value.report.unchanged, raised.value.report.deleted, len(docs)) == (len(source), 0, 40)
    assert docs.refresh(source, delete="missing", max_delete=1).deleted == 40 - len(source)


def test_the_share_is_of_what_was_there_before(docs: Collection) -> None:
    with pytest.raises(RefreshError, match="of the 40"):
        docs.refresh([*ROWS[20:], *((f"n{at}", f"new {at}") for at in range(500))], delete="missing")
    assert len(docs) == 540


def test_two_scopes_in_turn(docs: Collection) -> None:
    others = [(f"o{at}", f"text of the others {at}") for at in range(10)]
    docs.add(["by hand"], content=["text"])
    for _ in range(2):
        assert docs.refresh(others, scope="others", delete="missing").deleted == 0
        assert docs.refresh(ROWS, delete="missing").deleted == 0
    assert docs.refresh(others[1:], scope="others", delete="missing").deleted == 1
    assert len(docs) == 40 + 9 + 1
    assert docs.refresh([ROWS[0]], scope="others").metadata_only == 1  # it is theirs now
    assert docs.refresh(ROWS[1:], delete="missing").deleted == 0
    assert "d0" in docs


def test_a_record_that_was_updated_by_hand_stays_in_its_scope(docs: Collection) -> None:
    docs.update(["d0", "d1"], metadata={"seen": [True, True]})
    assert docs.refresh(ROWS[1:], delete="missing").deleted == 1
    assert "d0" not in docs


def test_a_callable_is_asked_for_what_changed_since(docs: Collection) -> None:
    asked: list[datetime | None] = []

    def source(since: datetime | None) -> list[tuple[str, str]]:
        asked.append(since)
        return ROWS if since is None else [("d3", "changed")]

    began = datetime.now(timezone.utc)
    assert docs.refresh(source).unchanged == 40
    report = docs.refresh(source)
    assert (report.updated, report.seen, len(docs)) == (1, 1, 40)
    docs.refresh(source, scope="another")
    assert docs.refresh(source, delete="missing").deleted == 0  # asks for everything
    assert (asked[0], asked[2], asked[3]) == (None, None, None)
    assert asked[1] is not None
    assert began < asked[1] < datetime.now(timezone.utc)


def test_a_callable_is_asked_again_for_what_failed(docs: Collection) -> None:
    asked: list[datetime | None] = []

    def source(since: datetime | None) -> list[tuple[str, str]]:
        asked.append(since)
        return [("bad", "poison")]

    def refuses(texts: list[str]) -> Any:
        if "poison" in texts:
            raise ValueError("too strange")
        return Counting()(texts)

    assert docs.refresh(source, embed=refuses).failed == 1
    assert docs.refresh(source).added == 1
    docs.refresh(source)
    assert asked[:2] == [None, None]
    assert asked[2] is not None


def test_somebody_who_writes_meanwhile_loses_nothing(docs: Collection) -> None:
    def source() -> Iterator[tuple[str, str]]:
        yield from ROWS[2:]
        docs.update(["d0"], metadata={"touched": [True]})

    assert docs.refresh(source(), delete="missing").deleted == 1
    assert ("d0" in docs, "d1" in docs) == (True, False)
