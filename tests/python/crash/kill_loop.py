"""A writer killed with SIGKILL, again and again, beside four readers: nothing acknowledged is lost, nothing half shown.

    python tests/python/crash/kill_loop.py --kills 50 --docs PATH     (a folder with docs.jsonl and docs_v2.npy)
    python tests/python/crash/kill_loop.py --kills 8 --docs 3000      (so many made-up ones)

The writer upserts documents in batches of 100, going round and round; each record says in which round it was written,
so that a batch written in part shows. It is killed by hooks in the core (a test build), at five calls or more of each
of the `HOOKS` in 50 kills, else at random. After each kill a fresh process opens the store, verifies it, and compares
the round and the metadata of every record, and texts and vectors of the newest batches and a sample; of all, after each
tenth kill and at the end. The writer then goes on, and after the last kill comes to an end by itself.

The readers loop on `reload()`: versions never go back, counts are whole batches, and whatever was acknowledged before a
`reload()` began is there after it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

import lamina
from lamina import _core

BATCH = 100
READERS = 4
PATIENCE = 3600  # seconds for one process, on a machine that is busy with other work
HOOKS = {
    "log write": ("write", "/log/"),
    "log sync": ("sync", "/log/"),
    "segment write": ("write", ".vec"),
    "rename": ("rename", ""),
    "directory sync": ("sync_directory", ""),
    "root publish": ("rename", "/roots/"),
    "log removal": ("remove", "/log/"),
}
CALLS = {"log write": 40, "log sync": 40, "log removal": 2}  # how many a writer may live through; a log lasts long


class Documents:
    """The documents of a run, the same in every process."""

    def __init__(self, spec: str) -> None:
        if spec.isdigit():
            count = int(spec)
            rng = np.random.default_rng(1)
            self.vectors = rng.normal(size=(count, 32)).astype(np.float32)
            self.ids = [f"doc-{at:07}" for at in range(count)]
            self.texts = [f"text {at} " + "word " * (at % 40) for at in range(count)]
            self.sources = [f"source {at % 7}" for at in range(count)]
        else:
            rows = [json.loads(line) for line in (Path(spec) / "docs.jsonl").open(encoding="utf-8")]
            self.vectors = np.load(Path(spec) / "docs_v2.npy").astype(np.float32)
            self.ids, self.texts, self.sources = ([row[name] for row in rows] for name in ("id", "text", "source"))
        self.batches = len(self.ids) // BATCH
        # A dozen seals in a round.
        self.log_limit = max(1 << 16, self.batches * BATCH * (self.vectors.shape[1] * 4 + 200) // 12)

    @staticmethod
    def of_run(folder: Path) -> Documents:
        """Those that the parent keeps for its children: parsing them anew took most of a short life."""
        with (folder / "documents").open("rb") as file:
            documents = pickle.load(file)
        assert isinstance(documents, Documents)
        return documents

    def keep(self, folder: Path) -> None:
        with (folder / "documents").open("wb") as file:
            pickle.dump(self, file, protocol=5)

    def batch(self, number: int) -> slice:
        return slice(number * BATCH, number * BATCH + BATCH)

    def metadata(self, number: int, round: int) -> list[dict[str, Any]]:
        return [{"source": source, "round": round} for source in self.sources[self.batch(number)]]


class Board:
    """A file that all processes map: how many batches were acknowledged, and whether it is time to stop.

    What a killed process had stored in a mapping stays.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        if make:
            path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)

    @property
    def acknowledged(self) -> int:
        return int(struct.unpack_from("<Q", self._map, 0)[0])

    @acknowledged.setter
    def acknowledged(self, count: int) -> None:
        struct.pack_into("<Q", self._map, 0, count)

    @property
    def stop(self) -> bool:
        return self._map[8] != 0

    @stop.setter
    def stop(self, value: bool) -> None:
        self._map[8] = int(value)


def write(folder: Path, kill: str, until: int) -> None:
    """Goes on where the batches end, until so many are acknowledged in all."""
    documents, board = Documents.of_run(folder), Board(folder / "board")
    if kill:
        kind, part, nth, when = kill.split("|")
        _core.testing_kill_at(kind, part, int(nth), when)
    model = lamina.Model("documents", dim=documents.vectors.shape[1])
    with lamina.open(folder / "store", create=True, log_limit=documents.log_limit, keep_versions=timedelta(0)) as store:
        docs = store.get_or_create_collection("docs", model=model)
        print("open", flush=True)
        for number in range(board.acknowledged, until):
            round, batch = divmod(number, documents.batches)
            rows = documents.batch(batch)
            docs.upsert(
                documents.ids[rows], documents.vectors[rows], documents.metadata(batch, round), documents.texts[rows]
            )
            board.acknowledged = number + 1


