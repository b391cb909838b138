"""Indexes of hnswlib and faiss, taken over: their vectors and ids, of which lamina makes its own graph."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

import numpy as np

from lamina.collection import Collection
from lamina.errors import CorruptionError, StorageError
from lamina.index import Index
from lamina.models import METRICS
from lamina.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["from_faiss", "from_hnswlib"]

HEADER = struct.Struct("<6QiI3QdQ")  # of a file of hnswlib 0.4 to 0.8
BATCH = 8192  # rows of a write to a collection

Target = TypeVar("Target", Index, Collection)


class Rows(NamedTuple):
    """What an index holds: views of its own memory, or of the mapped file."""

    ids: NDArray[Any]  # int64 or uint64 (n,)
    vectors: NDArray[np.float32]  # (n, dim)
    metric: str | None  # None: it does not say
    owner: Any = None  # what the views need to live


@overload
def from_hnswlib(source: Any, into: None = None, *, metric: str | None = None) -> Index: ...
@overload
def from_hnswlib(source: Any, into: Target, *, metric: str | None = None) -> Target: ...
def from_hnswlib(source: Any, into: Any = None, *, metric: str | None = None) -> Any:
    """The vectors and ids of an index of hnswlib, without those that are marked deleted.

    Args:
        source: an `hnswlib.Index`, or the path of what its `save_index` wrote (hnswlib need not be installed).
        into: an `Index` or a collection that the rows are added to, a collection 8,192 at a time, each batch whole or
            not at all; None: a new `Index`.
        metric: None: that of the source. A file does not say it: give it, or `into`. hnswlib keeps vectors for
            "cosine" scaled to length 1, and so they come.

    Returns `into`, or the new index. Raises DuplicateIdError for an id that `into` has; ValueError for another metric
    than that of `into`; CorruptionError for a file that is damaged or none of hnswlib, StorageError.
    """
    return _taken(read_hnswlib(source), into, metric)


@overload
def from_faiss(source: Any, into: None = None, *, metric: str | None = None) -> Index: ...
@overload
def from_faiss(source: Any, into: Target, *, metric: str | None = None) -> Target: ...
def from_faiss(source: Any, into: Any = None, *, metric: str | None = None) -> Any:
    """The vectors and ids of an index of faiss: flat, HNSW over flat, and these within an IndexIDMap.

    Args:
        source: the index, or the path of what `faiss.write_index` wrote. faiss has to be installed.
        into: as for `from_hnswlib`.
        metric: None: that of the source, "ip" or "l2". Give "cosine" where its vectors were scaled to length 1 for it.

    Returns `into`, or the new index. Raises ValueError for an index of another kind (those of codes hold no vectors) or
    metric; otherwise as `from_hnswlib`.
    """
    return _taken(read_faiss(source), into, metric)


def read_hnswlib(source: Any) -> Rows:
    """The rows of an index, or of the file of one."""
    if hasattr(source, "get_ids_list") and hasattr(source, "__getstate__"):
        return _of_hnswlib(source.__getstate__()[0])
    return _of_hnswlib_file(_path(source, "an hnswlib.Index"))


def read_faiss(source: Any) -> Rows:
    """The rows of an index, or of the file of one."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError("indexes of faiss are read with faiss itself: pip install faiss-cpu") from error
    if not isinstance(source, faiss.Index):
        path = _path(source, "an index of faiss")
        try:
            source = faiss.read_index(path)
        except RuntimeError as error:
            raise CorruptionError(f"{path}: no index of faiss, or a damaged one: {error}", file=path) from error
    return _of_faiss(faiss, source)


def add(rows: Rows, docs: Collection, *, progress: bool = False) -> None:
    """Adds rows to a collection, in batches."""
    with Progress(progress, len(rows.ids), "import") as bar:
        for start in range(0, len(rows.ids), BATCH):
            part = slice(start, start + BATCH)
            docs.add(rows.ids[part], rows.vectors[part], model=docs.model)
            bar.update(min(start + BATCH, len(rows.ids)))


