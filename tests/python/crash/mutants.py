"""Safeguards switched off one at a time: the C++ tests must notice each, or they prove nothing.

    python tests/python/crash/mutants.py --build build/dev      (all; or --only NAME)

A test build looks at LAMINA_MUTANT (cpp/base/mutant.h): a checksum or digest is not compared, a sync is not done, a
lock keeps nobody out. For each there is a test that notices it, in the counts that it has in CI; without a mutant all
of these pass.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
STORE = "/kb.lamina"  # where the C++ tests keep theirs


def cut(scenario: str) -> tuple[str, str]:
    return "store", f"Of/PowerCutTest.LosesNothingAcknowledged/{scenario}"


NOTICED_BY = {
    "sync of log": cut("FirstOpen"),
    "sync of root": cut("FirstOpen"),
    "sync of man": cut("FirstOpenOfAnEmptyDirectory"),
    "sync of vec": cut("UpdatesInPlace"),
    "sync of rec": cut("UpdatesInPlace"),
    "sync of del": cut("UpdatesInPlace"),
    "sync of /": cut("FirstOpen"),
    f"sync of {STORE}": cut("FirstOpen"),
    f"sync of {STORE}/roots": cut("FirstOpen"),
    f"sync of {STORE}/log": cut("FirstOpen"),
    f"sync of {STORE}/files": cut("FirstOpenOfAnEmptyDirectory"),
    "sync before rename": cut("FirstOpen"),
    "sync before a root": cut("TransactionAndKill"),
    "copy of a log that may not be durable": cut("SyncedByTheSystem"),
    "keep what may be named": ("store", "RecoveryTest.ARootThatItsWriterDidNotSyncIsSyncedBeforeOlderOnesGo"),
    "poison": ("store", "Of/PowerCutTest.AfterASyncThatFailedAndLost/WritesOneByOne"),
    "spare files that a root will name": ("store", "SealTest.AMergeMayBeginBeforeItAndEndInIt"),
    "writer's lock": ("store", "StoreTest.OneWriterAtATime"),
    "reader's pin": ("store", "ReaderTest.WhatAReaderHoldsIsNotSwept"),
    "look at the pins": ("store", "ReaderTest.WhatAReaderHoldsIsNotSwept"),
    "document checksum": ("segment", "Root.EveryFlipAndCutIsNoticed"),
    "document digest": ("segment", "Document.AReferenceMeansOneDocumentOnly"),
    "segment header checksum": ("segment", "SegmentFile.OpeningRefusesADamagedHeaderAndAnotherFooter"),
    "segment digest": ("segment", "SegmentFile.OpeningRefusesADamagedHeaderAndAnotherFooter"),
    "segment footer checksum": ("segment", "SegmentFile.ADamagedFooterIsToldFromAnother"),
    "checksum of the checksums": ("segment", "SegmentFile.NoBlockIsBelievedWhileAChecksumIsDamaged"),
    "block checksum": ("segment", "SegmentFile.AFlipIsNoticedByTheBlockThatHoldsItAndNoOther"),
    "content root": ("segment", "SegmentFile.VerifyNoticesAnotherContentThoughChecksumsAgree"),
    "log header checksum": ("segment", "LogFormat.EveryFlipOfTheHeaderIsNoticed"),
    "frame header checksum": ("segment", "LogFormat.NoFlippedOrCutFrameIsWhole"),
    "frame checksum": ("segment", "LogFormat.NoFlippedOrCutFrameIsWhole"),
    "note checksum": ("segment", "LogFormat.LockNotesRoundTripAndATornOneIsNone"),
    "witness": ("store", "LogDamageTest.AnotherLogOfTheSameLengthIsNotThisOne"),
    "proof of the note": ("store", "LogDamageTest.OnlyTheLastFrameOfAKilledWriterIsInDoubt"),
}


def without_a_test() -> set[str]:
    named = (re.findall(r'is_off\("([^"]+)"\)', path.read_text()) for path in (ROOT / "cpp").rglob("*.cpp"))
    return {name for names in named for name in names} - NOTICED_BY.keys()


def passes(build: Path, room: str, tests: str, mutant: str) -> bool:
    environment = {**os.environ, "LAMINA_MUTANT": mutant, "GTEST_FAIL_FAST": "1", "GTEST_BRIEF": "1"}
    command = [str(build / "tests" / "cpp" / f"{room}_test"), f"--gtest_filter={tests}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=600)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build/dev"), help="with the C++ tests, LAMINA_TESTING=ON")
    parser.add_argument("--only", action="append", help="mutants by name")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    arguments = parser.parse_args()
    if unknown := without_a_test():
        print(f"no test is said to notice: {sorted(unknown)}", file=sys.stderr)
        return 1
    build = arguments.build.resolve()
    mutants = arguments.only or list(NOTICED_BY)
    for room in ("segment", "store"):
        tests = ":".join(sorted({NOTICED_BY[mutant][1] for mutant in mutants if NOTICED_BY[mutant][0] == room}))
        if tests and not passes(build, room, tests, ""):
            print(f"fails without a mutant: {tests}", file=sys.stderr)
            return 1
    with ThreadPoolExecutor(arguments.workers) as pool:
        survived = list(pool.map(lambda mutant: passes(build, *NOTICED_BY[mutant], mutant), mutants))
    names = [mutant for mutant, passed in zip(mutants, survived, strict=True) if passed]
    print(json.dumps({"mutants": len(mutants), "survived": names}))
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