def read(folder: Path) -> None:
    """Reloads until it is told to stop, then says how many versions it saw."""
    documents, board = Documents.of_run(folder), Board(folder / "board")
    store = _open_when_there(folder / "store")
    docs: lamina.Collection | None = None
    versions, last, random_row = {store.version}, store.version, random.Random(os.getpid())
    while not board.stop:
        acknowledged = board.acknowledged
        store.reload()
        _demand(store.version >= last, f"version {store.version} after {last}")
        last = store.version
        versions.add(last)
        if docs is None:
            if "docs" not in store.list_collections():
                _demand(acknowledged == 0, "no collection, and batches were acknowledged")
                continue
            docs = store.get_collection("docs")
        count = docs.count()
        _demand(count % BATCH == 0, f"{count} records: a batch in part")
        _demand(count >= min(acknowledged, documents.batches) * BATCH, f"{count} records, {acknowledged} acknowledged")
        if acknowledged:
            round, batch = divmod(acknowledged - 1, documents.batches)
            found = docs.get(documents.ids[documents.batch(batch)], include=["metadata"])
            rounds = {record.metadata["round"] for record in found if record.metadata}
            _demand(len(found) == BATCH and len(rounds) == 1, f"batch {batch}: {len(found)} records of rounds {rounds}")
            _demand(min(rounds) >= round, f"batch {batch} is of round {rounds}, and {round} was acknowledged")
            row = random_row.randrange(min(acknowledged, documents.batches) * BATCH)
            _demand(len(docs.search(documents.vectors[row], k=3)) == 3, "fewer hits than k")
        time.sleep(0.02)  # leaves the processors to the writer
    store.close()
    print(len(versions))


def check(folder: Path, share: float) -> None:
    """What a fresh process finds after a kill; texts and vectors of a share of the batches, and of the newest."""
    documents, board = Documents.of_run(folder), Board(folder / "board")
    acknowledged = board.acknowledged
    with lamina.open(folder / "store", create=acknowledged == 0, log_limit=documents.log_limit) as store:
        store.verify()
        _demand(not any((folder / "store" / "scratch").iterdir()), "the scratch folder was not swept")
        there = "docs" in store.list_collections()
        _demand(there or acknowledged == 0, "the collection is gone")
        written = _compare(documents, store.get_collection("docs"), share) if there else 0
        _demand(written - acknowledged in (0, 1), f"{written} batches are there, {acknowledged} were acknowledged")
    board.acknowledged = written  # one that was written whole and not acknowledged counts from now on


