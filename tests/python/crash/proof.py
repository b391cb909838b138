"""The proof of the store in full: every failing call, power cuts, cuts during recovery, flipped bits, mutants.

    python tests/python/crash/proof.py --build build/dev                (all)
    python tests/python/crash/proof.py --build build/dev --cuts 30000 --compound 3000 --no-mutants

What it counts goes to stdout as JSON, scenario by scenario; `tests/crash/RECORD.md` keeps the results. The same tests
run in `.ci/run` with smaller counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TESTS = {"store_test": "*FaultTest*:*PowerCut*", "segment_test": "*EveryFlip*"}
KINDS = ("faults", "cuts", "lost syncs", "compound", "flips")  # properties that the tests record


def run_shard(binary: Path, shard: int, shards: int, environment: dict[str, str], report: Path) -> int:
    command = [str(binary), f"--gtest_filter={TESTS[binary.name]}", "--gtest_brief=1", f"--gtest_output=json:{report}"]
    shard_environment = {"GTEST_TOTAL_SHARDS": str(shards), "GTEST_SHARD_INDEX": str(shard)}
    done = subprocess.run(
        command, env={**os.environ, **environment, **shard_environment}, check=False, stdout=sys.stderr
    )
    return done.returncode


def counts_in(reports: list[Path]) -> dict[str, Counter[str]]:
    """For each kind, how many of each scenario; flips by the test."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for report in reports:
        for suite in json.loads(report.read_text())["testsuites"]:
            for test in suite["testsuite"]:
                for kind in KINDS:
                    if kind in test:
                        of = suite["name"] if kind == "flips" else test["name"].rpartition("/")[2]
                        counts[kind][of] += int(test[kind])
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build/dev"), help="with the C++ tests, LAMINA_TESTING=ON")
    parser.add_argument("--cuts", type=int, default=310_000)
    parser.add_argument("--lost-syncs", type=int, default=30_000)
    parser.add_argument("--compound", type=int, default=31_000)
    parser.add_argument("--flip-bits", type=int, default=8, help="of each byte of a file of each kind")
    parser.add_argument("--fault-step", type=int, default=1, help="1: every operation fails")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-mutants", action="store_true")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    arguments = parser.parse_args()
    environment = {
        "LAMINA_CUTS": str(arguments.cuts),
        "LAMINA_LOST_SYNCS": str(arguments.lost_syncs),
        "LAMINA_COMPOUND": str(arguments.compound),
        "LAMINA_FAULT_STEP": str(arguments.fault_step),
        "LAMINA_FLIP_BITS": str(arguments.flip_bits),
        "LAMINA_SEED": str(arguments.seed),
    }
    began, shards = time.monotonic(), arguments.workers * 8  # more than workers, so that all end together
    with tempfile.TemporaryDirectory(prefix="lamina-proof-") as folder, ThreadPoolExecutor(arguments.workers) as pool:
        runs = [
            pool.submit(run_shard, arguments.build / "tests" / "cpp" / test, at, shards, environment, report)
            for test in TESTS
            for at in range(shards)
            for report in [Path(folder) / f"{test}-{at}.json"]
        ]
        failed = sum(run.result() != 0 for run in runs)
        counts = counts_in(sorted(Path(folder).iterdir()))
    cuts = counts["cuts"]
    result: dict[str, Any] = {
        "seed": arguments.seed,
        "scenarios": len(cuts),
        **{kind: of_scenario.total() for kind, of_scenario in counts.items()},
        "least share of the cuts": round(min(cuts.values()) / cuts.total(), 4),
        "seconds": round(time.monotonic() - began),
        "failed": failed,
    }
    print(json.dumps(result, indent=1))
    if not arguments.no_mutants:
        command = [sys.executable, str(HERE / "mutants.py"), "--build", str(arguments.build)]
        failed += subprocess.run(command, check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
