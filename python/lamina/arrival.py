"""A collection that comes from elsewhere, and is seen under its name only once all of it is there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lamina.errors import LaminaError

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.models import Model
    from lamina.store import Store

SUFFIX = ".importing"


@contextlib.contextmanager
def arriving(store: Store, name: str, model: Model, **graph: Any) -> Iterator[Collection]:
    """A new collection to be filled: renamed to `name` when the block ends, dropped if it raises.

    What a killed import has left, under `name` and SUFFIX, goes with the next one. ValueError if the name is taken.
    """
    if name in store.list_collections():
        raise ValueError(
            f"there is a collection {name!r} already: import under another name, and rename_collection(…, "
            f"{name!r}, replace=True) to put it in its place"
        )
    working = name + SUFFIX
    if working in store.list_collections():
        store.drop_collection(working)
    docs = store.create_collection(working, model, **graph)
    try:
        yield docs
        store.rename_collection(working, name)
    except BaseException:
        with contextlib.suppress(LaminaError):
            store.drop_collection(working)
        raise
