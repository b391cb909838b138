"""Damaged stores: seen, survived, repaired where that can be, and read as far as they are whole.

Method: one store with every kind of file, copied for each test and damaged at a known place: a section of a segment
(found by the table in its footer), a document, the log, a file cut short beneath a process that searches it. It keeps
no older versions, but for the tests of those.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import shutil
import struct
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina.cli import main

DIM = 128
ROWS = 2000
MODEL = lamina.Model("m", dim=DIM)
VECTORS = np.random.default_rng(5).normal(size=(ROWS, DIM)).astype(np.float32)

DERIVED = {
    ".vec": ["PARM", "CALB", "RORD", "NORM", "CODE", "COD4", "GRF0", "UROW", "GRFU"],
    ".rec": ["IORD"],
}


def writer(path: Path, **options: Any) -> lamina.Store:
    return lamina.open(path, maintenance="manual", keep_versions=timedelta(0), **options)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "kb.lamina"
    with writer(path, create=True) as store:
        for name in ("docs", "others"):
            docs = store.create_collection(name, model=MODEL)
            docs.add(range(ROWS), VECTORS, [{"n": at} for at in range(ROWS)], [f"text {at}" for at in range(ROWS)])
        store.optimize()
        docs = store.get_collection("docs")
        docs.delete(range(0, ROWS, 100))
        store._shared.core.seal()
        docs.upsert([ROWS], VECTORS[:1], content=["in the log"])
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "kb.lamina"
    shutil.copytree(original, copy)
    return copy


def seal(path: Path) -> None:
    """Leaves nothing in the log."""
    with writer(path) as store:
        store._shared.core.seal()


def file_of(path: Path, kind: str, place: int = 0) -> Path:
    """The files of a kind in order of their numbers: those of "docs" come first."""
    return sorted((path / "files").glob(f"*{kind}"))[place]


def sections(file: Path) -> dict[str, tuple[int, int]]:
    """Offset and length of each section: FORMAT.md, "Section table entry"."""
    content = file.read_bytes()
    footer = content[-4096:]
    (count,) = struct.unpack_from("<I", footer)
    entries = [struct.unpack_from("<4sIQQ", footer, 128 + 64 * at) for at in range(count)]
    return {name.decode(): (offset, length) for name, _, offset, length in entries}


def flip(file: Path, at: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 0x40]))


def flip_section(file: Path, name: str, share: float = 0.5) -> None:
    offset, length = sections(file)[name]
    assert length > 0, name
    flip(file, offset + int(length * share))


def digests(path: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in path.rglob("*") if file.is_file()}


def read_all(docs: lamina.Collection) -> list[Any]:
    rows = [record for batch in docs.scan(include=("metadata", "content", "vectors")) for record in batch]
    return [(row.id, row.metadata, row.content, None if row.vector is None else row.vector.tolist()) for row in rows]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in DERIVED.items() for name in names])
def test_a_derived_section_is_made_anew(path: Path, kind: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with lamina.open(path, read_only=True) as store:
        before = sorted(read_all(store.get_collection("docs")))
    flip_section(file_of(path, kind), name)
    with writer(path) as store, lamina.open(path, read_only=True) as reader:
        docs, seen = store.get_collection("docs"), reader.get_collection("docs")
        for one in (docs, seen):
            if name in ("RORD", "IORD"):  # made in memory, and the log applied by it
                assert sorted(read_all(one)) == before
            with contextlib.ExitStack() as refused:
                if name not in ("RORD", "IORD"):
                    told = rf"{name} \(derived: a store can repair\(\) it\)"
                    refused.enter_context(pytest.raises(lamina.CorruptionError, match=told))
                [(one.get([id]), one.search(VECTORS[id], k=3)) for id in range(0, ROWS, 7)]
        assert len(store.get_collection("others").search(VECTORS[1], k=3)) == 3
        docs.upsert([ROWS + 1], VECTORS[1:2], content=["written meanwhile"])
        with pytest.raises(lamina.CorruptionError, match=name):
            store.verify()
        with caplog.at_level(logging.WARNING, "lamina"):
            report = store.repair()
        assert [collection for collection, _ in report.repaired] == ["docs"]
        assert name in report.repaired[0][1]
        assert report.lost == []
        assert "made anew" in caplog.text
        docs.delete([ROWS + 1])
        reader.reload()
        for one in (docs, seen):
            assert sorted(read_all(one)) == before
            assert one.search(VECTORS[1], k=1).ids.tolist() == [1]
        assert store.verify().complete
        assert store.repair() == ([], [])
    with lamina.open(path, read_only=True) as store:
        store.verify()
        assert sorted(read_all(store.get_collection("docs"))) == before
    with writer(path) as store:  # what was damaged goes with what named it
        store.optimize()
        assert store.verify().complete
    assert len(list((path / "files").glob(f"*{kind}"))) == 2


@pytest.mark.parametrize(("kind", "name"), [(".vec", "VECT"), (".vec", "RIDS"), (".rec", "COLS"), (".rec", "HASH")])
def test_damage_in_what_is_primary_is_loss_and_is_said_so(path: Path, kind: str, name: str) -> None:
    seal(path)
    flip_section(file_of(path, kind), name)
    with writer(path) as store:
        report = store.repair()
        assert report.repaired == []
        assert [collection for collection, _ in report.lost] == ["docs"]
        assert name in report.lost[0][1]
        with pytest.raises(lamina.CorruptionError):
            store.verify()
        with pytest.raises(lamina.CorruptionError):
            store.optimize()


@pytest.fixture
def history(tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    """A store whose first version, a tag and a branch each name a vector segment that nothing else does."""
    path = tmp_path / "kb.lamina"
    found: dict[str, Path] = {}
    with lamina.open(path, create=True, maintenance="manual") as store:
        docs = store.create_collection("docs", model=MODEL)
        for what in ("version", "tag", "branch"):
            docs.upsert(range(ROWS), VECTORS, content=[what] * ROWS)
            store._shared.core.seal()
            found[what] = file_of(path, ".vec", -1)
            if what == "version":
                found["record"] = file_of(path, ".rec", -1)
            if what == "tag":
                docs.tag("kept")
            if what == "branch":
                docs.branch("branch")
            docs.upsert(range(ROWS), VECTORS, content=["newest"] * ROWS)
            docs.optimize()
    return path, found


def verify_in_turns(store: lamina.Store) -> None:
    report = store.verify(max_seconds=0)
    while not report.complete:
        report = store.verify(max_seconds=0, resume=True)


def older(store: lamina.Store, what: str) -> Any:
    docs = store.get_collection("docs")
    if what == "branch":
        return store.get_collection("branch")
    return docs.snapshot(tag="kept") if what == "tag" else docs.snapshot(version=2)


@pytest.mark.parametrize(
    ("what", "name"),
    [("version", r"version \d of 'docs'"), ("tag", "tag 'kept' of 'docs'"), ("branch", "collection 'branch'")],
)
def test_damage_of_what_older_versions_need_is_found_named_and_repaired(
    history: tuple[Path, dict[str, Path]], what: str, name: str
) -> None:
    path, files = history
    flip_section(files[what], "GRF0")
    with lamina.open(path, maintenance="manual") as store:
        assert store.get_collection("docs").search(VECTORS[1], k=1).ids.tolist() == [1]
        for verify in (store.verify, functools.partial(verify_in_turns, store)):
            with pytest.raises(lamina.CorruptionError, match=rf"{files[what].name}.*needed by {name}"):
                verify()
        with pytest.raises(lamina.CorruptionError, match="GRF0"):
            older(store, what).search(VECTORS[1], k=1)
        report = store.repair()
        assert [collection for collection, _ in report.repaired] == ["branch" if what == "branch" else "docs"]
        assert report.lost == []
        for again in range(2):
            hits = older(store, what).search(VECTORS[1], k=1, include=["content"])
            assert (hits.ids.tolist(), hits.content) == ([1], [what])
            assert store.verify().complete
            if what != "version" and not again:
                store.get_collection("docs").cleanup(timedelta(0))
                store.optimize()
    with lamina.open(path, read_only=True) as reader:
        assert older(reader, what).search(VECTORS[1], k=1).ids.tolist() == [1]
        assert reader.verify().complete


def test_a_purge_takes_what_was_repaired_along(path: Path) -> None:
    flip_section(file_of(path, ".vec"), "GRF0")
    with lamina.open(path, maintenance="manual") as store:
        assert len(store.repair().repaired) == 1
        store.drop_collection("others")  # which has the same vectors
        docs = store.get_collection("docs")
        docs.purge([7])
        docs.cleanup(timedelta(0))
        assert store.verify().complete
    wanted = VECTORS[7].tobytes()
    assert [file.name for file in path.rglob("*") if file.is_file() and wanted in file.read_bytes()] == []


@pytest.mark.parametrize(("file", "section"), [("version", "VECT"), ("record", "COLS")])
def test_what_an_older_version_has_lost_costs_the_newest_nothing(
    history: tuple[Path, dict[str, Path]], file: str, section: str
) -> None:
    path, files = history
    flip_section(files[file], section)
    with lamina.open(path, maintenance="manual") as store:
        docs = store.get_collection("docs")
        docs.upsert([ROWS], VECTORS[:1])
        docs.optimize()
        assert len(docs) == ROWS + 1
        report = store.repair()
        assert report.repaired == []
        ((collection, damage),) = report.lost
        assert collection == "docs"
        assert section in damage
        assert "needed by version 3 of 'docs'" in damage
        with pytest.raises(lamina.CorruptionError, match="needed by version 3 of 'docs'"):
            store.verify()
        docs.cleanup(timedelta(0))
        assert store.verify().complete
        assert not files[file].exists()


def test_repair_from_the_command_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seal(path)
    assert main(["repair", str(path)]) == 0
    assert "nothing to repair" in capsys.readouterr().out
    flip_section(file_of(path, ".vec"), "GRF0")
    assert main(["verify", str(path)]) == 1
    assert main(["repair", str(path)]) == 0
    assert main(["verify", str(path)]) == 0
    capsys.readouterr()
    flip_section(file_of(path, ".vec", 1), "VECT")
    assert main(["repair", str(path)]) == 1
    assert "lost, in others" in capsys.readouterr().out


def salvaged(path: Path) -> tuple[lamina.Store, list[Any]]:
    before = digests(path)
    with pytest.raises(lamina.CorruptionError), lamina.open(path, read_only=True) as store:
        store.verify()
    store = lamina.open(path, salvage=True)
    assert digests(path) == before
    return store, list(store.recovery.missing)


def test_salvage_of_a_sound_store_misses_nothing(path: Path) -> None:
    with lamina.open(path, read_only=True) as store:
        before = read_all(store.get_collection("docs"))
    with lamina.open(path, salvage=True) as store:
        assert store.recovery.missing == []
        assert read_all(store.get_collection("docs")) == before
        with pytest.raises(lamina.ReadOnlyError):
            store.get_collection("docs").delete([1])


@pytest.mark.parametrize("name", ["COLS", "HASH", "RIDS", "IDS_"])
def test_salvage_keeps_the_records_that_check(path: Path, name: str) -> None:
    flip_section(file_of(path, ".rec"), name, 0.1)
    store, missing = salvaged(path)
    with store:
        docs, others = store.get_collection("docs"), store.get_collection("others")
        assert [(one.collection, one.what) for one in missing] == [("docs", "records")]
        assert missing[0].file == str(file_of(path, ".rec"))
        assert name in missing[0].why
        kept = read_all(docs)
        live = ROWS - ROWS // 100 + 1
        assert len(kept) == len(docs) == live - missing[0].rows
        assert (ROWS, {}, "in the log", VECTORS[0].tolist()) in kept
        assert len(others) == ROWS
        for id, _, content, vector in kept[:-1]:
            assert content == f"text {id}"
            assert vector == VECTORS[id].tolist()
        assert set(docs.search(VECTORS[5], k=50).ids.tolist()) <= {id for id, *_ in kept}


def test_salvage_loses_no_more_than_a_block_of_columns(tmp_path: Path) -> None:
    rows = 20_000
    with writer(tmp_path / "kb.lamina", create=True) as store:
        docs = store.create_collection("docs", model=MODEL)
        docs.add(range(rows), content=[hashlib.sha256(str(at).encode()).hexdigest() for at in range(rows)])
        store._shared.core.seal()
    flip_section(file_of(tmp_path / "kb.lamina", ".rec"), "COLS")
    store, missing = salvaged(tmp_path / "kb.lamina")
    with store:
        docs = store.get_collection("docs")
        assert 0 < missing[0].rows <= 2 * 4096  # a flipped block of 64 KiB may lie in two
        assert len(docs) == rows - missing[0].rows
        assert docs.get([5, rows - 1]).missing == []


def test_salvage_keeps_the_vectors_that_check(path: Path) -> None:
    flip_section(file_of(path, ".vec"), "VECT")
    store, missing = salvaged(path)
    with store:
        docs = store.get_collection("docs")
        assert [(one.collection, one.what) for one in missing] == [("docs", "vectors")]
        assert 0 < missing[0].rows <= 4096 // (4 * DIM)
        rows = read_all(docs)
        assert sum(vector is None for *_, vector in rows) == missing[0].rows
        assert docs.search(VECTORS[1], k=1).ids.tolist() == [1]


def test_salvage_searches_without_what_is_derived(path: Path) -> None:
    flip_section(file_of(path, ".vec"), "GRF0")
    flip_section(file_of(path, ".rec"), "IORD")
    store, missing = salvaged(path)
    with store:
        docs = store.get_collection("docs")
        assert missing == []
        assert docs.search(VECTORS[7], k=1).ids.tolist() == [7]
        assert docs.get([7])[0].content == "text 7"


@pytest.mark.parametrize("kind", [".rec", ".vec", ".man"])
def test_salvage_says_which_file_is_gone(path: Path, kind: str) -> None:
    gone = file_of(path, kind, -1 if kind == ".man" else 0)
    gone.unlink()
    with lamina.open(path, read_only=True) as store, pytest.raises(lamina.CorruptionError):
        store.verify()
    store = lamina.open(path, salvage=True)
    with store:
        missing = store.recovery.missing
        assert [one.file for one in missing] == [str(gone)]
        if kind == ".man":
            assert missing[0].what == "all of the collection"
            assert len(store.list_collections()) == 1
        else:
            assert missing[0].rows == ROWS - ROWS // 100
            docs = store.get_collection("docs")
            assert len(docs) == (1 if kind == ".rec" else ROWS - ROWS // 100 + 1)
            assert docs.search(VECTORS[0], k=1).ids.tolist() == [ROWS]
        assert len(store.get_collection("others")) == ROWS


def test_salvage_without_a_bitmap_says_that_deleted_rows_may_be_back(path: Path) -> None:
    for file in (path / "files").glob("*.del"):
        flip(file, file.stat().st_size // 2)
    store = lamina.open(path, salvage=True)
    with store:
        assert {one.what for one in store.recovery.missing} == {"which rows were deleted: some may be back"}
        docs = store.get_collection("docs")
        ids = [id for id, *_ in read_all(docs)]
        assert sorted(ids) == list(range(ROWS + 1))
        assert docs.search(VECTORS[7], k=1).ids.tolist() == [7]


def test_salvage_takes_the_log_up_to_its_damage(path: Path) -> None:
    with writer(path) as store:
        docs = store.get_collection("docs")
        for at in range(5):
            docs.upsert([ROWS + 1 + at], VECTORS[:1], content=[f"write {at}"])
    log = next((path / "log").iterdir())
    at = log.read_bytes().index(b"LFRM", log.stat().st_size * 2 // 3)
    flip(log, at + 20)
    with pytest.raises(lamina.CorruptionError):
        lamina.open(path, read_only=True)
    store = lamina.open(path, salvage=True)
    with store:
        (missing,) = store.recovery.missing
        assert missing.file == str(log)
        assert missing.what == f"the writes after version {store.version}"
        kept = len(store.get_collection("docs")) - (ROWS - ROWS // 100 + 1)
        assert 1 <= kept < 5


def test_salvage_begins_from_the_newest_root_that_is_whole(path: Path) -> None:
    newest = max((path / "roots").iterdir())
    later = newest.with_name(f"{int(newest.stem, 16) + 1:016x}.root")
    later.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(lamina.CorruptionError):
        lamina.open(path, read_only=True)
    with lamina.open(path, salvage=True) as store:
        assert [one.what for one in store.recovery.missing] == ["the newest versions"]
        assert len(store.get_collection("docs")) == ROWS - ROWS // 100 + 1
    newest.unlink()
    with pytest.raises(lamina.CorruptionError, match="a root that is whole"):
        lamina.open(path, salvage=True)


def test_what_was_salvaged_becomes_a_new_store(path: Path, tmp_path: Path) -> None:
    """The way out that the README shows."""
    flip_section(file_of(path, ".rec"), "COLS", 0.1)
    with lamina.open(path, salvage=True) as old, lamina.open(tmp_path / "new.lamina", create=True) as new:
        for name in old.list_collections():
            damaged = old.get_collection(name)
            docs = new.create_collection(name, model=damaged.model)
            for batch in damaged.scan(include=("vectors", "metadata", "content")):
                docs.add(batch.ids, batch.vectors, batch.metadata, batch.content)
            assert read_all(docs) == read_all(damaged)
        assert new.verify().complete


def test_verification_stops_when_its_time_is_up_and_goes_on(path: Path) -> None:
    with lamina.open(path, read_only=True) as store:
        whole = store.verify()
        assert whole.complete
        assert whole.bytes == whole.bytes_in_all
        reports = [store.verify(max_seconds=0)]
    assert not reports[0].complete
    assert reports[0].records == 0
    while not reports[-1].complete:
        with lamina.open(path, read_only=True) as store:  # another process would do as well
            reports.append(store.verify(max_seconds=0, resume=True))
        assert reports[-1].bytes > reports[-2].bytes or reports[-1].complete
    assert len(reports) == 5  # four segments, then log and rows
    assert reports[-1] == whole
    assert not (path / "VERIFIED").exists()


def test_resumed_verification_finds_what_comes_later_and_begins_anew_without_its_note(path: Path) -> None:
    with lamina.open(path, read_only=True) as store:
        store.verify(max_seconds=0)
        first = store.verify(max_seconds=0, resume=True)
        note = path / "VERIFIED"
        note.write_bytes(note.read_bytes()[:-1])
        assert store.verify(max_seconds=0, resume=True).bytes < first.bytes
        flip_section(file_of(path, ".vec", 1), "VECT")
        with pytest.raises(lamina.CorruptionError):
            store.verify(resume=True)
        with pytest.raises(ValueError, match="max_seconds"):
            store.verify(max_seconds=-1)


def test_bounded_verification_from_the_command_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(path), "--max-seconds", "0"]) == 0
    assert "go on with --resume" in capsys.readouterr().out
    assert main(["verify", str(path), "--resume", "--json"]) == 0
    assert '"complete": true' in capsys.readouterr().out


CUT_SHORT = """
import faulthandler, os, sys, threading
faulthandler.enable()
import numpy as np, lamina
path, kind = sys.argv[1:]
store = lamina.open(path, read_only=True)
docs, others = store.get_collection("docs"), store.get_collection("others")
vectors = np.random.default_rng(5).normal(size=(2000, 128)).astype(np.float32)
snapshot = docs.snapshot()
file = sorted(name for name in os.listdir(path + "/files") if name.endswith(kind))[0]
refused = []
cut = threading.Event()

