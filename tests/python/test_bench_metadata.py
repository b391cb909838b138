"""The table of what metadata cost: its bytes are as promised, whatever machine it runs on."""

from __future__ import annotations

from pathlib import Path

from bench.data import load
from bench.metadata import measure


def test_what_is_written(tmp_path: Path) -> None:
    found = {what: good for what, _, _, good in measure(load("synthetic:3000:16"), tmp_path, rounds=2)}
    assert found["log bytes of the update, the rows in Arrow = 1"]
    assert found["sealed beyond 64 KiB a file, the same = 1"]
