"""What refresh keeps about a collection, in the collection's settings: canary, times, and what failed.

All of it is one JSON text, written anew when it changes, so it is bounded: `MOST_FAILED` records, and of each error
`REASON_MAX` characters. Beyond that a refresh stops, since then it is not single texts that are wrong.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina.shared import Settings

if TYPE_CHECKING:
    from lamina.collection import Collection
    from lamina.models import Model

MOST_FAILED = 1000
REASON_MAX = 200
NO_CANARY = "-"


class Failed(NamedTuple):
    """A record that a refresh could not embed. What the store had of it before stays."""

    id: int | str
    scope: str
    reason: str
    attempts: int  # refreshes that tried this text
    at: datetime  # of the last one
    content_hash: str  # of the text that failed, in hex


@dataclasses.dataclass(frozen=True)
class Kept:
    # Of each model, by fingerprint, its vectors of `canary.TEXTS`; NO_CANARY where they cannot be embedded.
    canaries: dict[str, str] = dataclasses.field(default_factory=dict)
    since: dict[str, str] = dataclasses.field(default_factory=dict)  # scope → when its last whole refresh began
    failed: tuple[Failed, ...] = ()

    @classmethod
    @functools.lru_cache(maxsize=16)
    def of(cls, text: str) -> Kept:
        fields: dict[str, Any] = json.loads(text) if text else {}
        failed = [
            Failed(id, scope, reason, attempts, datetime.fromisoformat(at), content_hash)
            for id, scope, reason, attempts, at, content_hash in fields.pop("failed", ())
        ]
        return cls(**fields, failed=tuple(failed))

    def text(self) -> str:
        failed = [[*entry[:4], entry.at.isoformat(), entry.content_hash] for entry in self.failed]
        return json.dumps({"canaries": self.canaries, "since": self.since, "failed": failed})

    def canary(self, model: Model) -> str:
        """The vectors that are kept of a model; "" where there are none yet."""
        return self.canaries.get(model.fingerprint, "")

    def with_canary(self, model: Model, canary: str) -> Kept:
        if self.canary(model) not in ("", NO_CANARY):
            return self
        return dataclasses.replace(self, canaries={**self.canaries, model.fingerprint: canary})

    def with_since(self, scope: str, time: datetime) -> Kept:
        return dataclasses.replace(self, since={**self.since, scope: time.isoformat()})

    def with_failed(self, scope: str, failed: Iterable[Failed], over: set[Any] | None) -> Kept:
        """These have failed; of what had failed before in the scope, `over` no longer counts (None: none of it)."""
        new = {entry.id: entry for entry in failed}
        stays = [
            entry
            for entry in self.failed
            if entry.scope != scope or (over is not None and entry.id not in over and entry.id not in new)
        ]
        return dataclasses.replace(self, failed=(*stays, *new.values()))

    def of_scope(self, scope: str) -> dict[Any, Failed]:
        return {entry.id: entry for entry in self.failed if entry.scope == scope}


def kept_of(collection: Collection) -> Kept:
    """What is kept about a collection now."""
    return Kept.of(Settings.of(collection._take().settings).kept)


def keep(collection: Collection, change: Callable[[Kept], Kept]) -> None:
    """Changes what is kept. Durable, and one version more, if it is another thing than before."""
    collection._store._shared.keep(collection, lambda text: change(Kept.of(text)).text())
