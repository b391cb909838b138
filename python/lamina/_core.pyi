"""The C++ core of lamina. Private: `lamina` is the face of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

__version__: str

Ids = NDArray[np.int64] | Sequence[str]
Found = tuple[Any, ...]

def build_info() -> dict[str, Any]:
    """compiler, build_type, isa (the one in use), isas (those this CPU can run), testing, version."""

def take(arrays: Sequence[Any], which: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Any, Any]:
    """Row rows[i] of arrays[which[i]], for each i: capsules of schema and array, as `__arrow_c_array__` returns them.

    Arrays and batches of one type, which Arrow would join first; each value is read once, and nothing beside them.
    TypeError for several types, IndexError for a row that is not there, ValueError for a type that cannot be taken."""

class Codec(Protocol):
    """What Store.open is given. Called with the GIL; the views are valid during the call only."""

    def check(self, block: memoryview, rows: int) -> None:
        """Whole validation of a sealed block of `rows` rows; raises ValueError with what is wrong."""

    def concat_take(self, slices: list[tuple[memoryview, NDArray[np.uint32]]]) -> bytes:
        """One block of these rows of these blocks, in that order; columns that a slice lacks are null in its rows."""

class Index:
    """A VectorSet whose rids are its ids. Thread-safe; the GIL is released around all work.

    Vectors and queries are C-contiguous: float32 (n, dim), or uint8 (n, dim / 8) for "hamming".
    """

    def __init__(
        self, dim: int, metric: str, dtype: str, codes: str, layout: str, m: int, ef_construction: int, seed: int,
        threads: int,
    ) -> None:
        """dtype "float32" or "float16" (ignored for hamming); codes "i8" or "none"; layout "auto", "nodes" or
        "neighbours"; threads 0: all of the machine."""
    dim: int
    metric: str  # canonical
    dtype: str
    codes: str
    layout: str
    m: int
    ef_construction: int
    seed: int
    threads: int

    def add(self, vectors: NDArray[Any], ids: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """Returns the ids. DuplicateIdError, DimensionMismatchError, InvalidVectorError; nothing was added then."""
    def search(
        self,
        query: object,
        k: int,
        ef: int | None,
        recall: float | None,
        exact: bool,
        threads: int | None,
        radius: float | None = None,
        explain: bool = False,
        filter: IdFilter | None = None,
    ) -> Found | None:
        """(ids, distances, None, steps) of a 1-D query; (ids (q, k), distances (q, k), counts (q,), None) of a 2-D one.

        steps: a dict of each if explain, else None. None where the query is no C-contiguous array of the right dtype: convert it, and ask again."""
    def delete(self, ids: NDArray[np.int64]) -> int: ...
    def get(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        """float32 (n, dim), or uint8 (n, dim / 8); NotFoundError names the first id that is not there."""
    def contains(self, id: int) -> bool: ...
    def ids(self) -> NDArray[np.int64]: ...
    def optimize(self) -> None: ...
    def save(self, path: str) -> None: ...
    @staticmethod
    def open(path: str, verify: bool, threads: int) -> Index: ...
    def warm(self) -> None: ...
    def copy_to_huge_pages(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def __len__(self) -> int: ...

class IdFilter:
    """Ids that a search may return. Keeps what they are in the state of an index that it was last used with."""

    def __init__(self, ids: NDArray[np.int64]) -> None: ...
    def __len__(self) -> int: ...

class WriteOp:
    """One operation of Store.write. Holds its buffers; they must not change before write() returns."""

    def __init__(
        self,
        collection: str,
        verb: str,  # "add" | "upsert" | "update" | "backfill" | "delete" | "clear"
        ids: Ids = ...,  # int64 (n,) array, or a sequence of str: the kind of the collection
        *,
        columns: bytes = b"",  # puts: one sealed block of n rows
        content_hash: NDArray[np.uint8] | None = None,  # (n, 16); None: zero, of an update as it is; back-fill: basis_at
        fates: NDArray[np.uint8] | None = None,  # (n,) of FATE_*; None: all given if vectors, else all none
        vectors: NDArray[Any] | None = None,  # float32 (g, dim) or uint8 (g, dim / 8): of the rows whose fate is given
        fingerprint: bytes = ...,  # 32 bytes: of the model that made the vectors
        scope: str = "",
        if_version: int | None = None,
        settings: tuple[str, str] | None = None,  # puts: (from, to); ConflictError if they are no longer `from`
        # puts, in place of now and the content: created_us, updated_us (n,) int64; made_from (g, 16), zero: no content;
        # embedded_us (g,) int64
        origin: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]] | None = None,
        found: tuple[Snapshot, NDArray[np.uint64]] | None = None,  # puts: refs of the ids, spares looking if it is newest
    ) -> None: ...

FATE_GIVEN: int  # 0: the vector stands in `vectors`
FATE_KEPT: int  # 1: the record's vector stays
FATE_NONE: int  # 2: the record has no vector (any more)

class Store:
    """A store: see cpp/store/store.h for what each call promises. The GIL is released around all work."""

    @staticmethod
    def open(
        path: str, *, create: bool, read_only: bool, salvage: bool, durability: str, log_limit: int,
        keep_versions_us: int, memory: int | None, codec: Codec
    ) -> Store:
        """durability "fsync" | "interval" | "os"; log_limit and memory in bytes."""
    def create_collection(
        self,
        name: str,
        *,
        dim: int,
        metric: str,
        dtype: str,
        codes: str,
        m: int,
        ef_construction: int,
        seed: int,
        fingerprint: bytes,
        model: str,
        settings: str,
    ) -> Collection: ...
    def collection(self, name: str) -> Collection: ...
    def collections(self) -> list[str]: ...
    def drop_collection(self, name: str) -> None: ...
    def rename_collection(self, from_name: str, to_name: str, replace: bool) -> None: ...
    # Which version: at most one of version, tag and time_us (the newest at or before it); none: the newest.
    def snapshot(self, name: str, version: int | None, tag: str | None, time_us: int | None) -> Snapshot: ...
    def versions(self, name: str) -> list[tuple[int, int, list[str]]]:
        """(version, time_us, tags) of each that is kept, ascending."""
    def tag(self, name: str, tag: str, version: int | None, time_us: int | None) -> int:
        """Returns the version."""
    def untag(self, name: str, tag: str) -> None: ...
    def branch(
        self,
        name: str,
        branch: str,
        version: int | None,
        tag: str | None,
        time_us: int | None,
        only: Snapshot | None = None,
    ) -> Collection:
        """`only`: with the records alone that this narrowed snapshot has. ConflictError if it is of another version."""
    def rollback(
        self, name: str, version: int | None, tag: str | None, time_us: int | None, fingerprint: bytes
    ) -> int:
        """Returns the new version. `fingerprint`: of that version's model, where it is another than the served one."""
    def begin_migration(
        self,
        name: str,
        *,
        dim: int,
        metric: str,
        dtype: str,
        codes: str,
        m: int,
        ef_construction: int,
        seed: int,
        fingerprint: bytes,
        model: str,
        note: str,
    ) -> int:
        """A second generation, without vectors. Each step of a migration returns the version that it made."""
    def exchange(self, name: str, incoming: bytes, allow_missing: bool, exempt: Ids, note: str) -> int:
        """Serves the second generation, whose model is `incoming`, from now on."""
    def end_migration(self, name: str, stage: str) -> int:
        """Drops the second generation, at this stage."""
    def note_migration(self, name: str, note: str) -> int: ...
    def purge(self, name: str, ids: Ids) -> tuple[int, int]:
        """(deleted, version)."""
    def cleanup(self, older_than_us: int) -> tuple[int, int, int]:
        """(files, bytes, pinned)."""
    def write(self, operations: Sequence[WriteOp]) -> list[tuple[int, int, int, int]]:
        """All or nothing, as one version: (added, updated, deleted, version) of each operation."""
    def sync(self) -> None: ...
    def reload(self) -> bool: ...
    def seal(self) -> None: ...
    def optimize(self, name: str, threads: int, other_only: bool = False) -> None: ...
    def copy_to_huge_pages(self, name: str, threads: int) -> None: ...
    def maintain(self, threads: int) -> bool: ...
    def verify(self, max_seconds: float | None, resume: bool) -> dict[str, Any]:
        """The fields of VerifyReport."""
    def repair(self, threads: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """What was made anew, and what is lost: lists of (collection, what was found)."""
    def stats(self) -> dict[str, Any]:
        """The fields of StoreStats; "collections" is a dict by name of dicts."""
    def recovery(self) -> dict[str, Any]:
        """clean, frames_replayed, bytes_cut, files_swept, note; missing: list of (collection, file, what, rows, why)."""
    version: int
    def close(self) -> None: ...

class Collection:
    name: str
    dropped: bool
    def snapshot(self) -> Snapshot: ...

class Snapshot:
    """One collection at one version: immutable; safe from any thread; keeps its files alive.

    A *ref* (uint64) names a record of this snapshot, and of no other; NO_REF stands for one that is not there.
    """

    version: int
    id_kind: str | None  # "int" | "str"; None: no record was ever put
    dim: int
    metric: str
    dtype: str
    codes: str
    layout: str
    m: int
    ef_construction: int
    seed: int
    fingerprint: bytes
    model: str
    settings: str
    migration: tuple[str, int, str]  # stage ("none", "backfill", "cut_over"), cut-overs so far, note
    vectors: int  # live ones of this generation

    def __len__(self) -> int:
        """Live records."""
    def other(self) -> Snapshot | None:
        """The same records with the second generation; None: there is none."""
    def search(
        self,
        query: object,
        k: int,
        ef: int | None,
        recall: float | None,
        exact: bool,
        threads: int | None,
        fingerprint: bytes | None = None,
        radius: float | None = None,
        explain: bool = False,
    ) -> Found | None:
        """As Index.search. Ids of kind "str" come as an object array; empty slots of a batch are -1 or None.

        ModelMismatchError for another fingerprint than the vectors have; without one, if the collection was cut over.
        """
    def find(self, ids: Ids) -> NDArray[np.uint64]:
        """The ref of each id, or NO_REF."""
    def contains(self, id: int | str) -> bool: ...
    def scan(self, after: int | None, limit: int) -> NDArray[np.uint64]:
        """Up to `limit` refs of live records that follow the ref `after`; None: from the start. Fewer: the end."""
    def ids_at(self, refs: NDArray[np.uint64]) -> NDArray[Any]:
        """int64, or objects (str)."""
    def fields_at(self, refs: NDArray[np.uint64]) -> dict[str, Any]:
        """Arrays rid, version (uint64), created_us, updated_us (int64), content_hash (n, 16) uint8; list scope."""
    def provenance_at(self, refs: NDArray[np.uint64]) -> dict[str, Any]:
        """Of each record's vector: has_vector (bool), made_from (n, 16) uint8, embedded_us (int64); zero: none."""
    def basis_at(self, refs: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """(n, 16): what a vector of each record is to be made from: the hash of its content, or a stamp."""
    def missing(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Refs of the live records that are owed a vector, and of those whose vector was made from another basis."""
    def vectors_at(self, refs: NDArray[np.uint64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """(n, dim) float32 (or packed uint8), zero where the record has none, and which ones have one."""
    def blocks_at(self, refs: NDArray[np.uint64]) -> tuple[list[Block], NDArray[np.int64], NDArray[np.int64]]:
        """The blocks that are needed, each once; of each ref, which of them, and its row in it.

        Not checked by the codec."""
    def warm(self) -> None:
        """Verifies and faults in what a search touches."""
    def parts(self) -> list[tuple[int, int, bool]]:
        """(key, rows, True) of each record segment in order; (key, rows, False) of the head, if there is one.

        A key names a part as long as this process lives; that of a head, while its rows grow."""
    def blocks(self, part: int, first_row: int = 0) -> list[Block]:
        """All blocks of a part in order; of the head, those from a row on that begins one. Not checked by the codec."""
    def narrowed(self, key: bytes) -> Snapshot | None:
        """What narrow() made for this key, if it is still kept."""
    def narrow(self, key: bytes, failing: Sequence[FailingRows]) -> Snapshot:
        """The snapshot without the rows that fail, one set for each of parts()."""

NO_REF: int

class Block:
    """The sealed bytes of some records' columns, where they are kept."""

    key: int  # names the block as long as this process lives
    rows: int
    def read(self, offset: int = 0, size: int = ...) -> bytes:
        """A copy of them, or of a piece of them. CorruptionError if they cannot be read any more."""
    def refuse(self, found: str) -> NoReturn:
        """They cannot be decoded: CorruptionError, with the place; ValueError for a block of the head."""

class FailingRows:
    """The rows of one part that fail a filter."""

    def __init__(self, rows: int, passing: Any) -> None:
        """`passing`: a buffer of a bit a row, the lowest of each byte first: set where it passes."""
    def followed_by(self, more: FailingRows) -> FailingRows: ...
    def __len__(self) -> int: ...

# In builds with LAMINA_TESTING only (build_info()["testing"]), and for stores opened after the first call of one. The
# nth (from 0) operation of `kind` ("" for any; cpp/io/fault.h has the names) whose path contains `path`, from now on.
def testing_fail_nth(kind: str, path: str, nth: int, errno: int, sticky: bool) -> None: ...
def testing_kill_at(kind: str, path: str, nth: int, when: str) -> None:
    """SIGKILLs this process "before" or "after" the nth call of `kind` on a path with `path` in it."""
def testing_trace() -> list[str]: ...
def testing_reset() -> None: ...

# On Linux: cpp/io/wait_trace.h and cpp/bindings/gil_trace.h, of the calling thread.
def testing_waits() -> tuple[int, int, int]:
    """Since the thread began: locks that it took, those of them that another thread held, files that it synced."""
def testing_gil_hold() -> float:
    """Since it last asked: the longest hold of the GIL by a thread that used it for calls of this module, in seconds of CPU time."""
