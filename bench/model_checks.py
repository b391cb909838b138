"""What it costs a search to make sure that its query is of the model whose vectors it meets.

One query at a time on one core, in turns: an array without a name (which the collection may refuse, after a cut-over),
the same array with `model=`, and tagged. Ratios of the time; 1.00 is free.

    LAMINA_BENCH_DATA=folder python -m bench.model_checks docs_v2
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lamina
from bench.data import load
from bench.measure import on_one_core, paired, repeat

BATCH = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="synthetic:20000:384")
    parser.add_argument("--pairs", type=int, default=99)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each half of a pair")
    options = parser.parse_args()
    data = load(options.data)
    model = lamina.Model("m", dim=data.base.shape[1], metric=data.metric)
    with tempfile.TemporaryDirectory() as folder, lamina.open(Path(folder) / "kb", create=True) as store:
        docs = store.create_collection("docs", model=model)
        for at in range(0, len(data.base), BATCH):
            docs.upsert(np.arange(at, min(at + BATCH, len(data.base))), vectors=data.base[at : at + BATCH])
        docs.optimize()
        queries = list(data.queries[:256])
        tagged = [model.tag(query) for query in queries]

        def rate(search: Callable[[Any], Any], asked: list[Any]) -> float:
            return 1 / repeat(lambda: [search(query) for query in asked], options.seconds)

        ways: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
            "array, again": (docs.search, queries),
            "array and model=": (partial(docs.search, model=model), queries),
            "tagged array": (docs.search, tagged),
        }
        with on_one_core():
            for name, (search, asked) in ways.items():
                plain = partial(rate, docs.search, queries)
                ratio, _, seconds = paired(partial(rate, search, asked), plain, options.pairs)
                each = seconds / len(queries) * 1e6
                print(f"{name}: {ratio.median:.4f} ({ratio.low:.4f}–{ratio.high:.4f}) of {each:.1f} µs a query")


if __name__ == "__main__":
    main()
