"""The tables of `bench.migrate`, on a little of made-up data: a bridge that holds is said to, and bytes are counted."""

from __future__ import annotations

import numpy as np
from bench import migrate


def test_a_turned_space_is_found_again(rng: np.random.Generator) -> None:
    rows, queries = rng.standard_normal((600, 12)).astype(np.float32), rng.standard_normal((40, 12)).astype(np.float32)
    turn = np.linalg.qr(rng.standard_normal((12, 12)))[0].astype(np.float32)
    spaces = {"old": (rows @ turn, queries @ turn), "new": (rows, queries)}
    cells = [cell.strip() for cell in migrate.bridge_row("old", "new", spaces, 500).strip("|").split("|")]
    assert cells[0] == "old → new"
    assert float(cells[2]) > 0.9
    assert float(cells[4]) < 0.5


def test_what_is_written_is_counted(rng: np.random.Generator) -> None:
    old, new = (rng.standard_normal((300, 16)).astype(np.float32) for _ in range(2))
    line = migrate.written(old, new)
    assert line.startswith("300 rows: ")
    assert float(line.split()[-2]) > 1
