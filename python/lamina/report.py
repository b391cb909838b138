"""What a refresh did, and what it may spend."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Budget", "RefreshReport"]


@dataclasses.dataclass
class RefreshReport:
    """What a refresh did, or with `dry_run` would do.

    Every record of the source is in exactly one of `added`, `updated`, `metadata_only`, `unchanged`, `failed` and
    `repeated`.
    """

    scope: str = "default"
    dry_run: bool = False
    seen: int = 0  # records of the source
    added: int = 0
    updated: int = 0  # with another text than before, or a vector that was missing, stale or too old
    metadata_only: int = 0  # with other metadata, or taken over from another scope
    unchanged: int = 0
    failed: int = 0  # not written, and listed by `Collection.failed()`
    repeated: int = 0  # their id came again soon after, and the later record counts
    deleted: int = 0
    without_text: int = 0  # among the above: stored, and owed a vector until they have a text
    embedded: int = 0  # texts that the embedder made vectors of
    deduplicated: int = 0  # texts that took the vector of an identical one
    tokens: int = 0  # of the texts that were embedded, as the embedder counts them; else about 4 bytes of text each
    cost: float | None = None  # of those tokens; None: the embedder has no `price`
    requests: int = 0  # calls of the embedder
    retries: int = 0  # calls that were made again after a failure or a rate limit
    seconds: float = 0.0
    version_before: int = 0
    version_after: int = 0
    model: str = ""  # the fingerprint
    stopped: str | None = None  # why the source was not read to its end; None: it was

    @property
    def ok(self) -> bool:
        """Whether the source was read to its end and no record failed."""
        return self.stopped is None and not self.failed

    def count(self, there: NDArray[np.bool_], updated: NDArray[np.bool_]) -> None:
        """Counts records that are written: of each, whether it was there, and whether its text or vector changes."""
        self.added += int((~there).sum())
        self.updated += int((there & updated).sum())
        self.metadata_only += int((there & ~updated).sum())

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        parts = [
            f"{self.added:,} added",
            f"{self.updated:,} updated",
            f"{self.metadata_only:,} with new metadata only",
            f"{self.unchanged:,} unchanged",
        ]
        parts += [
            f"{count:,} {name}"
            for count, name in (
                (self.deleted, "deleted"),
                (self.failed, "failed"),
                (self.repeated, "repeated"),
                (self.without_text, "without a text"),
                (self.deduplicated, "with the vector of an identical text"),
            )
            if count
        ]
        cost = "" if self.cost is None else f", cost {self.cost:.4f}"
        would = "would be embedded" if self.dry_run else f"embedded in {self.seconds:.1f} s"
        return f"{', '.join(parts)}; {self.embedded:,} {would} ({self.tokens:,} tokens{cost})"


@dataclasses.dataclass(frozen=True)
class Budget:
    """What one refresh may spend: it stops before the batch that would exceed any of these."""

    cost: float | None = None  # in the currency of the embedder's `price`
    tokens: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, budget: Budget | float | None) -> Budget:
        """A bare number is a cost."""
        return budget if isinstance(budget, Budget) else cls(cost=budget)

    @classmethod
    def parse(cls, text: str) -> Budget:
        """`2.50` (cost), `100000tokens` or `60s`. ValueError for another form."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(tokens|s|)", text)
        if not match:
            raise ValueError(f"a budget is a cost as 2.50, or as 100000tokens, or as 60s, not {text!r}")
        number = float(match[1])
        if match[2] == "tokens":
            return cls(tokens=int(number))
        return cls(seconds=number) if match[2] else cls(cost=number)

    def exceeded(self, *, tokens: int, cost: float | None, seconds: float) -> str | None:
        """What is exceeded by this, in words; None: nothing."""
        if self.tokens is not None and tokens > self.tokens:
            return f"the next batch would exceed the budget of {self.tokens:,} tokens"
        if self.cost is not None and cost is not None and cost > self.cost:
            return f"the next batch would exceed the budget of {self.cost:g}"
        if self.seconds is not None and seconds > self.seconds:
            return f"the budget of {self.seconds:g} s is used up"
        return None
