"""What is known of a migration: the steps that were taken, how it stands, what it would take."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone
from typing import Any

from lamina.backfill import Failed
from lamina.bridge import BridgeReport
from lamina.models import Model

__all__ = ["Event", "MigrationPlan", "MigrationStatus", "Note"]


@dataclasses.dataclass(frozen=True)
class Event:
    """A step that was taken: "begin", "pause", "run", "cutover", "rollback"."""

    step: str
    at: str  # ISO 8601, UTC
    note: str = ""  # what it was allowed, if anything


@dataclasses.dataclass(frozen=True)
class Note:
    """What the manifest keeps of a migration beside its stage."""

    events: tuple[Event, ...] = ()
    failed: Failed = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Note:
        fields: dict[str, Any] = json.loads(text) if text else {}
        events = tuple(Event(*event) for event in fields.get("events", ()))
        return cls(events, {id: (why, basis) for id, why, basis in fields.get("failed", ())})

    def text(self) -> str:
        failed = [[id, why, basis] for id, (why, basis) in self.failed.items()]
        return json.dumps({"events": [dataclasses.astuple(event) for event in self.events], "failed": failed})

    def after(self, step: str, note: str = "") -> Note:
        at = datetime.now(timezone.utc).isoformat()
        return dataclasses.replace(self, events=(*self.events, Event(step, at, note)))

    @property
    def last(self) -> str:
        return self.events[-1].step if self.events else ""


@dataclasses.dataclass(frozen=True)
class MigrationStatus:
    """How a migration stands, counted from what is stored.

    `state` is "planned" (nothing was done), "backfilling", "paused", "ready" (nothing is owed or stale but what
    failed), "cut_over", "rolled_back", "finalized" or "aborted".
    """

    state: str
    served: Model  # what searches are answered with
    to: Model
    records: int
    vectors: int  # that the generation that is not served has (of one that is not there: none)
    owed: int  # records without a vector there
    stale: int  # records whose vector there was made from another text
    failed: dict[Any, str]  # of those, records that got no vector in the last run, and why
    events: tuple[Event, ...]
    bridge: BridgeReport | None = None  # what was measured of it, once it is fitted

    @property
    def coverage(self) -> float:
        """Share of the records whose vector there is as it should be."""
        return 1.0 if not self.records else (self.records - self.owed - self.stale) / self.records

    def to_dict(self) -> dict[str, Any]:
        models = {"served": self.served.identity(), "to": self.to.identity(), "coverage": self.coverage}
        return {**dataclasses.asdict(dataclasses.replace(self, served=None, to=None)), **models}  # type: ignore[arg-type]

    def __str__(self) -> str:
        parts = [f"{self.state}: {self.coverage:.1%} of {self.records:,} records"]
        parts += [f"{n:,} {what}" for n, what in ((self.owed, "owed"), (self.stale, "stale")) if n]
        parts += [f"{len(self.failed):,} failed"] if self.failed else []
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class MigrationPlan:
    """What a migration would take."""

    records: int  # that need a vector
    given: int  # of those, records whose vector is ready-made, or cut from the old one
    texts: int  # different ones, to be embedded
    without_text: int  # records that nothing makes a vector of
    tokens: int
    cost: float | None  # None: the embedder has no price
    disk_bytes: int  # of the new generation, about; the old one stays until `finalize`
    seconds: float | None  # of embedding, by a timed sample, one call at a time; None: nothing is embedded

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        cost = "" if self.cost is None else f", cost {self.cost:.4f}"
        took = "" if self.seconds is None else f", about {self.seconds / 3600:.2f} hours, one call at a time"
        return (
            f"{self.records:,} records need a vector: {self.given:,} are given, {self.texts:,} texts would be embedded "
            f"({self.tokens:,} tokens{cost}{took}); about {self.disk_bytes / 1e6:,.1f} MB of disk"
        )
