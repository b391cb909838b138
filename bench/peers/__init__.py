"""One adapter for each library: build, save, load, search. What a library cannot do is said by `supports`.

Graphs are built with M = 16 (degree 32 at level 0) and ef_construction = 200, partitions as their authors advise for so
many rows; each from the flags of its own wheel or setup. An adapter adds nothing to a search but what its library's
users write: `one` and `batch` return the call to time.
"""

from bench.peers.base import EF_CONSTRUCTION, M, Peer
from bench.peers.faiss import Faiss, FaissFastScan, FaissSq
from bench.peers.graphs import Glass, Hnswlib, Rabitq, Svs, SymphonyQg, Usearch, Vsag
from bench.peers.own import Lamina, LaminaCollection
from bench.peers.scann import Scann

ALL: tuple[type[Peer], ...] = (
    Lamina, LaminaCollection,
    Hnswlib, Faiss, FaissSq, FaissFastScan, Usearch, Rabitq, Vsag, Svs, Scann, Glass, SymphonyQg,
)  # fmt: skip
BY_NAME = {peer.name: peer for peer in ALL}

__all__ = [
    "ALL", "BY_NAME", "EF_CONSTRUCTION", "Faiss", "Hnswlib", "Lamina", "LaminaCollection", "M", "Peer", "describe",
]  # fmt: skip


def describe(peer: type[Peer]) -> dict[str, str]:
    return {"name": peer.name, "version": peer.version(), "flags": peer.flags}
