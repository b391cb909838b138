"""Safeguards switched off one at a time: the C++ tests must notice each, or they prove nothing.

    python tests/python/crash/mutants.py --build build/dev      (all; or --only NAME, or --part 1/3)

A test build looks at LAMINA_MUTANT (cpp/base/mutant.h): a checksum or digest is not compared, a sync is not done, a
lock keeps nobody out. Each mutant runs the rooms' tests until the first that fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STORE = "/kb.lamina"  # where the C++ tests keep theirs
DISK = [
    *(f"sync of {kind}" for kind in ("log", "vec", "rec", "del", "man", "root")),
    *(f"sync of {directory}" for directory in ("/", STORE, f"{STORE}/roots", f"{STORE}/files", f"{STORE}/log")),
    "sync before rename",
    "sync before a root",
    "copy of a log that may not be durable",
    "keep what may be named",
    "poison",
]
LOCKS = ["writer's lock", "reader's pin", "look at the pins", "spare files that a root will name"]
DAMAGE = [
    "document checksum",
    "document digest",
    "segment header checksum",
    "segment footer checksum",
    "segment digest",
    "checksum of the checksums",
    "block checksum",
    "content root",
    "log header checksum",
    "frame header checksum",
    "frame checksum",
    "note checksum",
    "witness",
    "proof of the note",
]
CUTS = {"LAMINA_CUTS": "20000", "LAMINA_LOST_SYNCS": "2000", "LAMINA_COMPOUND": "4000"}  # as in CI


def runs_of(mutant: str) -> list[tuple[str, str]]:
    """The tests that may notice, the likeliest first: a room and a filter."""
    faults, cuts, rest = ("store", "*FaultTest*"), ("store", "*PowerCut*"), ("store", "-*FaultTest*:*PowerCut*")
    if not mutant:  # none: these must pass
        return [rest, ("segment", "*")]
    if mutant in DISK:
        return [cuts, rest, faults]
    return [rest, ("segment", "*"), faults] if mutant in DAMAGE else [rest, faults, cuts]


def missed_by(build: Path, mutant: str, timeout: float) -> str | None:
    """The first failed test under this mutant; None if all passed."""
    environment = {**CUTS, **os.environ, "LAMINA_MUTANT": mutant, "GTEST_FAIL_FAST": "1", "GTEST_BRIEF": "1"}
    for room, chosen in runs_of(mutant):
        command = [str(build / "tests" / "cpp" / f"{room}_test"), f"--gtest_filter={chosen}"]
        try:
            done = subprocess.run(
                command,
                cwd=build,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return f"{room}: no end"
        if done.returncode != 0:
            failed = [line for line in done.stdout.splitlines() if line.startswith("[  FAILED  ]")]
            return failed[0].removeprefix("[  FAILED  ] ") if failed else f"{room}: ended with {done.returncode}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build/dev"), help="with the C++ tests, LAMINA_TESTING=ON")
    parser.add_argument("--only", action="append", help="mutants by name")
    parser.add_argument("--part", default="1/1", help="K/N: every Nth mutant from the Kth")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one run of a room's tests")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    if (broken := missed_by(build, "", arguments.timeout)) is not None:
        print(f"fails without a mutant: {broken}", file=sys.stderr)
        return 1
    part, parts = map(int, arguments.part.split("/"))
    mutants = arguments.only or [*DISK, *LOCKS, *DAMAGE][part - 1 :: parts]

    def run(mutant: str) -> tuple[str, str | None]:
        began = time.monotonic()
        missed = missed_by(build, mutant, arguments.timeout)
        print(f"{mutant}: {missed or 'SURVIVED'} ({time.monotonic() - began:.1f} s)", file=sys.stderr)
        return mutant, missed

    with ThreadPoolExecutor(arguments.workers) as pool:
        found = dict(pool.map(run, mutants))
    survived = [mutant for mutant, missed in found.items() if missed is None]
    print(json.dumps({"mutants": len(found), "survived": survived}))
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