def _taken(rows: Rows, into: Any, metric: str | None) -> Any:
    if metric is not None and metric not in METRICS:
        raise ValueError(f"metric {metric!r} is not one of {', '.join(METRICS)}")
    metric = METRICS[metric] if metric is not None else rows.metric
    if into is None:
        if metric is None:
            raise ValueError('the file does not say its metric: give metric= ("cosine", "ip" or "l2")')
        into = Index(rows.vectors.shape[1], metric)
    if not isinstance(into, (Index, Collection)):
        raise TypeError(f"into= is a lamina.Index or a collection, not {into!r}")
    own = into.metric if isinstance(into, Index) else into.model.metric
    if metric not in (None, own):
        raise ValueError(f"the vectors are for {metric!r}, and those of into= for {own!r}: if they fit, metric={own!r}")
    if isinstance(into, Index):
        into.add(rows.vectors, rows.ids)
    else:
        add(rows, into)
    return into


def _of_hnswlib(state: dict[str, Any]) -> Rows:
    metric, dim = state["space"], state["dim"]
    if not state["index_inited"]:
        return Rows(np.empty(0, np.int64), np.empty((0, dim), np.float32), metric)
    width = state["size_data_per_element"]
    level0 = np.asarray(state["data_level0"]).view(np.uint8)[: state["cur_element_count"] * width].reshape(-1, width)
    return _live_rows(level0, state["offset_data"], state["label_offset"], metric)


def _of_hnswlib_file(path: str) -> Rows:
    """The head of the file, then of each row its links, whose third byte marks the deleted, its vector, its label."""
    if os.path.getsize(path) < HEADER.size:
        raise CorruptionError(f"{path}: shorter than the head of an hnswlib index", file=path)
    mapped = np.memmap(path, np.uint8, "r")
    offset, _, rows, width, label, data, _, _, _, links, *_ = HEADER.unpack_from(mapped.data)
    if offset != 0 or data != 4 * links + 4 or width != label + 8 or label <= data or (label - data) % 4:
        raise CorruptionError(f"{path}: no index of hnswlib over float32 vectors, or a damaged one", file=path)
    if rows * width > len(mapped) - HEADER.size:
        raise CorruptionError(
            f"{path}: {rows} rows of {width} bytes in {len(mapped)} bytes: file cut short?", file=path
        )
    level0 = mapped[HEADER.size : HEADER.size + rows * width].reshape(rows, width)
    return _live_rows(level0, data, label, None)


def _live_rows(level0: NDArray[np.uint8], data: int, label: int, metric: str | None) -> Rows:
    """Of the rows of level 0, those that are not marked deleted."""
    deleted = (level0[:, 2] & 1).astype(np.bool_)
    if deleted.any():
        level0 = level0[~deleted]
    ids = np.ascontiguousarray(level0[:, label : label + 8]).view(np.uint64).reshape(-1)
    return Rows(ids, level0[:, data:label].view(np.float32), metric)


def _of_faiss(faiss: Any, index: Any) -> Rows:
    owner, outer, ids = index, type(index).__name__, None
    index = faiss.downcast_index(index)
    while isinstance(index, faiss.IndexIDMap):
        own = faiss.vector_to_array(index.id_map)
        ids = own if ids is None else ids[own]
        index = faiss.downcast_index(index.index)
    flat = faiss.downcast_index(index.storage) if isinstance(index, faiss.IndexHNSW) else index
    if type(flat) not in (faiss.IndexFlat, faiss.IndexFlatIP, faiss.IndexFlatL2):
        raise ValueError(
            f"{outer} over {type(flat).__name__}: vectors are taken from flat indexes and from HNSW over flat ones; "
            "indexes of codes hold none: add the vectors themselves"
        )
    metrics = {faiss.METRIC_INNER_PRODUCT: "ip", faiss.METRIC_L2: "l2"}
    if flat.metric_type not in metrics:
        raise ValueError(f"{outer} has a metric (number {flat.metric_type} of faiss) that lamina has not")
    vectors = np.empty((0, flat.d), np.float32)
    if flat.ntotal:
        vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return Rows(np.arange(flat.ntotal) if ids is None else ids, vectors, metrics[flat.metric_type], owner)


def _path(source: Any, what: str) -> str:
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"the source is {what} or a path, not {source!r}")
    path = os.fspath(source)
    if not os.path.isfile(path):
        raise StorageError(f"{path}: no such file", errno=errno.ENOENT, path=path)
    return path
