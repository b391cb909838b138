"""lamina: an embedded vector store that manages the embeddings.

`lamina.Index` is one index in memory; `lamina.open` opens a store of collections on disk. Everything but the index is
imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._core import __version__
from lamina.errors import (
    ClosedError,
    ConflictError,
    CorruptionError,
    DimensionMismatchError,
    DuplicateIdError,
    FilterError,
    FormatVersionError,
    InvalidVectorError,
    LaminaError,
    LockedError,
    MigrationStateError,
    ModelMismatchError,
    NotFoundError,
    ReadOnlyError,
    RefreshError,
    StorageError,
)
from lamina.hits import BatchHits, Hit, Hits
from lamina.id_filter import IdFilter
from lamina.index import Index
from lamina.neighbours import KnnGraph, Pairs

if TYPE_CHECKING:
    from lamina.collection import Collection, WriteResult
    from lamina.duplicates import Deduplication
    from lamina.embedders import embedder
    from lamina.filters import Filter
    from lamina.foreign import from_faiss, from_hnswlib
    from lamina.gate import Evaluation, Gate
    from lamina.migrate import Migration
    from lamina.migration import MigrationPlan, MigrationStatus
    from lamina.models import Model
    from lamina.records import Record, Records
    from lamina.report import Budget, RefreshReport
    from lamina.retry import Retry
    from lamina.snapshot import Snapshot
    from lamina.store import Store, open
    from lamina.versions import CleanupReport, PurgeReport, Version

__all__ = [
    "BatchHits",
    "Budget",
    "CleanupReport",
    "ClosedError",
    "Collection",
    "ConflictError",
    "CorruptionError",
    "Deduplication",
    "DimensionMismatchError",
    "DuplicateIdError",
    "Evaluation",
    "Filter",
    "FilterError",
    "FormatVersionError",
    "Gate",
    "Hit",
    "Hits",
    "IdFilter",
    "Index",
    "InvalidVectorError",
    "KnnGraph",
    "LaminaError",
    "LockedError",
    "Migration",
    "MigrationPlan",
    "MigrationStateError",
    "MigrationStatus",
    "Model",
    "ModelMismatchError",
    "NotFoundError",
    "Pairs",
    "PurgeReport",
    "ReadOnlyError",
    "Record",
    "Records",
    "RefreshError",
    "RefreshReport",
    "Retry",
    "Snapshot",
    "StorageError",
    "Store",
    "Version",
    "WriteResult",
    "__version__",
    "build_info",
    "embedder",
    "from_faiss",
    "from_hnswlib",
    "open",
]

_ON_FIRST_USE = {
    "Budget": "lamina.report",
    "CleanupReport": "lamina.versions",
    "Collection": "lamina.collection",
    "Deduplication": "lamina.duplicates",
    "Evaluation": "lamina.gate",
    "Filter": "lamina.filters",
    "Gate": "lamina.gate",
    "Migration": "lamina.migrate",
    "MigrationPlan": "lamina.migration",
    "MigrationStatus": "lamina.migration",
    "Model": "lamina.models",
    "Record": "lamina.records",
    "Records": "lamina.records",
    "PurgeReport": "lamina.versions",
    "RefreshReport": "lamina.report",
    "Retry": "lamina.retry",
    "Snapshot": "lamina.snapshot",
    "Store": "lamina.store",
    "Version": "lamina.versions",
    "WriteResult": "lamina.collection",
    "embedder": "lamina.embedders",
    "from_faiss": "lamina.foreign",
    "from_hnswlib": "lamina.foreign",
    "open": "lamina.store",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def build_info() -> dict[str, Any]:
    """How this build was made, and the instruction set that it runs on this machine.

    Keys: `version`, `compiler`, `build_type`, `isa` (in use; `LAMINA_ISA` in the environment forces one), `isas` (those
    that this CPU can run), `testing` (whether the fault-injection hooks are compiled in).
    """
    return _core.build_info()
