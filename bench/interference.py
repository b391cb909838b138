"""What a busy writer does to the searches beside it: the 99th percentile of their latency, with it and without.

A reader process, pinned to one core, searches one query at a time; a writer process, all its threads on another core,
is in turn idle, copying 64 MB blocks (the control: it takes the caches and the memory's bandwidth, and no lock), and
loaded: upserting, or with --load migrate filling a second generation of vectors, again and again. With --threads both
are threads of one process, on both cores. What the searching thread spends off its core is told apart: the wait for a
core, as Linux counts it, and the rest, in which it sleeps: for the GIL, since a search waits for no lock of the store.

    python -m bench.interference                             # 7 rounds of 20-second windows
    python -m bench.interference --seconds 2 --rounds 2      # a quick look
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import lamina
from bench.data import DataSet, load
from bench.measure import Summary

BLOCK = 64 << 20  # bytes that the control copies
BATCH = 100  # rows of one upsert
WINDOWS = ("idle", "control", "loaded")


@dataclass(frozen=True)
class Window:
    """The searches of one window: latencies in seconds, and shares of the window that they waited and slept."""

    median: float
    p99: float
    searches: int
    queued: float  # could have run, and no core was free
    asleep: float  # waited for the GIL


def queued_seconds() -> float:
    """How long this thread has waited for a core since it began; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def search_for(seconds: float, docs: lamina.Collection, queries: np.ndarray[Any, Any]) -> Window:
    taken: list[float] = []
    cpu, queued, began = time.thread_time(), queued_seconds(), time.perf_counter()
    end = now = began
    while now < began + seconds:
        query = queries[len(taken) % len(queries)]
        now = time.perf_counter()
        docs.search(query, k=10)
        end = time.perf_counter()
        taken.append(end - now)
        now = end
    median, p99 = np.percentile(taken, [50, 99])
    queue = (queued_seconds() - queued) / (end - began)
    asleep = 1.0 - (time.thread_time() - cpu) / (end - began) - queue
    return Window(float(median), float(p99), len(taken), queue, asleep)


GoingOn = Callable[[], bool]


def idle(going_on: GoingOn, docs: lamina.Collection, base: np.ndarray[Any, Any]) -> None:
    while going_on():
        time.sleep(0.01)


def control(going_on: GoingOn, docs: lamina.Collection, base: np.ndarray[Any, Any]) -> None:
    blocks = np.zeros((2, BLOCK), np.uint8)
    while going_on():
        blocks[1] = blocks[0]


def upsert(going_on: GoingOn, docs: lamina.Collection, base: np.ndarray[Any, Any]) -> None:
    rng = np.random.default_rng(len(base))
    while going_on():
        ids = rng.choice(len(base), BATCH, replace=False)
        docs.upsert(ids, base[rng.permutation(ids)])


def migrate(going_on: GoingOn, docs: lamina.Collection, base: np.ndarray[Any, Any]) -> None:
    other = lamina.Model("another", dim=base.shape[1], metric=docs.model.metric)
    while going_on():
        migration = docs.migrate(to=other, vectors=(np.arange(len(base)), base[::-1]))
        migration.run(progress=False)
        migration.abort()


DISTURB = {"idle": idle, "control": control, "upsert": upsert, "migrate": migrate}  # until the window is over


def writer(pipe: Connection, path: str, data: DataSet, core: int) -> None:
    os.sched_setaffinity(0, {core})
    with lamina.open(path) as store:
        docs = store.get_collection("docs")
        pipe.send(0)
        while (kind := pipe.recv()) is not None:
            DISTURB[kind](lambda: not pipe.poll(), docs, data.base)
            pipe.send(pipe.recv())
    pipe.send(0)


def reader(pipe: Connection, path: str, data: DataSet, core: int) -> None:
    os.sched_setaffinity(0, {core})
    with lamina.open(path, read_only=True) as store:
        docs = store.get_collection("docs")
        docs.warm()
        search_for(1.0, docs, data.queries)
        pipe.send(0)
        while (seconds := pipe.recv()) is not None:
            store.reload()
            pipe.send(search_for(seconds, docs, data.queries))


def between_processes(path: str, data: DataSet, seconds: float, rounds: int, load: str) -> list[dict[str, Window]]:
    context = multiprocessing.get_context("spawn")
    ends = {}
    for number, target in enumerate((reader, writer)):
        ends[target], theirs = context.Pipe()
        context.Process(target=target, args=(theirs, path, data, number), daemon=True).start()
        theirs.close()
        ends[target].recv()
    found = []
    for _ in range(rounds):
        windows = {}
        for kind in WINDOWS:
            ends[writer].send(load if kind == "loaded" else kind)
            ends[reader].send(seconds)
            windows[kind] = ends[reader].recv()
            ends[writer].send("over")
            ends[writer].recv()
        found.append(windows)
    ends[reader].send(None)
    ends[writer].send(None)
    ends[writer].recv()
    return found


def between_threads(path: str, data: DataSet, seconds: float, rounds: int, load: str) -> list[dict[str, Window]]:
    os.sched_setaffinity(0, {0, 1})
    found = []
    with lamina.open(path) as store:
        docs = store.get_collection("docs")
        docs.warm()
        search_for(1.0, docs, data.queries)
        for _ in range(rounds):
            windows = {}
            for kind in WINDOWS:
                over = threading.Event()
                disturb = DISTURB[load if kind == "loaded" else kind]
                other = threading.Thread(target=disturb, args=(lambda e=over: not e.is_set(), docs, data.base))
                other.start()
                windows[kind] = search_for(seconds, docs, data.queries)
                over.set()
                other.join()
            found.append(windows)
    return found


def report(found: list[dict[str, Window]]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        kind: {
            "median_us": 1e6 * float(np.median([windows[kind].median for windows in found])),
            "p99_us": 1e6 * float(np.median([windows[kind].p99 for windows in found])),
            "searches": sum(windows[kind].searches for windows in found),
            "share of the time waited for a core": float(np.median([windows[kind].queued for windows in found])),
            "share of the time asleep": float(np.median([windows[kind].asleep for windows in found])),
        }
        for kind in WINDOWS
    }
    for kind in ("idle", "control"):
        ratios = [windows["loaded"].p99 / windows[kind].p99 for windows in found]
        figures[f"p99 loaded / {kind}"] = Summary.of(ratios).to_dict()
    return figures


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.interference", description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", default="synthetic:20000:384", help="as bench.compare takes it")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a window")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", action="store_true", help="of one process, in place of two processes")
    parser.add_argument("--load", choices=("upsert", "migrate"), default="upsert", help="of the loaded windows")
    chosen = parser.parse_args(arguments)
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("needs two cores")
    data = load(chosen.data)
    model = lamina.Model("bench", dim=data.base.shape[1], metric=data.metric)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "bench.lamina")
        with lamina.open(path, create=True, maintenance="manual") as store:
            docs = store.create_collection("docs", model)
            docs.add(np.arange(len(data.base)), data.base)
            docs.optimize()
        measure = between_threads if chosen.threads else between_processes
        json.dump(report(measure(path, data, chosen.seconds, chosen.rounds, chosen.load)), sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
