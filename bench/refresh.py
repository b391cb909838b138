"""What a refresh embeds, beside langchain-core's `index()`: `python -m bench.refresh`. A Markdown table.

Ten chunks of one page, in batches of four; every text that an embedder is given is counted, the canary's left out. The
cases are those of public bug reports: cleanup inside the batch loop, metadata in the hash, the model not in it, a
record manager beside the store that does not know what the store holds, deleting before embedding.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lamina
from lamina.canary import TEXTS

CHUNKS = [f"chunk {at} of the page" for at in range(10)]
BATCH = 4


class Counting:
    """An embedder that counts, fails when it is told to, and becomes another model when it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.turned = 1.0
        self.broken = False

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.broken:
            raise RuntimeError("the embedder is down")
        self.count += sum(text not in TEXTS for text in texts)
        return np.array([[len(text), self.turned * sum(text.encode()) / 50, 1] for text in texts], np.float32)


class Lamina:
    name = f"lamina {lamina.__version__}"

    def __init__(self, folder: Path, cleanup: str) -> None:
        self.embed = Counting()
        self._store = lamina.open(folder / "store", create=True)
        self._delete = "none" if cleanup == "incremental" else "missing"
        model = lamina.Model("counted", dim=3, embed=self.embed)
        self._docs = self._store.create_collection("docs", model=model)

    def index(self, chunks: Sequence[str], metadata: dict[str, Any]) -> None:
        source = [(("page", at), text, metadata) for at, text in enumerate(chunks)]
        self._docs.refresh(source, delete=self._delete, batch_size=BATCH, progress=False)

    def wipe(self) -> None:
        self._docs.clear()

    def __len__(self) -> int:
        return len(self._docs)

    def close(self) -> None:
        self._store.close()


class LangChain:
    def __init__(self, folder: Path, cleanup: str) -> None:
        from langchain_core import __version__
        from langchain_core.indexing import InMemoryRecordManager
        from langchain_core.vectorstores import InMemoryVectorStore

        embed = self.embed = Counting()

        class Counted:
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                rows: list[list[float]] = embed(texts).tolist()
                return rows

            def embed_query(self, text: str) -> list[float]:
                return self.embed_documents([text])[0]

        self.name = f"langchain-core {__version__}"
        self._cleanup = "incremental" if cleanup == "incremental" else "scoped_full"
        self._manager = InMemoryRecordManager("docs")
        self._manager.create_schema()
        embedding: Any = Counted()
        self._store = InMemoryVectorStore(embedding)

    def index(self, chunks: Sequence[str], metadata: dict[str, Any]) -> None:
        from langchain_core.documents import Document
        from langchain_core.indexing import index

        documents = [Document(page_content=text, metadata={"source": "page", **metadata}) for text in chunks]
        cleanup: Any = self._cleanup
        options: dict[str, Any] = {"batch_size": BATCH, "source_id_key": "source", "key_encoder": "sha256"}
        index(documents, self._manager, self._store, cleanup=cleanup, **options)

    def wipe(self) -> None:
        self._store.store.clear()

    def __len__(self) -> int:
        return len(self._store.store)

    def close(self) -> None:
        pass


def again(side: Any) -> str:
    """Embedded by each of three runs over the same chunks."""
    counts = []
    for _ in range(3):
        before = side.embed.count
        side.index(CHUNKS, {})
        counts.append(side.embed.count - before)
    return ", ".join(map(str, counts)) + " embedded"


def metadata_only(side: Any) -> str:
    side.index(CHUNKS, {"year": 2025})
    before = side.embed.count
    side.index(CHUNKS, {"year": 2026})
    return f"{side.embed.count - before} of 10 embedded"


def swapped_model(side: Any) -> str:
    side.index(CHUNKS, {})
    before = side.embed.count
    side.embed.turned = -1.0
    try:
        side.index([*CHUNKS, "one more"], {})
    except lamina.ModelMismatchError:
        return "refused"
    return f"{side.embed.count - before} of 11 embedded: two models in one store"


def wiped_store(side: Any) -> str:
    side.index(CHUNKS, {})
    side.wipe()
    side.index(CHUNKS, {})
    return f"{len(side)} of 10 there again"


def failed_embedder(side: Any) -> str:
    side.index(CHUNKS, {})
    side.embed.broken = True
    with contextlib.suppress(RuntimeError):
        side.index([f"{text}, changed" for text in CHUNKS], {})
    return f"{len(side)} of 10 still there"


CASES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "nothing changed, incremental": ("incremental", again),
    "nothing changed, full within the source": ("full", again),
    "only metadata changed": ("full", metadata_only),
    "another model of the same dimension": ("full", swapped_model),
    "the store was emptied": ("full", wiped_store),
    "the embedder fails": ("full", failed_embedder),
}


def table() -> Iterator[str]:
    """The lines of the table; a library that is not there is left out."""
    sides: list[Any] = [Lamina]
    with contextlib.suppress(ImportError):
        import langchain_core  # noqa: F401

        sides.append(LangChain)
    header, rows = ["case"], [[case] for case in CASES]
    for side in sides:
        for row, (cleanup, run) in zip(rows, CASES.values(), strict=True):
            with tempfile.TemporaryDirectory() as folder:
                made = side(Path(folder), cleanup)
                try:
                    row.append(run(made))
                finally:
                    made.close()
        header.append(made.name)
    for line in [header, ["---"] * len(header), *rows]:
        yield f"| {' | '.join(line)} |"


if __name__ == "__main__":
    print("\n".join(table()))
