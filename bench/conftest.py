"""The benchmarks' data: seeded, small enough that `pytest bench` is a test of half a minute."""

from __future__ import annotations

import pytest

from bench.data import DataSet, load


@pytest.fixture(scope="session")
def texts() -> DataSet:
    """Meant to defeat the cache: rows of 1.5 kB, as text embeddings have."""
    return load("synthetic:20000:384")


@pytest.fixture(scope="session")
def images() -> DataSet:
    """Meant to defeat the kernels' overhead: short rows by l2, as image descriptors have."""
    return load("synthetic:20000:128:l2")
