"""What every test may lean on: the repository's root, a seed for each test, real data, and a repeatable Hypothesis."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("default", deadline=None, max_examples=50, derandomize=True)
hypothesis.settings.register_profile("long", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that differ from test to test and never from run to run."""
    digest = hashlib.sha256(request.node.nodeid.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real vectors that LAMINA_BENCH_DATA names (see bench/README.md)."""
    folder = os.environ.get("LAMINA_BENCH_DATA", "")
    if not folder:
        pytest.skip("needs real vectors: LAMINA_BENCH_DATA names no folder")
    return Path(folder)
