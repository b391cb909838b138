"""A migration killed with SIGKILL at random moments, in all its states, beside a writer and a reader.

    python tests/python/crash/migrate_kills.py --kills 200 --docs 50000

A child takes a migration from where it is to its end and begins the next one, back and forth between two models; one of
its threads adds, changes and deletes records and notes what was acknowledged, another searches. A vector says which
model made it and of what text, so each life first looks at every record: the texts are those that were acknowledged, no
vector is of another model or of another text than it should be, and no search ever found what the queried space does
not hold. After the last kill the store is as one that was filled with the same texts in the model that is served.
"""

from __future__ import annotations

import collections
import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
        self.key = bytes([space])

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        time.sleep(0.001)
        return self.of(texts)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        noise = [hashlib.blake2b(text.encode(), digest_size=4 * DIM, key=self.key).digest() for text in texts]
        rows = np.frombuffer(b"".join(noise), np.int32).reshape(-1, DIM).astype(np.float64)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


EMBEDDERS = {name: Embedder(space) for space, name in enumerate(("one", "two"))}
MODELS = {name: Model(name, dim=DIM, embed=embedder) for name, embedder in EMBEDDERS.items()}


class Change(NamedTuple):
    """What a write does to one record; with an empty text it deletes it."""

    id: int
    text: str

    def make(self, texts: dict[int, str]) -> None:
        texts.pop(self.id, None)
        if self.text:
            texts[self.id] = self.text


def opened(store: lamina.Store) -> Collection:
    there = "docs" in store.list_collections()
    if not there:
        store.create_collection("docs", model=MODELS["one"])
    docs = store.get_collection("docs", embed=EMBEDDERS[store.get_collection("docs").model.name])
    for model in MODELS.values():
        store._shared.remember("docs", model)
    return docs


def texts_of(docs: Collection) -> dict[int, str]:
    records = docs.get(docs.ids(), include=("content",))
    return dict(zip(records.ids.tolist(), records.content, strict=True))


def check(docs: Collection, texts: dict[int, str]) -> None:
    """These are the records, and every vector of both generations is of its model and text, or counted as missing."""
    assert texts_of(docs) == texts
    core = docs._take()
    refs = core.scan(None, len(core))
    of_refs = [texts[id] for id in core.ids_at(refs).tolist()]
    for generation in (core, core.other()):
        if generation is not None:
            embedder = EMBEDDERS[Model.from_canonical(generation.model).name]
            vectors, there = generation.vectors_at(refs)
            missing = np.isin(refs, np.concatenate(generation.missing()))
            assert (there | missing).all()
            np.testing.assert_array_equal(vectors[~missing], embedder.of(of_refs)[~missing])


def write(docs: Collection, over: threading.Event, seed: int, rows: int, notes: Path) -> None:
    """Notes each change before it is made, and that it was acknowledged; a file outlives its process."""
    chance = random.Random(seed)
    with notes.open("w", buffering=1) as file:  # a line, a system call
        while not over.is_set():
            text = "" if chance.random() < 0.2 else f"text {chance.randrange(1 << 30)}"
            id = chance.randrange(rows)
            file.write(f"{id} {text}\n")
            if text:
                docs.upsert([id], content=[text])
            else:
                docs.delete([id])
            file.write("acknowledged\n")
            time.sleep(0.002)


def take_notes(notes: Path, texts: dict[int, str]) -> Change | None:
    """Makes the changes that were acknowledged; returns the one after them, if any, of which nobody knows."""
    change = None
    for line in notes.read_text().splitlines():
        if line != "acknowledged":
            id, _, text = line.partition(" ")
            change = Change(int(id), text)
        elif change is not None:
            change.make(texts)
            change = None
    return change


def search(docs: Collection, over: threading.Event, wrong: list[str]) -> None:
    while not over.is_set():
        snapshot = docs.snapshot()
        query = EMBEDDERS[snapshot.model.name].of(["text"])[0]
        hits: Any = snapshot.search(snapshot.model.tag(query), k=3, exact=True)
        for id, distance in zip(hits.ids.tolist(), hits.distances.tolist(), strict=True):
            vector = snapshot.get([id])[0].vector
            if vector is None or abs(1 - float(vector @ query) - distance) > 1e-4:
                wrong.append(f"{id} at {distance} in {snapshot.model.name}")


