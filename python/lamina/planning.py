"""What a migration would take, before anything is spent on it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from lamina import _core
from lamina.backfill import Batch
from lamina.caller import Caller
from lamina.migration import MigrationPlan
from lamina.models import Model
from lamina.sourced import Cut, Embedded, ReadyMade

SAMPLE = 64  # texts that the embedder is timed with
TOGETHER = 4096  # records that are looked at together


def plan(
    core: _core.Snapshot,
    generation: _core.Snapshot | None,
    model: Model,
    given: Sequence[ReadyMade | Cut],
    embedded: Embedded | None,
) -> MigrationPlan:
    """Of what a generation lacks (None: it is not there yet), with these sources of vectors."""
    records = ready = without = 0
    texts: dict[bytes, str] = {}
    for batch in _missing(core, generation):
        wanted = list(range(len(batch.ids)))
        records += len(wanted)
        for source in given:
            found = source.of(batch, wanted)
            ready += len(found)
            wanted = [at for at in wanted if at not in found]
        if embedded is None:
            without += len(wanted)
            continue
        for at, text in embedded.texts(batch, wanted).items():
            if isinstance(text, str):
                texts.setdefault(batch.basis[at], text)
            else:
                without += 1
    disk = records * row_bytes(core, model)
    if embedded is None:
        return MigrationPlan(records, ready, 0, without, 0, None, disk, None)
    caller = embedded.caller
    tokens = sum(map(caller.tokens, texts.values()))
    sample = list(texts.values())[:SAMPLE]
    seconds = _timed(caller, sample) * len(texts) / len(sample) if sample else None
    return MigrationPlan(records, ready, len(texts), without, tokens, caller.cost(tokens), disk, seconds)


def row_bytes(core: _core.Snapshot, model: Model) -> int:
    """About what a row takes on the disk: vector, code, lists of the graph, numbers, hash and time."""
    vector = model.dim // 8 if model.metric == "hamming" else model.dim * (2 if core.dtype == "float16" else 4)
    code = 0 if model.metric == "hamming" else -(-model.dim // 64) * 64
    return vector + code + 2 * core.m * 4 + core.m // 4 + 8 + 8 + 24 + 4 + 4


def _missing(core: _core.Snapshot, generation: _core.Snapshot | None) -> Iterator[Batch]:
    refs = core.scan(None, len(core)) if generation is None else np.concatenate(generation.missing())
    for at in range(0, len(refs), TOGETHER):
        part = refs[at : at + TOGETHER]
        yield Batch(core, part, core.ids_at(part).tolist(), [row.tobytes() for row in core.basis_at(part)])


def _timed(caller: Caller, texts: list[str]) -> float:
    started = time.perf_counter()
    caller.embed(texts)
    return time.perf_counter() - started
