"""How long each call keeps the GIL from other threads, for 100 rows.

Of each call the longest stretch of CPU time that its thread spends between two releases of the GIL by the extension:
the Python and the C++ of the call together, and not what the machine did meanwhile. Releases by numpy and pyarrow are
not seen: it is an upper bound. And of that the longest in one function that is not Python, the extension's or a
library's: there the interpreter cannot hand the GIL over, which between any two of them it does every
`sys.getswitchinterval()`. Needs a test build, which keeps that trace (`lamina info --build` says whether it is one).

    python -m bench.gil
    python -m bench.gil --dim 1536 --repeats 200
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lamina
from lamina import _core

ROWS = 100  # of a call

Prepare = Callable[[int], Callable[[], Any]]


def texts(first: int) -> list[str]:
    return [f"the text of record {first + at}, about as long as a sentence is, or a short chunk" for at in range(ROWS)]


def metadata(first: int) -> list[dict[str, Any]]:
    return [{"year": 2000 + at % 25, "source": f"s{at % 7}", "n": first + at, "score": at / 7} for at in range(ROWS)]


def calls(docs: lamina.Collection, index: lamina.Index, vectors: np.ndarray) -> Iterator[tuple[str, Prepare]]:
    """Each by name, with what prepares it for a number that is another one each time."""
    rows = len(vectors)

    def ids(at: int) -> list[int]:
        first = at * ROWS % (rows - ROWS)
        return list(range(first, first + ROWS))

    def new(at: int) -> list[int]:
        return [rows + id for id in range(at * ROWS, (at + 1) * ROWS)]

    def of(at: int) -> np.ndarray:
        return vectors[ids(at)]

    def refresh(first: int, text: int) -> Callable[[], Any]:
        keys = range(10_000_000 + first, 10_000_000 + first + ROWS)
        source = list(zip(keys, texts(text), metadata(text), strict=True))
        return lambda: docs.refresh(source, progress=False)

    yield "add", lambda at: partial(docs.add, new(at), of(at), metadata(at), texts(at))
    yield "upsert", lambda at: partial(docs.upsert, ids(at), of(at), metadata(at), texts(at))
    yield "upsert, embedded", lambda at: partial(docs.upsert, ids(at), metadata=metadata(at), content=texts(at))
    yield "upsert, vectors alone", lambda at: partial(docs.upsert, ids(at), of(at))
    yield "update, metadata", lambda at: partial(docs.update, ids(at), metadata=[{"year": at}] * ROWS)
    yield "update, content", lambda at: partial(docs.update, ids(at), content=texts(-at * ROWS))
    yield "delete", lambda at: partial(docs.delete, new(at))
    yield "search", lambda at: partial(docs.search, of(at)[0])
    yield "search, a batch", lambda at: partial(docs.search, of(at))
    yield "search, a new filter", lambda at: partial(docs.search, of(at)[0], filter={"n": {"$gte": at}})
    yield "search, k 100, metadata", lambda at: partial(docs.search, of(at)[0], k=ROWS, include=["metadata"])
    yield "get", lambda at: partial(docs.get, ids(at))
    yield "get, to_list", lambda at: lambda: docs.get(ids(at)).to_list()
    yield "scan, a chunk", lambda at: lambda: next(docs.scan(batch_size=ROWS))
    yield "count, a new filter", lambda at: partial(docs.count, filter={"n": {"$lt": at}})
    yield "refresh, all new", lambda at: refresh(at * ROWS, at * ROWS)
    yield "refresh, unchanged", lambda at: refresh(ROWS, ROWS)
    yield "refresh, all changed", lambda at: refresh(ROWS, -at * ROWS)
    yield "Index.add", lambda at: partial(index.add, of(at))
    yield "Index.search", lambda at: partial(index.search, of(at)[0])
    yield "Index.search, a batch", lambda at: partial(index.search, of(at))
    yield "Index.get", lambda at: partial(index.get, ids(at))
    yield "Index.delete", lambda at: partial(index.delete, ids(at))


def longest_hold(call: Callable[[], Any]) -> float:
    """In seconds of CPU time, of the calling thread."""
    _core.testing_gil_hold()
    call()
    return _core.testing_gil_hold()


def longest_function(call: Callable[[], Any]) -> float:
    """The same, in one function that is not Python and calls none."""
    running: list[bool] = []  # of functions that are not Python, whether they have called none yet
    longest = 0.0

    def watch(frame: Any, event: str, function: Any) -> None:
        nonlocal longest
        held = _core.testing_gil_hold()
        if event == "c_call":
            running.append(True)
        elif event == "call":
            running[:] = [False] * len(running)
        elif event in ("c_return", "c_exception") and running and running.pop():
            longest = max(longest, held)

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return longest


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.gil", description=__doc__.partition("\n")[0])
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rows", type=int, default=20_000, help="in the collection")
    parser.add_argument("--repeats", type=int, default=50)
    chosen = parser.parse_args(arguments)
    if not hasattr(_core, "testing_gil_hold"):
        parser.error("this is no test build of lamina, or not on Linux: nothing traces the GIL")
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((chosen.rows, chosen.dim), np.float32)
    model = lamina.Model("bench", dim=chosen.dim, embed=lambda batch: vectors[: len(batch)])
    index = lamina.Index(dim=chosen.dim)
    index.add(vectors)
    with (
        tempfile.TemporaryDirectory() as folder,
        lamina.open(Path(folder) / "kb", create=True, durability="os") as store,
    ):
        docs = store.create_collection("docs", model=model)
        for at in range(0, chosen.rows, ROWS):
            docs.upsert(range(at, at + ROWS), vectors[at : at + ROWS], metadata(at), texts(at))
        print(f"{'µs held':26}{'least':>8}{'median':>8}{'90 %':>8}{'in one function':>17}")
        for name, prepare in calls(docs, index, vectors):
            for at in range(5):
                prepare(at)()
            holds = [longest_hold(prepare(at)) for at in range(5, 5 + chosen.repeats)]
            alone = [longest_function(prepare(at)) for at in range(5 + chosen.repeats, 5 + 2 * chosen.repeats)]
            least, median, high = np.percentile(holds, [0, 50, 90]) * 1e6
            print(f"{name:26}{least:8.0f}{median:8.0f}{high:8.0f}{1e6 * np.median(alone):17.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
