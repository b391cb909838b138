"""A refresh killed with SIGKILL at random moments: little is embedded twice, and the end is that of a whole one.

    python tests/python/crash/refresh_kills.py --kills 100 --docs 5000

A child refreshes from a JSONL file, again and again; after one that came to its end the file changes: texts are edited,
dropped and added, none ever like another. Each embedded text is written down before its vector is returned. So it shows
which texts a life embedded that a life before had embedded: at most `CONCURRENCY × BATCH` after each kill. The end is
compared with a store that was filled in one go.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from command import run_as_command

import lamina
import lamina.refresh  # once, and not in each child
from lamina.canary import TEXTS
from lamina.embedders import HashEmbedder

CONCURRENCY = 3
BATCH = 16
MODEL = lamina.Model("own", dim=16)


class Source:
    """A JSONL file whose texts are all different, through all its changes."""

    def __init__(self, path: Path, rows: int, seed: int) -> None:
        self.path = path
        self.random = random.Random(seed)
        self.made = 0
        self.rows: dict[str, dict[str, Any]] = {}
        self.change(added=rows)

    def change(self, *, added: int, edited: int = 0, dropped: int = 0) -> None:
        for id in self.random.sample(sorted(self.rows), dropped):
            del self.rows[id]
        for id in self.random.sample(sorted(self.rows), edited):
            self.rows[id] = self._row(id)
        for _ in range(added):
            id = f"d{self.made}"
            self.rows[id] = self._row(id)
        self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows.values()))

    def _row(self, id: str) -> dict[str, Any]:
        self.made += 1
        return {"id": id, "text": f"text number {self.made}", "made": self.made}


class Embedder:
    """Writes down what it embeds, and takes its time."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        os.write(self._file, "".join(f"{text}\n" for text in texts if text not in TEXTS).encode())
        time.sleep(0.002)
        return HashEmbedder(16)(texts)


def refresh(folder: Path, store: str) -> None:
    with lamina.open(folder / store, create=True, log_limit=1 << 17) as opened:
        docs = opened.get_or_create_collection("docs", model=MODEL, embed=Embedder(folder / "embedded"))
        docs.refresh(
            folder / "source.jsonl",
            delete="missing",
            max_delete=1,
            batch_size=BATCH,
            concurrency=CONCURRENCY,
            progress=False,
        )


def live(folder: Path, size: int, seconds: float) -> bool:
    """A refresh in a process of its own, killed so long after it has written down so many bytes of texts.

    Returns whether it came to its end before.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            refresh(folder, "store")
            code = 0
        finally:
            os._exit(code)
    embedded = folder / "embedded"
    while embedded.stat().st_size < size:
        if (ended := os.waitpid(child, os.WNOHANG))[0]:
            assert ended[1] == 0, f"the refresh failed: {ended[1]}"
            return True
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), f"the refresh failed: {status}"
    return status == 0


def run(folder: Path, kills: int, rows: int, seed: int) -> dict[str, Any]:
    source = Source(folder / "source.jsonl", rows, seed)
    before: set[str] = set()
    (folder / "embedded").write_text("")
    killed = whole = twice = 0
    while killed < kills:
        ended = live(folder, source.random.randrange(6 * rows), source.random.random() * 0.05)
        lines = (folder / "embedded").read_text().splitlines()
        again = len(lines) - len(set(lines)) + len(before & set(lines))
        assert again <= CONCURRENCY * BATCH, f"{again} texts were embedded again after {killed} kills"
        twice = max(twice, again)
        before |= set(lines)
        (folder / "embedded").write_text("")
        killed += not ended
        whole += ended
        if ended:
            source.change(added=rows // 10, edited=rows // 10, dropped=rows // 10)
    refresh(folder, "store")
    refresh(folder, "in one go")
    assert state(folder / "store") == state(folder / "in one go")
    return {"kills": killed, "whole": whole, "embedded": len(before), "most embedded twice": twice}


def state(store: Path) -> list[tuple[Any, ...]]:
    with lamina.open(store) as opened:
        opened.verify()
        docs = opened.get_collection("docs")
        return sorted((r.id, r.content, r.metadata["made"], r.vector.tobytes()) for batch in docs.scan() for r in batch)


if __name__ == "__main__":
    run_as_command(__doc__, run, kills=100, docs=5000)
