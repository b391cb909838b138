"""`import lamina` is cheap, and offers what it promises.

Goal: importing costs little more than NumPy does. Method: both in fresh processes, in turns; the least of each.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import lamina


def least_seconds(*statements: str, rounds: int = 7) -> list[float]:
    script = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    times: list[list[float]] = [[] for _ in statements]
    for _ in range(rounds):
        for taken, statement in zip(times, statements, strict=True):
            done = subprocess.run(
                [sys.executable, "-c", script.format(statement)], capture_output=True, text=True, check=True
            )
            taken.append(float(done.stdout))
    return [min(taken) for taken in times]


@pytest.mark.slow
def test_import_costs_little_more_than_numpy() -> None:
    numpy, ours = least_seconds("import numpy", "import lamina")
    assert ours <= 1.5 * numpy, f"import lamina takes {ours * 1e3:.0f} ms, and import numpy {numpy * 1e3:.0f} ms"


def test_opening_an_index_loads_no_openssl(tmp_path: Path) -> None:
    """hashlib takes ten times as long to load as the index to open."""
    index = lamina.Index(3)
    index.add([[1, 2, 3]])
    index.save(tmp_path / "index")
    script = "import sys, lamina; lamina.Index.open(sys.argv[1]).search([1, 2, 3]); print('_hashlib' in sys.modules)"
    command = [sys.executable, "-c", script, str(tmp_path / "index")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_every_name_is_there() -> None:
    for name in lamina.__all__:
        assert getattr(lamina, name) is not None
    assert set(dir(lamina)) == set(lamina.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = lamina.nonsense


def test_one_version() -> None:
    assert lamina.__version__ == lamina.build_info()["version"]
    try:
        installed = importlib.metadata.version("lamina")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("lamina is not installed: run from a source tree")
    assert lamina.__version__ == installed


def test_build_info() -> None:
    info = lamina.build_info()
    assert info["isa"] in info["isas"]
    assert info["isas"][0] == "baseline"
    assert info["compiler"]
    assert isinstance(info["testing"], bool)
