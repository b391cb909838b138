"""A migration killed with SIGKILL at random moments, in all its states, beside a writer and a reader.

    python tests/python/crash/migrate_kills.py --kills 200 --docs 3000

A child takes a migration from where it is to its end and begins the next one, back and forth between two models; one of
its threads adds, changes and deletes records, another searches. A vector says which model made it and of what text, so
each life first looks at every record: no vector is of another model or of another text than it should be, and
no search ever found what the queried space does not hold. After the last kill the store is as one that was filled with
the same texts in the model that is served.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from command import run_as_command

import lamina
import lamina.backfill  # once, and not in each child
import lamina.migrate
from lamina import Collection, MigrationStateError, Model

DIM = 16


class Embedder:
    """Vectors of unit length, random by model and text."""

    def __init__(self, space: int) -> None:
        self.space = space

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        time.sleep(0.001)
        return np.stack([self.of(text) for text in texts])

    def of(self, text: str) -> np.ndarray:
        row = np.random.default_rng([self.space, *text.encode()]).standard_normal(DIM)
        return (row / np.linalg.norm(row)).astype(np.float32)


EMBEDDERS = {name: Embedder(space) for space, name in enumerate(("one", "two"))}
MODELS = {name: Model(name, dim=DIM, embed=embedder) for name, embedder in EMBEDDERS.items()}


def opened(store: lamina.Store) -> Collection:
    there = "docs" in store.list_collections()
    if not there:
        store.create_collection("docs", model=MODELS["one"])
    docs = store.get_collection("docs", embed=EMBEDDERS[store.get_collection("docs").model.name])
    for model in MODELS.values():
        store._shared.remember("docs", model)
    return docs


def check(docs: Collection) -> None:
    """Every vector of both generations is of its model, and of the text of its record or counted as stale."""
    snapshot = docs.snapshot()
    for core in (snapshot._core, snapshot._core.other()):
        if core is None:
            continue
        embedder = EMBEDDERS[Model.from_canonical(core.model).name]
        refs = core.scan(None, len(core))
        missing = set(np.concatenate(core.missing()).tolist())
        vectors, has = core.vectors_at(refs)
        texts = docs.snapshot(version=snapshot.version).get(core.ids_at(refs), include=("content",)).content
        for ref, vector, there, text in zip(refs.tolist(), vectors, has.tolist(), texts, strict=True):
            assert there or ref in missing
            if ref not in missing:
                np.testing.assert_array_equal(vector, embedder.of(text))


def write(docs: Collection, over: threading.Event, seed: int) -> None:
    chance = random.Random(seed)
    while not over.is_set():
        id = chance.randrange(500)
        if chance.random() < 0.2:
            docs.delete([id])
        else:
            docs.upsert([id], content=[f"text {chance.randrange(1 << 30)}"])
        time.sleep(0.002)


def search(docs: Collection, over: threading.Event, wrong: list[str]) -> None:
    while not over.is_set():
        snapshot = docs.snapshot()
        embedder = EMBEDDERS[snapshot.model.name]
        hits: Any = snapshot.search(snapshot.model.tag(embedder.of("text")), k=3, exact=True)
        for id, distance in zip(hits.ids.tolist(), hits.distances.tolist(), strict=True):
            vector = snapshot.get([id])[0].vector
            if vector is None or abs(1 - float(vector @ embedder.of("text")) - distance) > 1e-4:
                wrong.append(f"{id} at {distance} in {snapshot.model.name}")


def migrate(docs: Collection, chance: random.Random | None) -> None:
    """One migration to the model that is not served, from wherever it is; by chance it turns back."""
    try:
        m = docs.migrate()
    except MigrationStateError:
        m = docs.migrate(to=MODELS["two" if docs.model.name == "one" else "one"])
    while m.status().state not in ("cut_over", "finalized"):
        m.run(batch_size=64)
        if chance is not None and chance.random() < 0.2:
            m.abort()
            return
        try:
            m.cutover()
        except MigrationStateError:
            continue
    if chance is not None and chance.random() < 0.3:
        m.rollback(allow_missing=chance.random() < 0.5)
        return
    m.finalize()


def live(folder: Path, seed: int, wrong: Path) -> None:
    """Migrates until it is killed."""
    chance = random.Random(seed)
    with lamina.open(folder / "store", log_limit=1 << 18) as store:
        docs = opened(store)
        check(docs)
        (folder / "alive").write_text(str(seed))
        over, found = threading.Event(), []
        threads = [
            threading.Thread(target=write, args=(docs, over, seed), daemon=True),
            threading.Thread(target=search, args=(docs, over, found), daemon=True),
        ]
        for thread in threads:
            thread.start()
        while True:
            migrate(docs, chance)
            if found:
                wrong.write_text("\n".join(found))
                return


def run(folder: Path, kills: int, rows: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    with lamina.open(folder / "store", create=True, log_limit=1 << 18) as store:
        opened(store).upsert(range(rows), content=[f"text {id}" for id in range(rows)])
    wrong, states = folder / "wrong", {}
    for life in range(kills):
        (folder / "alive").unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            try:
                live(folder, seed * 100_003 + life, wrong)
            except BaseException as error:
                wrong.write_text(repr(error))
                raise
            finally:
                os._exit(1)
        while not (folder / "alive").exists():
            assert os.waitpid(child, os.WNOHANG)[0] == 0, wrong.read_text() if wrong.exists() else "it died"
            time.sleep(0.001)
        time.sleep(chance.random() * 2)
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert status == signal.SIGKILL, wrong.read_text() if wrong.exists() else status
        assert not wrong.exists(), wrong.read_text()
        with lamina.open(folder / "store", read_only=True) as reader:
            stage = reader.get_collection("docs")._take().migration[0]
            states[stage] = states.get(stage, 0) + 1
    with lamina.open(folder / "store") as store:
        docs = opened(store)
        store.verify()
        check(docs)
        while docs._take().migration[0] != "none" or docs.model.name != "two":
            migrate(docs, None)
        docs.refresh([(r.id, r.content) for batch in docs.scan() for r in batch], scope="", progress=False)
        embedder, records = EMBEDDERS["two"], [r for batch in docs.scan() for r in batch]
        assert all(np.array_equal(r.vector, embedder.of(r.content)) for r in records)
        store.verify()
    return {"kills": kills, "stages": states, "records": len(records)}


if __name__ == "__main__":
    run_as_command(__doc__, run, kills=200, docs=3000)
