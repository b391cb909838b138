"""Builds lamina and every importable peer on the same data and prints, as ratios, how they compare.

python -m bench.compare synthetic:20000:128 --pairs 3 --seconds 0.5
LAMINA_BENCH_DATA=folder python -m bench.compare docs_v2 sift --only lamina lamina-collection hnswlib
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import report
from bench.data import DataSet, load
from bench.measure import Bench, Bracket, Summary, available_cores, on_one_core, paired
from bench.peers import ALL, Lamina, LaminaCollection, Peer, describe
from bench.worker import in_fresh_process

REFERENCE = "hnswlib"
SWEPT = (10, 14, 20, 28, 40, 56, 80, 113, 160, 226, 320, 452, 640)
LEAST_RECALL = 0.9  # at the widest swept breadth; less is a broken index, and its speed means nothing


@dataclass
class Run:
    """One data set and all that was measured on it."""

    data: DataSet
    options: argparse.Namespace
    scratch: Path
    threads: int
    benches: dict[str, Bench] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.scratch / f"{name}.index"

    def arguments(self, name: str, breadth: int) -> dict[str, Any]:
        """What a fresh process needs to open `name` and search it."""
        return {
            "peer": name, "metric": self.data.metric, "queries": self.scratch / "queries.npy", "path": self.path(name),
            "rows": len(self.data.base), "breadth": breadth, "k": self.options.k,
        }  # fmt: skip

    def breadth_for(self, name: str, recall: float) -> int | None:
        bracket = self.benches[name].bracket(recall)
        return bracket.high if bracket else None


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def build_all(run: Run, peers: list[type[Peer]]) -> None:
    """Each library in a process of its own; lamina and the reference in turns, as often as was asked."""
    np.save(run.scratch / "base.npy", run.data.base)
    np.save(run.scratch / "queries.npy", run.data.queries)

    def seconds(name: str, keep: bool = False) -> float:
        path = run.path(name) if keep else ""
        arguments = {"peer": name, "metric": run.data.metric, "vectors": run.scratch / "base.npy", "path": path}
        return in_fresh_process("build", threads=run.threads, **arguments)["seconds"]

    for peer in peers:
        say(f"{run.data.name}: building {peer.name}")
        try:
            used = seconds(peer.name, keep=True)
        except RuntimeError as error:
            say(f"{peer.name} is left out: {error}")
            continue
        path = run.path(peer.name)
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        run.results[peer.name] = describe(peer) | {
            "build_seconds": used,
            "file_megabytes": sum(file.stat().st_size for file in files) / 1e6,
        }
    if Lamina.name in run.results and REFERENCE in run.results and run.options.build_pairs > 0:
        say(f"{run.data.name}: building {Lamina.name} and {REFERENCE} in turns, {run.options.build_pairs} times")
        summary, mine, other = paired(lambda: seconds(Lamina.name), lambda: seconds(REFERENCE), run.options.build_pairs)
        run.results[Lamina.name] |= {"build_ratio": summary.to_dict(), "build_seconds": mine}
        run.results[REFERENCE]["build_seconds"] = other


def open_all(run: Run, peers: list[type[Peer]]) -> None:
    """Opens what was built, and checks each library's answers against exact search before any clock starts."""
    for peer in peers:
        if peer.name not in run.results:
            continue
        index = peer(run.data.metric)
        index.load(run.path(peer.name), run.data.base.shape[1], len(run.data.base))
        bench = Bench(index, run.data, run.options.k, run.threads)
        best = bench.recall(SWEPT[-1])
        if best < LEAST_RECALL:
            say(f"{peer.name} is left out: recall {best:.4f} at breadth {SWEPT[-1]}")
            del run.results[peer.name]
            continue
        if isinstance(index, Lamina):
            found = np.asarray(index.index.search(run.data.queries, k=run.options.k, exact=True).ids)
            if run.data.recall(found, run.options.k) != 1.0:
                raise SystemExit("lamina's exact=True is not exact: nothing else is worth measuring")
        run.benches[peer.name] = bench


def sweep(run: Run) -> None:
    """Recall against rate, for the plot."""
    for name, bench in run.benches.items():
        say(f"{run.data.name}: sweeping {name}")
        curve = []
        for breadth in SWEPT:
            with on_one_core():
                one = bench.rate(breadth, run.options.sweep_seconds, batched=False)
            batch = bench.rate(breadth, run.options.sweep_seconds, batched=True) if bench.peer.batches else None
            curve.append({"breadth": breadth, "recall": bench.recall(breadth), "qps_one": one, "qps_batch": batch})
        run.results[name]["curve"] = curve


def compare_rates(run: Run, first: str, second: str, recall: float, batched: bool) -> dict[str, Any] | None:
    a, b = run.benches[first], run.benches[second]
    near_a, near_b = a.bracket(recall), b.bracket(recall)
    if near_a is None or near_b is None:
        return None
    seconds = run.options.seconds

    def rates() -> tuple[Summary, float, float]:
        return paired(
            lambda: a.rate_at(recall, near_a, seconds, batched),
            lambda: b.rate_at(recall, near_b, seconds, batched),
            run.options.pairs,
        )

    if batched:
        summary, mine, other = rates()
    else:
        with on_one_core():
            summary, mine, other = rates()
    return summary.to_dict() | {
        "qps": mine, "other_qps": other, "breadths": [breadths(near_a), breadths(near_b)],
        "understated": [near_a.understated, near_b.understated],
    }  # fmt: skip


