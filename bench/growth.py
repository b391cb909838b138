"""How build time, query time and memory grow with the number of rows: a table, and three panes in logarithms.

Seeded synthetic rows (see bench/data.py), each index built in a process of its own, all cores; queries one at a time on
one core, at the same recall for every number; memory is the growth of RSS over 20,000 of them. The exponent of a power
law through the points stands under each pane's title: 1 is linear, 0 does not grow.

    python -m bench.growth --dim 384 --rows 1000 10000 100000 1000000 --only lamina hnswlib
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.compare import machine
from bench.data import DataSet, load
from bench.measure import Bench, available_cores, on_one_core
from bench.peers import ALL, BY_NAME
from bench.worker import in_fresh_process

K = 10
PANES = {"build": "build, seconds", "query": "a query, microseconds", "memory": "memory, megabytes"}


def grown(name: str, data: DataSet, recall: float, seconds: float, scratch: Path) -> dict[str, float] | None:
    """What an index of these rows costs; None where it does not reach the recall."""
    base, queries, path = scratch / "base.npy", scratch / "queries.npy", scratch / name
    np.save(base, data.base)
    np.save(queries, data.queries)
    threads, metric = len(available_cores()), data.metric
    built = in_fresh_process("build", peer=name, metric=metric, vectors=base, path=path, threads=threads)
    index = BY_NAME[name](metric)
    index.load(path, data.base.shape[1], len(data.base))
    bench = Bench(index, data, K, threads)
    near = bench.bracket(recall)
    if near is None:
        return None
    with on_one_core():
        rate = bench.rate_at(recall, near, seconds, batched=False)
    asked = {"peer": name, "metric": metric, "queries": queries, "path": path, "rows": len(data.base)}
    used = in_fresh_process("memory", **asked, breadth=near.high, k=K)
    return {"build": built["seconds"], "query": 1e6 / rate, "memory": used["megabytes"]}


def exponent(rows: list[int], values: list[float]) -> float:
    """Of the power law that fits best in logarithms. REQUIRES: two numbers of rows at least."""
    return float(np.polyfit(np.log(rows), np.log(values), 1)[0])


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panes = plt.subplots(1, 3, figsize=(15, 5))
    for pane, (key, title) in zip(panes, PANES.items(), strict=True):
        for name, points in results["libraries"].items():
            rows, values = [point["rows"] for point in points], [point[key] for point in points]
            grows = f", exponent {exponent(rows, values):.2f}" if len(rows) > 1 else ""
            pane.plot(rows, values, marker="o", markersize=4, label=name + grows)
        pane.set_xscale("log")
        pane.set_yscale("log")
        pane.set_xlabel("rows")
        pane.set_title(title)
        pane.grid(True, which="both", alpha=0.3)
        pane.legend(fontsize=8)
    figure.suptitle(f"{results['dim']} dimensions, recall@{K} {results['recall']} ({results['machine']['cpu']})")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--only", nargs="+", default=["lamina"], help=", ".join(peer.name for peer in ALL))
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each rate")
    parser.add_argument("--out", type=Path, default=Path("build/bench/results"))
    options = parser.parse_args()
    libraries: dict[str, list[dict[str, float]]] = {name: [] for name in options.only}
    print(f"| library | rows | {' | '.join(PANES.values())} |\n|---|---|---|---|---|")
    for rows in sorted(options.rows):
        data = load(f"synthetic:{rows}:{options.dim}")
        for name, points in libraries.items():
            with tempfile.TemporaryDirectory(prefix="lamina-growth-") as scratch:
                found = grown(name, data, options.recall, options.seconds, Path(scratch))
            if found is None:
                print(f"{name} does not reach recall {options.recall} on {rows:,} rows", file=sys.stderr)
                continue
            points.append({"rows": rows, **found})
            print(f"| {name} | {rows:,} | {' | '.join(f'{found[key]:.3g}' for key in PANES)} |", flush=True)
    results = {"dim": options.dim, "recall": options.recall, "machine": machine(), "libraries": libraries}
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / f"growth-{options.dim}-{time.strftime('%Y%m%d-%H%M%S')}"
    stem.with_suffix(".json").write_text(json.dumps(results, indent=1))
    draw(results, stem.with_suffix(".png"))
    print(f"stored {stem}.json and .png", file=sys.stderr)


if __name__ == "__main__":
    main()
