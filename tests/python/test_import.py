"""`import lamina` is light.

Goal: a program that only may need a search pays next to nothing for it. Method: fresh processes in turns, and the
least time of each, which is what is left when the machine's other work is not in the way.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"pyarrow", "pandas", "polars", "zstandard", "tqdm", "sentence_transformers", "asyncio", "importlib.metadata"}


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_brings_in_nothing_heavy() -> None:
    new = run("import sys, numpy; before = set(sys.modules); import lamina; print(*set(sys.modules) - before)").split()
    heavy = HEAVY & set(new)
    assert not heavy, f"import lamina brings in {sorted(heavy)}: import them on first use"


@pytest.mark.slow
def test_takes_half_again_as_long_as_numpy_at_most() -> None:
    timed = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
    took: dict[str, list[float]] = {"numpy": [], "lamina": []}
    for _ in range(9):
        for module, times in took.items():
            times.append(float(run(timed.format(module))))
    assert min(took["lamina"]) <= 1.5 * min(took["numpy"]), {name: min(times) for name, times in took.items()}
