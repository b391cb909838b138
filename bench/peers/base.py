"""What an adapter of a library does, and how the graphs are built."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from bench.data import Floats

M = 16  # links of a row; twice as many at level 0
EF_CONSTRUCTION = 200

Answer = NDArray[Any]


class Peer(ABC):
    """An index of one library, over rows whose ids are their positions."""

    name: ClassVar[str]
    module: ClassVar[str]  # what has to be importable
    package: ClassVar[str]  # what pip calls it
    flags: ClassVar[str]  # how the compiled code came about
    metrics: ClassVar[frozenset[str]] = frozenset({"cosine", "ip", "l2"})
    batches: ClassVar[bool] = True

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.breadth = 0

    @abstractmethod
    def build(self, vectors: Floats, threads: int) -> None:
        """From the first row handed over to the state that is then searched."""

    @abstractmethod
    def save(self, path: Path) -> None: ...

    @abstractmethod
    def load(self, path: Path, dim: int, rows: int) -> None:
        """Opens what `save` left, the quickest way that the library has."""

    @abstractmethod
    def set_breadth(self, breadth: int) -> None: ...

    @abstractmethod
    def one(self, k: int) -> Callable[[Floats], Any]:
        """A call for one query at a time, on the calling thread; its argument comes from `prepare`."""

    @abstractmethod
    def batch(self, k: int, threads: int) -> Callable[[Floats], Answer]:
        """A call for all queries at once; returns the ids, (n, k)."""

    def prepare(self, query: Floats) -> Floats:
        """One query in the shape that `one` wants; not timed."""
        return query

    @classmethod
    def supports(cls, metric: str) -> bool:
        return metric in cls.metrics and importlib.util.find_spec(cls.module.split(".")[0]) is not None

    @classmethod
    def version(cls) -> str:
        try:
            return importlib.metadata.version(cls.package)
        except importlib.metadata.PackageNotFoundError:
            return "?"
