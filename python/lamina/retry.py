"""Which failures of an embedder pass, and how long to wait for it.

An embedder may be built on any HTTP library or client, so failures are known by what most of these have in common: the
status in `error.status_code` or `error.response.status_code`, headers in `error.response.headers`, the names of classes
for connections that broke. An embedder of one's own may raise anything with a `retry_after` in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import email.utils
import time
from typing import Any

__all__ = ["Retry"]

PASSING_STATUS = frozenset({408, 425, 500, 502, 503, 504, 529})
PASSING_NAMES = frozenset({"APIConnectionError", "ConnectionError", "Timeout", "TransportError"})


@dataclasses.dataclass(frozen=True)
class Retry:
    """How a refresh meets failures that may pass: time-outs, broken connections, statuses such as 503.

    A rate limit (status 429, or a `Retry-After`) is no failure: it is waited for, as long as the service says.
    """

    attempts: int = 5  # of one call
    wait: float = 0.5  # seconds before the second attempt, doubled before each further one
    max_wait: float = 60.0  # seconds between attempts at most
    patience: float = 3600.0  # seconds that rate limits may hold one call up, all in all

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.wait < 0 or self.max_wait < 0 or self.patience < 0:
            raise ValueError(f"{self}: attempts are at least 1, and times not negative")

    def wait_before(self, attempt: int) -> float:
        """Seconds before the attempt of this number; the second is 2."""
        return min(self.wait * 2.0 ** min(attempt - 2, 30), self.max_wait)


def asked_to_wait(error: BaseException) -> float | None:
    """Seconds for which a rate limit asks to wait, 0 if it does not say how long; None: it is no rate limit."""
    said = _retry_after(error)
    if _status(error) == 429 or hasattr(error, "retry_after"):
        return said or 0.0
    return said if _status(error) == 503 else None


def may_pass(error: BaseException) -> bool:
    """Whether the same call may well succeed a little later."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError, ConnectionError)) or _status(error) in PASSING_STATUS:
        return True
    return _status(error) is None and not PASSING_NAMES.isdisjoint(cls.__name__ for cls in type(error).__mro__)


def _status(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        if isinstance(status := getattr(holder, "status_code", None), int):
            return status
    return None


def _retry_after(error: BaseException) -> float | None:
    """Seconds, from the exception itself or its response's headers."""
    said: Any = getattr(error, "retry_after", None)
    if isinstance(said, (int, float)):
        return max(float(said), 0.0)
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        return None
    with contextlib.suppress(TypeError, ValueError):
        return float(headers.get("retry-after-ms")) / 1000
    said = headers.get("retry-after")
    with contextlib.suppress(TypeError, ValueError):
        return max(float(said), 0.0)
    with contextlib.suppress(TypeError, ValueError):
        return max(email.utils.parsedate_to_datetime(said).timestamp() - time.time(), 0.0)
    return None