def breadths(bracket: Bracket) -> list[int]:
    return [bracket.low, bracket.high]


def compare_all(run: Run) -> None:
    """lamina against each other library at each recall, one query at a time and batched."""
    if Lamina.name not in run.benches:
        say("lamina was not measured: no rates are compared")
        return
    for name, bench in run.benches.items():
        if name == Lamina.name:
            continue
        # What the store costs is asked the other way round: Collection.search as a share of Index.search.
        first, second = (name, Lamina.name) if name == LaminaCollection.name else (Lamina.name, name)
        ratios = run.results[name].setdefault("ratios", {})
        for recall in run.options.recall:
            for mode in run.options.mode:
                if mode == "batch" and not bench.peer.batches:
                    continue
                say(f"{run.data.name}: {first} / {second} at recall {recall}, {mode}")
                ratios[f"{mode}@{recall}"] = compare_rates(run, first, second, recall, mode == "batch")


def openings(run: Run) -> None:
    """From a closed file to the first and the hundredth answer; lamina and each other in turns."""
    usable = {name: breadth for name in run.benches if (breadth := run.breadth_for(name, 0.95)) is not None}
    for name, breadth in usable.items():
        say(f"{run.data.name}: opening {name}")
        times: dict[str, list[float]] = {"first": [], "hundred": []}
        ratios: dict[str, list[float]] = {"first": [], "hundred": []}
        for _ in range(run.options.pairs):
            mine = in_fresh_process("open", **run.arguments(Lamina.name, usable[Lamina.name])) if (
                Lamina.name in usable and name != Lamina.name) else None  # fmt: skip
            other = in_fresh_process("open", **run.arguments(name, breadth))
            for what in times:
                times[what].append(other[what])
                if mine:
                    ratios[what].append(other[what] / mine[what])
        for what, values in times.items():
            run.results[name][f"open_{what}_ms"] = 1000 * float(np.median(values))
            if ratios[what]:
                run.results[name][f"open_{what}_ratio"] = Summary.of(ratios[what]).to_dict()


def memories(run: Run) -> None:
    if not sys.platform.startswith("linux"):
        say("memory is measured on Linux only")
        return
    for name in run.benches:
        if (breadth := run.breadth_for(name, 0.95)) is not None:
            say(f"{run.data.name}: memory of {name}")
            used = in_fresh_process("memory", **run.arguments(name, breadth))
            run.results[name]["memory_megabytes"] = used["megabytes"]


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    data = load(name)
    peers = [peer for peer in ALL if peer.supports(data.metric) and (not options.only or peer.name in options.only)]
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as scratch:
        run = Run(data, options, Path(scratch), len(available_cores()))
        build_all(run, peers)
        open_all(run, peers)
        stages = {"sweep": sweep, "open": openings, "memory": memories, "rates": compare_all}
        for stage, measure in stages.items():
            if stage not in options.skip:
                measure(run)
        return {
            "data": {"name": data.name, "metric": data.metric, "rows": len(data.base), "dim": data.base.shape[1]},
            "machine": machine(), "k": options.k, "pairs": options.pairs, "seconds": options.seconds,
            "threads": run.threads, "libraries": run.results,
        }  # fmt: skip


def machine() -> dict[str, str]:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    system = f"{platform.system()} {platform.release()}"
    return {"cpu": cpu, "system": system, "python": platform.python_version(), "numpy": np.__version__}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "data", nargs="*", default=["synthetic:20000:128"], help="data sets, as bench/data.py names them"
    )
    parser.add_argument("--only", nargs="+", metavar="LIBRARY", help=", ".join(peer.name for peer in ALL))
    parser.add_argument("--recall", nargs="+", type=float, default=[0.95, 0.99])
    parser.add_argument("--mode", nargs="+", choices=["one", "batch"], default=["one", "batch"])
    parser.add_argument("--skip", nargs="+", choices=["sweep", "open", "memory", "rates"], default=[])
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement in a pair")
    parser.add_argument("--sweep-seconds", type=float, default=0.5)
    parser.add_argument("--build-pairs", type=int, default=9, help=f"builds of lamina and {REFERENCE} in turns")
    parser.add_argument("--out", type=Path, default=Path("build/bench/results"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.data:
        results = compare(name, options)
        stem = options.out / f"{results['data']['name'].replace(':', '-')}-{time.strftime('%Y%m%d-%H%M%S')}"
        stem.with_suffix(".json").write_text(json.dumps(results, indent=1))
        print(report.markdown(results))
        if "sweep" not in options.skip:
            from bench import plot

            plot.draw(results, stem.with_suffix(".png"))
        say(f"stored {stem}.json")


if __name__ == "__main__":
    main()
