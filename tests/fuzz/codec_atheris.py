"""The fuzzer of blocks of columns, guided by the coverage of lamina's Python. (Arrow itself is not instrumented.)

pip install atheris; python tests/fuzz/codec_atheris.py -runs=20000 -max_len=65536    libFuzzer's options and folders
"""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["lamina"]):
    from codec_mutator import Mutator
    from codec_target import Target


def main() -> None:
    mutator, target = Mutator(), Target()

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        known = mutator.again(data, rng) if rng.random() < 0.8 else None
        return (mutator.block(rng) if known is None else known)[:size]

    def run(data: bytes) -> None:
        target.accepts(data)

    atheris.Setup(sys.argv, run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
