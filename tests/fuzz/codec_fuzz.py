"""Fuzzer of the blocks of columns that the core keeps as sealed bytes: `lamina.codec`, and Arrow behind it.

    python tests/fuzz/codec_fuzz.py --runs 20000 --seed 1      a run that can be repeated
    python tests/fuzz/codec_fuzz.py --seconds 3600 --seed 2    a long one
    python tests/fuzz/codec_fuzz.py --only 4711 --seed 2       one block of it again; FILE... for blocks that were kept

Goal: no bytes end the process, hang it, take its memory, or raise anything but ValueError from `check`. Method:
`codec_mutator` damages Arrow streams and mends the block around them; `codec_target` reads them in every way that
lamina does. A child process does the work: what kills it is found by the number of the block that it began last. Blocks
that break a promise are kept in --keep. Exit status 1 says that there were some.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from codec_mutator import Mutator
from codec_target import Target, seeded

LONGEST = 20  # seconds for one block
ADDRESS_SPACE = 4 << 30
MOST_DEATHS = 20


def main() -> int:
    options = arguments()
    if options.child is not None:
        return child(options)
    if options.files or options.only is not None:
        blocks = [Path(file).read_bytes() for file in options.files]
        blocks += [Mutator().block(seeded(options.seed, options.only))] if options.only is not None else []
        print(*(Target().accepts(block) for block in blocks))
        return 0
    return parent(options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--runs", type=int, default=1 << 62)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY")
    parser.add_argument("--child", type=int, metavar="FIRST", help=argparse.SUPPRESS)
    return parser.parse_args()


def parent(options: argparse.Namespace) -> int:
    """Children until all runs are done, each from the block after the one that killed the last."""
    first, deaths, totals = 0, 0, {"executions": 0, "accepted": 0, "findings": 0}
    ends = time.monotonic() + options.seconds
    while first < options.runs and (left := ends - time.monotonic()) > 0 and deaths < MOST_DEATHS:
        command = [sys.executable, "-X", "faulthandler", __file__, "--child", str(first)]
        command += ["--runs", str(options.runs), "--seconds", str(left), "--seed", str(options.seed)]
        begun = first
        environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_PERTURB_": "165"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line)
                if "begins" in said:
                    begun = said["begins"]
                elif "broke" in said:
                    report(options, said["broke"], said["why"])
                else:
                    totals = {name: count + said[name] for name, count in totals.items()}
        if process.returncode == 0:
            break
        deaths += 1
        totals["executions"] += begun - first + 1
        report(options, begun, f"the process ended with status {process.returncode}")
        first = begun + 1
    print(json.dumps({**totals, "deaths": deaths, "seed": options.seed}))
    return 1 if deaths or totals["findings"] or not totals["accepted"] else 0


def report(options: argparse.Namespace, number: int, why: str) -> None:
    block = Mutator().block(seeded(options.seed, number))
    print(f"block {number} of seed {options.seed}, {len(block)} bytes: {why}", file=sys.stderr)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        (options.keep / f"{options.seed}-{number}.block").write_bytes(block)


def child(options: argparse.Namespace) -> int:
    limit_memory()
    mutator, target = Mutator(), Target()
    executions, accepted, seen = 0, 0, set[str]()
    ends = time.monotonic() + options.seconds
    for number in range(options.child, options.runs):
        if executions % 64 == 0 and time.monotonic() > ends:
            break
        executions += 1
        tell(begins=number)
        signal.alarm(LONGEST)
        try:
            accepted += target.accepts(mutator.block(seeded(options.seed, number)))
        except Exception as error:
            why = "".join(traceback.format_exception(error))
            place = str(traceback.extract_tb(error.__traceback__)[-3:]) + str(error)[:20]
            if place not in seen:  # each kind once
                seen.add(place)
                tell(broke=number, why=why)
    tell(executions=executions, accepted=accepted, findings=len(seen))
    return 0


def tell(**what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def limit_memory() -> None:
    """So that a block which asks for a machine's memory is told no instead of getting it."""
    if sys.platform != "darwin":  # where it cannot be limited
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    sys.exit(main())
