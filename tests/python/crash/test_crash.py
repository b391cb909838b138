"""Crashes, damage and many readers, in a size for CI; the scripts beside this one run the same in full.

Goal: nothing acknowledged is lost, none of it is seen in part, no damage goes unseen, and no process crashes. Method:
the scripts as programs, with small numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL is of POSIX")]


def run(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_killed_writer_loses_nothing() -> None:
    report = run("kill_loop.py", "--kills", "8", "--docs", "2000")
    assert sum(report["kills"].values()) == 8
    assert len(report["versions seen by readers"]) == 4
    assert min(report["versions seen by readers"]) >= 10


def test_a_killed_refresh_goes_on_where_it_was() -> None:
    report = run("refresh_kills.py", "--kills", "8", "--docs", "1000")
    assert report["kills"] == 8
    assert report["embedded"] > 1000


def test_readers_beside_a_busy_writer_see_whole_batches() -> None:
    report = run("isolation.py", "--steps", "640")
    assert report["opens and reloads"] == 640
    assert report["cleanups"] > 0
    assert report["writes"] > 20
    assert min(report["versions seen by readers"]) > 5


def test_a_killed_migration_goes_on_where_it_was() -> None:
    report = run("migrate_kills.py", "--kills", "8", "--docs", "500")
    assert report["kills"] == sum(report["states"].values()) == 8
    assert report["records"] > 300


def test_no_damage_goes_unseen() -> None:
    report = run("flip_sweep.py", "--sample", "40")
    assert report["failures"] == []
    kinds = {outcome.split()[1] for outcome in report["outcomes"]}
    assert kinds == {".root", ".log", ".man", ".vec", ".rec", ".del", "LOCK", "RESERVE"}
    harmless = {outcome.split()[1] for outcome in report["outcomes"] if "harmless" in outcome}
    assert harmless <= {"LOCK", "RESERVE"}  # the note of whoever holds the lock, which nobody does