def mean_life(rows: int) -> float:
    """In seconds. Some lives get past the step that takes the longest, filling so many rows."""
    return 1 + rows / 25_000


def migrate(docs: Collection, chance: random.Random | None) -> None:
    """One migration to the model that is not served, from wherever it is; by chance it turns back.

    And by chance it stays where it is: else backfilling, which takes the longest, would meet nearly all the kills.
    """

    def stay() -> None:
        if chance is not None:
            time.sleep(max(chance.uniform(-1, 2), 0) * mean_life(len(docs)))

    try:
        m = docs.migrate()
    except MigrationStateError:
        stay()
        m = docs.migrate(to=MODELS["two" if docs.model.name == "one" else "one"])
    while m.status().state not in ("cut_over", "finalized"):
        m.run(batch_size=64, progress=False, optimize=chance is None or chance.random() < 0.3)
        stay()
        if chance is not None and chance.random() < 0.2:
            m.pause()
            stay()
        if chance is not None and chance.random() < 0.2:
            m.abort()
            return
        try:
            m.cutover()
        except MigrationStateError:
            continue
    stay()
    if chance is not None and chance.random() < 0.3:
        m.rollback(allow_missing=chance.random() < 0.5)
        stay()
        return
    m.finalize()


def live(folder: Path, seed: int, texts: dict[int, str], rows: int, wrong: Path) -> None:
    """Migrates until it is killed."""
    chance = random.Random(seed)
    with lamina.open(folder / "store", log_limit=1 << 18) as store:
        docs = opened(store)
        check(docs, texts)
        over, found = threading.Event(), []
        threads = [
            threading.Thread(target=write, args=(docs, over, seed, rows, folder / "notes"), daemon=True),
            threading.Thread(target=search, args=(docs, over, found), daemon=True),
        ]
        for thread in threads:
            thread.start()
        (folder / "alive").write_text(str(seed))
        while True:
            migrate(docs, chance)
            if found:
                wrong.write_text("\n".join(found))
                return


def run(folder: Path, kills: int, rows: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    texts = {id: f"text {id}" for id in range(rows)}
    with lamina.open(folder / "store", create=True, log_limit=1 << 18) as store:
        opened(store).upsert(list(texts), content=list(texts.values()))
    wrong, notes, states, writes = folder / "wrong", folder / "notes", collections.Counter[str](), 0
    for life in range(kills):
        (folder / "alive").unlink(missing_ok=True)
        notes.write_text("")
        child = os.fork()
        if child == 0:
            try:
                live(folder, seed * 100_003 + life, texts, rows, wrong)
            except BaseException as error:
                wrong.write_text(repr(error))
                raise
            finally:
                os._exit(1)
        while not (folder / "alive").exists():
            assert os.waitpid(child, os.WNOHANG)[0] == 0, wrong.read_text() if wrong.exists() else "it died"
            time.sleep(0.001)
        time.sleep(chance.expovariate(1 / mean_life(rows)))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert status == signal.SIGKILL, wrong.read_text() if wrong.exists() else status
        assert not wrong.exists(), wrong.read_text()
        writes += notes.read_text().count("acknowledged")
        unknown = take_notes(notes, texts)
        with lamina.open(folder / "store", read_only=True) as reader:
            docs = reader.get_collection("docs")
            states["none" if docs._take().migration[0] == "none" else docs.migrate().status().state] += 1
            if unknown is not None and texts_of(docs) != texts:
                unknown.make(texts)
    with lamina.open(folder / "store") as store:
        docs = opened(store)
        store.verify()
        check(docs, texts)
        while docs._take().migration[0] != "none" or docs.model.name != "two":
            migrate(docs, None)
        docs.refresh(list(texts.items()), scope="", progress=False)
        records = docs.get(docs.ids(), include=("vectors", "content"))
        assert dict(zip(records.ids.tolist(), records.content, strict=True)) == texts
        np.testing.assert_array_equal(records.vectors, EMBEDDERS["two"].of(records.content))
        store.verify()
    return {"kills": kills, "states": dict(states), "writes": writes, "records": len(texts)}


if __name__ == "__main__":
    run_as_command(__doc__, run, kills=200, docs=50000)
