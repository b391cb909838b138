"""Older versions as users ask for them: by number, tag and time; branches, rollback, cleanup and purge.

Goal: each verb does what its page says, refuses what it cannot do and says why, and readers in other processes see the
same. Method: small collections whose contents tell the versions apart; children for readers.
"""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
import lamina.codec
from lamina import ClosedError, LockedError, Model, NotFoundError, ReadOnlyError, Store

DIM = 4
MODEL = Model("m", dim=DIM)


def rows(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with lamina.open(tmp_path / "kb.lamina", create=True, maintenance="manual") as store:
        yield store


@pytest.fixture
def docs(store: Store) -> Any:
    docs = store.create_collection("docs", model=MODEL)
    docs.add([1, 2, 3], rows(3), content=["one", "two", "three"])
    docs.update([2], content=["zwei"])
    docs.delete([3])
    return docs


def texts(readable: Any) -> dict[int, str]:
    return {record.id: record.content for batch in readable.scan() for record in batch}


def elsewhere(path: str, code: str) -> str:
    """What another process prints, with `docs` open for reading."""
    script = f"import lamina\ndocs = lamina.open({path!r}, read_only=True).get_collection('docs')\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_versions_are_listed_and_read(store: Store, docs: Any) -> None:
    listed = docs.versions()
    assert [one.version for one in listed][-1] == docs.version
    assert all(a.time <= b.time and a.version < b.version for a, b in itertools.pairwise(listed))
    assert all(one.time.tzinfo is timezone.utc and one.tags == () for one in listed)
    seen = [texts(docs.snapshot(version=one.version)) for one in listed]
    assert seen[-3:] == [{1: "one", 2: "two", 3: "three"}, {1: "one", 2: "zwei", 3: "three"}, {1: "one", 2: "zwei"}]
    snapshot = docs.snapshot(version=listed[-3].version)
    assert snapshot.version == listed[-3].version
    assert len(snapshot) == 3
    assert snapshot.search(rows(3)[2], k=1).ids.tolist() == [3]
    assert snapshot.search(rows(3)[2], k=1, include=["content"]).content[0] == "three"
    docs.optimize()
    assert [texts(docs.snapshot(version=one.version)) for one in listed] == seen
    assert elsewhere(store.path, f"print(len(docs.snapshot(version={listed[-3].version})))") == "3"
    assert elsewhere(store.path, "print([v.version for v in docs.versions()])") == str([v.version for v in listed])


def test_a_time_names_the_newest_version_before_it(docs: Any) -> None:
    before = docs.versions()[-2]
    assert docs.snapshot(at=before.time).version == before.version
    assert docs.snapshot(at=datetime.now(timezone.utc)).version == docs.version
    assert docs.snapshot(at=datetime.now()).version == docs.version  # local time
    assert docs.snapshot(at=datetime.now() + timedelta(days=400)).version == docs.version
    with pytest.raises(NotFoundError, match="not kept"):
        docs.snapshot(at=docs.versions()[0].time - timedelta(seconds=1))


def test_what_cannot_be_asked_for(store: Store, docs: Any) -> None:
    with pytest.raises(ValueError, match="one of them"):
        docs.snapshot(version=1, tag="x")
    for wrong in ({"version": "1"}, {"version": True}, {"tag": 1}, {"at": "yesterday"}, {"at": 0}):
        with pytest.raises(TypeError):
            docs.snapshot(**wrong)
    with pytest.raises(ValueError, match="count from 1"):
        docs.snapshot(version=-1)
    with pytest.raises(NotFoundError, match=f"from .* to {docs.version}"):
        docs.snapshot(version=store.version + 1)
    with pytest.raises(NotFoundError, match="no tag 'x'"):
        docs.snapshot(tag="x")
    with pytest.raises(TypeError):
        docs.cleanup(3600)
    with pytest.raises(ValueError, match="negative"):
        docs.cleanup(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="where to go back"):
        docs.rollback()
    with pytest.raises(ValueError, match="name"):
        docs.tag("")
    with pytest.raises(ValueError, match="name"):
        docs.branch("a\nb")


def test_keep_versions(tmp_path: Path) -> None:
    path = tmp_path / "kb.lamina"
    for wrong, error in ((24, TypeError), (timedelta(-1), ValueError)):
        with pytest.raises(error):
            lamina.open(path, create=True, keep_versions=wrong)  # type: ignore[arg-type]
    with lamina.open(path, create=True, keep_versions=timedelta(0), maintenance="manual") as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.add([1], rows(1))
        first = docs.version
        docs.add([2], rows(1))
        docs.optimize()
        assert [one.version for one in docs.versions()] == [docs.version]
        with pytest.raises(NotFoundError, match="is not kept"):
            docs.snapshot(version=first)


def test_a_tag_is_kept_until_it_is_taken_off(store: Store, docs: Any) -> None:
    tagged = docs.tag("before")
    assert tagged == docs.version
    expected = texts(docs)
    with pytest.raises(ValueError, match="'before' already"):
        docs.tag("before")
    earlier = docs.versions()[-2].version
    assert docs.tag("earlier", version=earlier) == earlier
    docs.clear()
    docs.optimize()
    docs.cleanup(timedelta(0))
    assert texts(docs.snapshot(tag="before")) == expected
    assert texts(docs.snapshot(tag="earlier")) == expected | {3: "three"}
    assert [one.tags for one in docs.versions()] == [("earlier",), ("before",), ()]
    assert elsewhere(store.path, "print(len(docs.snapshot(tag='before')))") == "2"
    docs.untag("before")
    with pytest.raises(NotFoundError):
        docs.untag("before")
    with pytest.raises(NotFoundError):
        docs.snapshot(tag="before")


def test_a_branch_is_changed_and_promoted(store: Store, docs: Any) -> None:
    docs.tag("kept")
    branch = docs.branch("experiment")
    assert branch.model == docs.model
    assert texts(branch) == texts(docs)
    branch.update([1], content=["ONE"])
    docs.add([9], rows(1), content=["nine"])
    assert texts(branch) == {1: "ONE", 2: "zwei"}
    assert texts(docs) == {1: "one", 2: "zwei", 9: "nine"}
    with pytest.raises(ValueError, match="already"):
        docs.branch("experiment")
    with pytest.raises(ValueError, match="already"):
        store.rename_collection("experiment", "docs")
    with pytest.raises(NotFoundError):
        store.rename_collection("nothing", "docs", replace=True)
    store.rename_collection("experiment", "docs", replace=True)
    assert store.list_collections() == ["docs"]
    assert branch.name == "docs"
    branch.upsert([5], rows(1), content=["five"])
    assert texts(store.get_collection("docs")) == texts(branch) == {1: "ONE", 2: "zwei", 5: "five"}
    with pytest.raises(NotFoundError, match="taken the place"):
        docs.count()
    assert texts(branch.snapshot(tag="kept")) == {1: "one", 2: "zwei"}
    store.rename_collection("docs", "papers")
    assert branch.name == "papers"
    assert len(branch) == 3
    assert len(pickle.loads(pickle.dumps(branch))) == 3


def test_a_branch_of_an_older_version(docs: Any) -> None:
    old = docs.branch("old", version=docs.versions()[-3].version)
    assert texts(old) == {1: "one", 2: "two", 3: "three"}
    old.add([4], rows(1), content=["four"])
    assert 4 in old
    assert 4 not in docs


def test_readers_follow_a_rename(store: Store, docs: Any) -> None:
    code = """
import lamina, sys
reader = lamina.open(sys.argv[1], read_only=True)
docs, other = reader.get_collection("docs"), reader.get_collection("other")
print("ready", flush=True)
sys.stdin.readline()
reader.reload()
print(other.name, len(other))
try:
    docs.count()
except lamina.NotFoundError:
    print("gone")
"""
    store.create_collection("other", model=MODEL).add([1], rows(1))
    child = subprocess.Popen(
        [sys.executable, "-c", code, store.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "ready"
    store.rename_collection("other", "docs", replace=True)
    out, _ = child.communicate("\n")
    assert out.split() == ["docs", "1", "gone"]


def test_rollback_writes_a_new_version(store: Store, docs: Any) -> None:
    first, newest = docs.versions()[-3], docs.version
    made = docs.rollback(version=first.version)
    assert made == docs.version > newest
    assert texts(docs) == {1: "one", 2: "two", 3: "three"}
    assert texts(docs.snapshot(version=newest)) == {1: "one", 2: "zwei"}
    docs.rollback(at=docs.versions()[-2].time)
    assert texts(docs) == {1: "one", 2: "zwei"}
    docs.add([4], rows(1), content=["four"], metadata=[{"year": 1}])
    with pytest.raises(NotFoundError):
        docs.rollback(tag="none")
    store.verify()


def test_a_pickled_snapshot_opens_at_its_version(docs: Any) -> None:
    snapshot = docs.snapshot()
    docs.clear()
    again = pickle.loads(pickle.dumps(snapshot))
    assert again.version == snapshot.version
    assert texts(again) == texts(snapshot)


def test_cleanup_returns_space_and_says_what_is_held(store: Store, docs: Any) -> None:
    docs.optimize()
    docs.upsert([1, 2], rows(2, seed=1))
    docs.optimize()
    oldest = docs.versions()[-4]
    assert store.stats()["history_bytes"] > 0
    assert docs.cleanup().files == 0  # nothing is 24 hours old
    held = docs.snapshot(version=oldest.version)
    assert docs.cleanup(timedelta(0)).pinned > 0
    assert len(held) == 3
    held.close()
    report = docs.cleanup(timedelta(0))
    assert report.files > 0
    assert report.bytes > 0
    assert report.pinned == 0
    assert store.stats()["history_bytes"] == 0
    with pytest.raises(NotFoundError, match="is not kept"):
        docs.snapshot(version=oldest.version)
    store.verify()


def test_only_writers_change_versions(store: Store, docs: Any) -> None:
    code = """
for call in (lambda: docs.tag("x"), lambda: docs.untag("x"), lambda: docs.branch("x"), lambda: docs.rollback(version=1),
             lambda: docs.cleanup(), lambda: docs.purge([1]), lambda: docs._store.rename_collection("docs", "x")):
    try:
        call()
    except lamina.ReadOnlyError:
        print("refused", end=" ")
"""
    assert elsewhere(store.path, code).split() == ["refused"] * 7
    docs.close()
    for call in (docs.versions, docs.cleanup, lambda: docs.tag("x"), lambda: docs.rollback(version=1)):
        with pytest.raises(ClosedError):
            call()
    assert issubclass(ReadOnlyError, PermissionError)


SECRET_ID = "the-id-of-somebody"
SECRET_TEXT = "what somebody said, which nobody else would ever say in these words"
SECRET_VECTOR = np.array([1.2345678e-11, -7.7e21, 3.3e-9, 9.99e15], np.float32)


def holders(path: str) -> list[str]:
    wanted = [SECRET_ID.encode(), SECRET_TEXT.encode(), b"somebody's mail", SECRET_VECTOR.tobytes()]
    wanted.append(lamina.codec.content_hashes([SECRET_TEXT])[0].tobytes())
    found = []
    for file in Path(path).rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            found += [file.name for secret in wanted if secret in data]
    return found


def test_purge_leaves_no_byte(tmp_path: Path) -> None:
    path = tmp_path / "kb.lamina"
    with lamina.open(path, create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=Model("l2", dim=DIM, metric="l2"))

        def add_secret() -> None:
            docs.upsert([SECRET_ID], SECRET_VECTOR[None], [{"mail": "somebody's mail"}], [SECRET_TEXT])

        docs.add(["a", "b"], rows(2), metadata=[{"mail": "x"}, {"mail": "y"}], content=["A", "B"])
        add_secret()
        docs.tag("tagged")
        branch = docs.branch("branch")
        docs.delete([SECRET_ID])
        docs.optimize()
        add_secret()
        docs.optimize()
        add_secret()
        assert holders(store.path)
        report = docs.purge([SECRET_ID, "unknown"])
        assert report.deleted == 1
        assert report.version == docs.version
        assert holders(store.path) == []
        for readable in (docs, branch, docs.snapshot(tag="tagged")):
            assert sorted(readable.ids()) == ["a", "b"]
            assert readable.search(SECRET_VECTOR, k=3).ids.tolist()
        assert docs.get("a").to_list()[0]["content"] == "A"
        store.verify()
        assert docs.purge(SECRET_ID).deleted == 0
    assert holders(str(path)) == []
    with lamina.open(path) as store:
        assert sorted(store.get_collection("docs").ids()) == ["a", "b"]


def test_purge_waits_for_no_reader(store: Store, docs: Any) -> None:
    snapshot = docs.snapshot(version=docs.versions()[-3].version)
    with pytest.raises(LockedError, match="a reader holds a version"):
        docs.purge(3)
    assert texts(snapshot)[3] == "three"
    snapshot.close()
    assert docs.purge(3).deleted == 0
    assert texts(docs) == {1: "one", 2: "zwei"}
    with pytest.raises(TypeError):
        docs.purge(["1"])