def read():
    after = 0
    while after < 200:
        after += cut.is_set()
        try:
            docs.search(vectors[after], k=5, include=("metadata", "content"))
            docs.get([after + 1], include=("metadata", "content", "vectors"))
        except lamina.CorruptionError as error:
            assert file in str(error), error
            return refused.append(error)

threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads:
    thread.start()
os.truncate(path + "/files/" + file, 8192)
cut.set()
for thread in threads:
    thread.join()
assert len(refused) == 3, refused
assert others.search(vectors[1], k=1).ids.tolist() == [1]
assert others.get([1]).content == ["text 1"]
print("alive")
"""


@pytest.mark.parametrize("kind", [".vec", ".rec"])
def test_a_file_cut_short_beneath_a_search_ends_no_process(path: Path, kind: str) -> None:
    command = [sys.executable, "-c", CUT_SHORT, str(path), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "alive"


INDEX_CUT_SHORT = """
import os, sys
import numpy as np, lamina
index = lamina.Index.open(sys.argv[1])
query = np.ones(128, np.float32)
index.search(query, k=5)
os.truncate(sys.argv[1], 4096)
for call in (lambda: index.search(query, k=5), lambda: index.get([1]), lambda: index.save(sys.argv[1] + ".2")):
    try:
        call()
    except lamina.CorruptionError:
        continue
    raise SystemExit("an answer from a file that is not there")
assert not os.path.exists(sys.argv[1] + ".2")
print("alive")
"""


def test_an_index_cut_short_beneath_a_search_ends_no_process(tmp_path: Path) -> None:
    index = lamina.Index(dim=DIM)
    index.add(VECTORS)
    index.save(tmp_path / "index.lamina")
    command = [sys.executable, "-c", INDEX_CUT_SHORT, str(tmp_path / "index.lamina")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "alive"