def _compare(documents: Documents, docs: lamina.Collection, share: float) -> int:
    """Compares each record's round, and all else of some; returns how many batches were written over all rounds."""
    rounds = np.full(documents.batches * BATCH, -1)
    row_of = {id: row for row, id in enumerate(documents.ids)}
    for found in docs.scan(batch_size=5000, include=["metadata"]):
        rows = np.array([row_of[id] for id in found.ids])
        _demand((rounds[rows] == -1).all() and len(set(rows.tolist())) == len(rows), "an id twice")
        metadata = found.metadata
        assert metadata is not None
        rounds[rows] = [entry["round"] for entry in metadata]
        _demand([entry["source"] for entry in metadata] == [documents.sources[row] for row in rows], "another source")
    by_batch = rounds.reshape(documents.batches, BATCH)
    _demand((by_batch == by_batch[:, :1]).all(), "a batch in part")
    written = int((by_batch[:, 0] + 1).sum())
    expected = np.full(documents.batches, written // documents.batches - 1)
    expected[: written % documents.batches] += 1
    _demand(np.array_equal(by_batch[:, 0], expected), f"batches are not in order: {by_batch[:, 0].tolist()}")
    newest = {number % documents.batches for number in range(max(0, written - 5), written)}
    for number in range(min(written, documents.batches)):
        if number in newest or random.random() < share:
            _compare_whole(documents, docs, documents.batch(number))
    return written


def _compare_whole(documents: Documents, docs: lamina.Collection, rows: slice) -> None:
    found = docs.get(documents.ids[rows], include=["content", "vectors"])
    _demand(len(found) == BATCH, f"{len(found)} records of a batch")
    _demand(found.content == documents.texts[rows], "another text")
    _demand(np.array_equal(found.vectors, documents.vectors[rows]), "another vector")


def _open_when_there(path: Path) -> lamina.Store:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(lamina.NotFoundError):
            return lamina.open(path, read_only=True)
        time.sleep(0.01)
    return lamina.open(path, read_only=True)


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


class Loop:
    """The parent: starts, kills, checks."""

    def __init__(self, folder: Path, spec: str, seed: int) -> None:
        self.folder = folder
        self.documents = Documents(spec)
        self.documents.keep(folder)
        self.random = random.Random(seed)
        self.board = Board(folder / "board", make=True)
        self.kills: Counter[str] = Counter()

    def run(self, kills: int) -> dict[str, Any]:
        """Returns what was done; AssertionError, with what the failing process said, if a promise was broken."""
        readers = [self._start("read") for _ in range(READERS)]
        plan = self._plan(kills)
        for number, hook in enumerate(plan, 1):
            self._one_kill(hook)
            self._run("check", "1" if number % 10 == 0 else "0.03")
            print(f"{number}/{kills}: {hook}, {self.board.acknowledged} batches", file=sys.stderr)
        end = max(self.board.acknowledged + 1, self.documents.batches + 1)
        self._run("write", "", str(end))
        self._run("check", "1")
        self.board.stop = True
        seen = [int(self._finish(reader)) for reader in readers]
        return {"kills": dict(self.kills), "batches": end, "versions seen by readers": seen}

    def _plan(self, kills: int) -> list[str]:
        if not lamina.build_info()["testing"]:
            return ["random"] * kills
        each = max(1, kills // 10)  # 5 of each hook in 50
        plan = [hook for hook in HOOKS for _ in range(each)][:kills]
        plan += ["random"] * (kills - len(plan))
        self.random.shuffle(plan)
        return plan

    def _one_kill(self, hook: str) -> None:
        """A writer's life, from opening to SIGKILL."""
        for _ in range(20):
            if hook == "random":
                writer = self._start("write", "", str(1 << 40))
                assert writer.stdout is not None
                if self.random.random() < 0.8:
                    writer.stdout.readline()  # else it is killed while it opens
                time.sleep(self.random.random() * 0.5)
                writer.send_signal(signal.SIGKILL)
            else:
                kind, part = HOOKS[hook]
                nth = self.random.randrange(CALLS.get(hook, 8))
                rule = f"{kind}|{part}|{nth}|{self.random.choice(['before', 'after'])}"
                writer = self._start("write", rule, str(self.board.acknowledged + 20 * self.documents.batches))
            _, errors = writer.communicate(timeout=PATIENCE)
            if writer.returncode == -signal.SIGKILL:
                self.kills[hook] += 1
                return
            _demand(writer.returncode == 0, f"the writer failed: {errors}")
        raise AssertionError(f"{hook} was never reached")

    def _start(self, role: str, *arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            __file__,
            "--role",
            role,
            "--folder",
            str(self.folder),
            *arguments,
        ]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _run(self, role: str, *arguments: str) -> None:
        self._finish(self._start(role, *arguments))

    def _finish(self, process: subprocess.Popen[str]) -> str:
        out, errors = process.communicate(timeout=PATIENCE)
        _demand(process.returncode == 0, f"{process.args} ended with {process.returncode}: {errors}")
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--docs", default="5000", help="a folder with docs.jsonl and docs_v2.npy, or a number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == "write":
        write(arguments.folder, arguments.rest[0], int(arguments.rest[1]))
    elif arguments.role == "read":
        read(arguments.folder)
    elif arguments.role == "check":
        check(arguments.folder, float(arguments.rest[0]))
    else:
        with tempfile.TemporaryDirectory(prefix="lamina-kill-") as folder:
            started = time.monotonic()
            report = Loop(Path(folder), arguments.docs, arguments.seed).run(arguments.kills)
            print(json.dumps({**report, "seconds": round(time.monotonic() - started, 1)}))


if __name__ == "__main__":
    main()
