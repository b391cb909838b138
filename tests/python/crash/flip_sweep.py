"""Every byte of every kind of file flipped, and every length cut: noticed, or harmless, and never a crash.

    python tests/python/crash/flip_sweep.py --sample 4096      (bytes and lengths of each kind of file; about an hour)
    python tests/python/crash/flip_sweep.py --sample 60        (CI)

Three stores are damaged, one byte or one length at a time: one that was closed, one whose writer was killed when it
had acknowledged its last write, and one that was closed and keeps older versions, in what only those need. Each damage
must be refused by opening, or else by `verify()`, and reading (search, get, scan, older versions) must raise a
LaminaError or answer rightly. In the store of the killed writer the last frame of the log is the exception: it is cut
off, `store.recovery` says so, and the answer is what it was before that frame.

The cases run in worker processes: one that is killed by a signal fails the sweep and names its last case.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import lamina

DIM = 8
ROWS = 90
MODEL = lamina.Model("m", dim=DIM)
VECTORS = np.random.default_rng(0).normal(size=(ROWS + 30, DIM)).astype(np.float32)


STORES = ("closed", "killed", "kept")


class Case(NamedTuple):
    store: str  # of STORES
    file: str  # below the store
    at: int  # of the byte, or the new length
    mask: int  # what the byte is XORed with; 0: the file is cut


def build(path: Path) -> None:
    """A small store with every kind of file: segments, bitmaps, a head in the log; closed, or as SIGKILL leaves it."""
    killed, kept = path.name == "killed", path.name == "kept"
    store = lamina.open(path, create=True, maintenance="manual", keep_versions=timedelta(days=kept))
    docs = store.create_collection("docs", model=MODEL)
    docs.add(range(ROWS), VECTORS[:ROWS], [{"n": at, "s": f"s{at}"} for at in range(ROWS)], ["text " * 5] * ROWS)
    docs.optimize()
    docs.delete(range(0, ROWS, 9))
    store._shared.core.seal()  # the deletions become a bitmap's file
    docs.upsert(range(ROWS, ROWS + 10), VECTORS[ROWS : ROWS + 10], [{"n": -1}] * 10, ["head"] * 10)
    docs.update([1, 2], metadata=[{"n": 100}, {"s": None}])
    if kept:
        store._shared.core.seal()
        docs.tag("kept")
        docs.optimize()
        docs.delete([3])
    if killed:
        log = max((path / "log").iterdir())
        note = {"file": f"log/{log.name}", "start": log.stat().st_size, "before": repr(answers(store))}
        path.with_name("last-frame.json").write_text(json.dumps(note))
        docs.upsert(range(ROWS + 10, ROWS + 20), VECTORS[ROWS + 10 : ROWS + 20], content=["last frame"] * 10)
        os.kill(os.getpid(), signal.SIGKILL)
    store.close()


def answers(store: lamina.Store) -> list[Any]:
    """Everything that can be read. LaminaError."""
    docs = store.get_collection("docs")
    read: list[Any] = [docs.version, docs.count(), docs.model.fingerprint]
    read += [docs.search(VECTORS[row], k=3, include=["content", "metadata"]).to_list() for row in (1, 50, ROWS + 1)]
    read.append(docs.search(VECTORS[:40], k=2, exact=True).ids.tolist())
    rows = (row for batch in docs.scan(batch_size=64) for row in batch.to_list())
    read.append(sorted(repr(row | {"vector": row["vector"].tolist()}) for row in rows))
    read.append(docs.get([1, 2, ROWS + 3, 0]).to_list())
    read += [(one, docs.snapshot(version=one.version).count()) for one in docs.versions()]
    return read


def is_sound(store: lamina.Store) -> bool:
    try:
        store.verify()
    except lamina.LaminaError:
        return False
    return True


class Sweep:
    """Worker: damages files one case at a time, and reports what came of each."""

    def __init__(self, folder: Path) -> None:
        logging.getLogger("lamina").setLevel(logging.CRITICAL)
        self.folder = folder
        self.scratch = Path(tempfile.mkdtemp(prefix="lamina-flip-", dir=folder))
        self.last_frame = json.loads((folder / "last-frame.json").read_text())
        self.expected = {}
        for name in STORES:
            with lamina.open(folder / name, read_only=True) as store:
                self.expected[name] = repr(answers(store))

    def outcome(self, case: Case) -> str:
        """What came of a case, for a reader and in some cases for a writer. AssertionError for a broken promise."""
        with damaged(self.folder / case.store / case.file, case):
            as_reader = self._judge(case, self.folder / case.store, read_only=True)
        if case.store == "killed" or case.at % 16 == 0:  # a writer mends, so it works on a copy
            copy = self.scratch / case.store
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.folder / case.store, copy)
            damage(copy / case.file, case)
            as_writer = self._judge(case, copy)
            assert {as_reader, as_writer} != {"refused", "harmless"}, f"{case}: {as_reader}, for a writer {as_writer}"
            if self._in_last_frame(case):
                assert as_writer == "cut off", f"{case}: the last frame was not cut off but {as_writer}"
        return as_reader

    def _judge(self, case: Case, path: Path, **options: Any) -> str:
        try:
            store = lamina.open(path, **options)
        except lamina.LaminaError:
            return "refused"
        with store:
            if self._in_last_frame(case):
                assert options or store.recovery.bytes_cut or not case.mask, f"{case}: recovery does not tell of it"
                assert repr(answers(store)) == self.last_frame["before"], f"{case}: neither with nor without it"
                assert is_sound(store), f"{case}: verify() finds damage where there is none"
                return "cut off"
            try:
                read = repr(answers(store))
                assert read == self.expected[case.store], f"{case}: a wrong answer: {read[:500]}"
                outcome = "seen by verify"
            except lamina.LaminaError:
                outcome = "seen by a read, and by verify"
            if is_sound(store):
                assert case.file in ("LOCK", "RESERVE"), f"{case}: verify() does not notice"
                return "harmless"
            return outcome

    def _in_last_frame(self, case: Case) -> bool:
        return case.store == "killed" and case.file == self.last_frame["file"] and case.at >= self.last_frame["start"]


@contextlib.contextmanager
def damaged(path: Path, case: Case) -> Iterator[None]:
    good = path.read_bytes()
    damage(path, case)
    try:
        yield
    finally:
        path.write_bytes(good)


def damage(path: Path, case: Case) -> None:
    content = bytearray(path.read_bytes())
    if case.mask:
        content[case.at] ^= case.mask
    path.write_bytes(content if case.mask else content[: case.at])


def cases(folder: Path, sample: int, rng: random.Random) -> list[Case]:
    """For each file, up to `sample` bytes to flip and a quarter as many lengths; the first and last bytes always."""
    planned = []
    for store in STORES:
        files = sorted(path for path in (folder / store).rglob("*") if path.is_file())
        if store == "kept":
            files = [path for path in reversed(files) if path.suffix]
        kinds = {path.suffix or path.name: path for path in files}  # one of each kind, the newest or the oldest
        for path in kinds.values():
            size, name = path.stat().st_size, str(path.relative_to(folder / store))
            whole = range(size)
            edges = {*whole[:64], *whole[-64:]} if sample >= 256 else {*whole[:4], *whole[-4:]}
            flips = edges | set(rng.sample(whole, min(size, sample)))
            planned += [Case(store, name, at, 1 << rng.randrange(8)) for at in sorted(flips)]
            planned += [Case(store, name, at, 0) for at in sorted(rng.sample(whole, min(size, max(1, sample // 4))))]
    return planned


def work(folder: Path) -> None:
    """Reads cases from stdin, a line each; answers with a line each."""
    sweep = Sweep(folder)
    for line in sys.stdin:
        case = Case(*json.loads(line))
        try:
            print(json.dumps(sweep.outcome(case)), flush=True)
        except Exception as error:
            print(json.dumps({"failed": f"{case}: {type(error).__name__}: {error}"[:2000]}), flush=True)


class Worker:
    def __init__(self, original: Path, folder: Path) -> None:
        shutil.copytree(original, folder)
        command = [sys.executable, __file__, "--role", "work", "--folder", str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, case: Case) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"failed": f"{case}: the process ended with {self._process.wait()}"}

    def close(self) -> None:
        self._process.communicate()


def run(sample: int, seed: int, workers: int) -> dict[str, Any]:
    from concurrent.futures import ThreadPoolExecutor

    with tempfile.TemporaryDirectory(prefix="lamina-sweep-") as scratch:
        original = Path(scratch) / "original"
        original.mkdir()
        for name in STORES:
            command = [sys.executable, __file__, "--role", f"build-{name}", "--folder", str(original)]
            code = subprocess.run(command, check=False).returncode
            assert code == (-signal.SIGKILL if name == "killed" else 0), code
        planned = cases(original, sample, random.Random(seed))

        def part(number: int) -> tuple[Counter[str], list[str]]:
            counts: Counter[str] = Counter()
            failures = []
            worker = Worker(original, Path(scratch) / f"worker-{number}")
            for case in planned[number::workers]:
                found = worker.ask(case)
                if isinstance(found, dict):
                    failures.append(found["failed"])
                    if "the process ended" in found["failed"]:
                        break
                else:
                    kind = Path(case.file).suffix or case.file
                    counts[f"{case.store} {kind} {'flip' if case.mask else 'cut'}: {found}"] += 1
            worker.close()
            return counts, failures

        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(part, range(workers)))
    counts = sum((counts for counts, _ in parts), Counter())
    return {
        "cases": len(planned),
        "outcomes": dict(sorted(counts.items())),
        "failures": [f for _, fs in parts for f in fs],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role == "work":
        work(arguments.folder)
        return 0
    if arguments.role:
        build(arguments.folder / arguments.role.removeprefix("build-"))
        return 0
    started = time.monotonic()
    report = run(arguments.sample, arguments.seed, arguments.workers)
    print(json.dumps({**report, "seconds": round(time.monotonic() - started, 1)}, indent=1))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
