"""What share of the machine's speed a search reaches: the lines of memory that it reads, beside those that one core
can read in the same time at random places that it was told of early enough.

A walk reads the code of each row that it measures and the links of each row that it expands, neither of which it can
know long before. `bench/gather.cpp` measures the limit, in a set as large as all codes and links together. The rest of
the time is arithmetic, bookkeeping and what was not asked for early enough: `perf record` tells them apart.

    LAMINA_BENCH_DATA=folder python -m bench.roofline docs_v2 sift --gather build/release/gather
"""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lamina
from bench.data import DataSet, Floats, load
from bench.measure import on_one_core, repeat

LINE = 64
K = 10
M = 16
SEEN = 200  # queries whose plans are looked at


@dataclass(frozen=True)
class Line:
    recall: float
    rows: float  # measured by a query
    lines: float  # read by a query
    microseconds: float
    limit: float  # lines a nanosecond

    def text(self, name: str) -> str:
        least = self.lines / self.limit / 1000
        return (
            f"| {name} | {self.recall:.3f} | {self.rows:.0f} | {self.lines:.0f} | {self.microseconds:.1f} "
            f"| {self.limit:.2f} | {least:.1f} | {least / self.microseconds:.0%} |"
        )


def lines_of(bytes_of_one: int) -> int:
    return -(-bytes_of_one // LINE)


def limit_of(gather: Path, megabytes: int, lines: int) -> float:
    done = subprocess.run([gather, str(megabytes), str(lines)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def plan_of(index: lamina.Index, query: Floats, recall: float) -> list[dict[str, Any]]:
    hits = cast(lamina.Hits, index.search(query, K, recall=recall, explain=True))
    return hits.plan or []


def measure(data: DataSet, recall: float, index: lamina.Index, gather: Path, seconds: float) -> Line:
    bits = index.stats()["parts"][0]["code_bits"] or 32  # of a number of the vectors themselves
    code, links = lines_of(data.base.shape[1] * bits // 8), lines_of(2 * M * 4)
    steps = [step for query in data.queries[:SEEN] for step in plan_of(index, query, recall)]
    seen = min(SEEN, len(data.queries))
    rows = sum(step["measured"] for step in steps) / seen
    read = rows * code + sum(step["breadth"] for step in steps) / seen * links
    megabytes = max(len(data.base) * (code + links) * LINE >> 20, 1)
    queries = list(data.queries)
    with on_one_core():
        rate = repeat(lambda: [index.search(query, K, recall=recall) for query in queries], seconds) * len(queries)
        limit = limit_of(gather, megabytes, code)
    found = data.recall(index.search(data.queries, K, recall=recall).ids, K)
    return Line(found, rows, read, 1e6 / rate, limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=["synthetic:50000:384"], help="as bench.compare takes them")
    parser.add_argument("--gather", type=Path, default=Path("build/release/gather"), help="what bench/gather.cpp makes")
    parser.add_argument("--recall", nargs="+", type=float, default=[0.95, 0.99])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    print("| data | recall@10 | rows measured | lines read | µs | limit, lines a ns | least µs | share |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.data:
        data = load(name)
        index = lamina.Index(dim=data.base.shape[1], metric=data.metric, m=M)
        index.add(data.base)
        index.optimize()
        for recall in options.recall:
            print(measure(data, recall, index, options.gather, options.seconds).text(data.name), flush=True)


if __name__ == "__main__":
    main()
