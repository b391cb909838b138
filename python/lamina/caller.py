"""Calling an embedder as its limits and its service allow, so that one bad text spoils no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from lamina.canary import TEXTS
from lamina.errors import LaminaError, RefreshError
from lamina.models import Model
from lamina.retry import Retry, asked_to_wait, may_pass

Outcome = NDArray[Any] | Exception  # of one text: its vector, or what kept it from having one


class StoppedError(RuntimeError):
    """The refresh is over; nobody waits for this call."""


class Caller:
    """One embedder, during one refresh. Safe from any thread.

    What an embedder may say of itself, each of it optional: `max_batch`, texts in one call; `max_batch_tokens`, tokens
    in one call; `count_tokens(text)`; `price`, of a million tokens.
    """

    def __init__(self, model: Model, retry: Retry, stop: threading.Event) -> None:
        self.requests = 0
        self.retries = 0
        self.price: float | None = getattr(model.embed_with, "price", None)
        self.max_batch: int | None = getattr(model.embed_with, "max_batch", None)
        self._max_tokens: int | None = getattr(model.embed_with, "max_batch_tokens", None)
        self._count_tokens = getattr(model.embed_with, "count_tokens", None)
        self.model = model
        self._retry = retry
        self._stop = stop
        self._lock = threading.Lock()
        self._works = TEXTS[0]  # a text that the embedder makes a vector of, unless it makes none of any
        self._held_until = 0.0  # on the monotonic clock: a rate limit holds all threads

    def tokens(self, text: str) -> int:
        """Tokens of a text: as the embedder counts them; else one for four bytes, cut where the model cuts."""
        text = (self.model.prompt or "") + text
        if self._count_tokens is not None:
            return int(self._count_tokens(text))
        estimate = (len(text.encode(errors="replace")) + 3) // 4
        return estimate if self.model.max_tokens is None else min(estimate, self.model.max_tokens)

    def cost(self, tokens: int) -> float | None:
        """What these tokens cost; None where the embedder has no price."""
        return None if self.price is None else tokens * float(self.price) / 1e6

    def embed(self, texts: Sequence[str]) -> list[Outcome]:
        """The vector of each text, or the exception that it alone causes.

        RefreshError, or the LaminaError that the model raised, if the embedder does not work for any text.
        """
        return [outcome for part in self._parts(texts) for outcome in self._isolated(part, self._retry.attempts)]

    def _parts(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """The texts in calls that the embedder takes."""
        most = self.max_batch or len(texts)
        start = tokens = 0
        for at, text in enumerate(texts):
            more = self.tokens(text) if self._max_tokens is not None else 0
            full = self._max_tokens is not None and tokens + more > self._max_tokens
            if at > start and (at - start >= most or full):
                yield texts[start:at]
                start, tokens = at, 0
            tokens += more
        yield texts[start:]

    def _isolated(self, texts: Sequence[str], attempts: int) -> list[Outcome]:
        """Halves what fails, down to the texts that fail alone."""
        try:
            return list(self._call(texts, attempts))
        except StoppedError:
            raise
        except Exception as error:
            if attempts == self._retry.attempts:
                self._prove(error)
            if len(texts) == 1:
                return [error]
        half = len(texts) // 2
        return [
            outcome
            for part in (texts[:half], texts[half:])
            for outcome in self._isolated(part, self._retry.attempts if len(part) == 1 else 1)
        ]

    def _prove(self, error: Exception) -> None:
        """A text is to blame only if the embedder still works for another one."""
        if asked_to_wait(error) is None:
            try:
                self._call([self._works], 1)
                return
            except StoppedError:
                raise
            except Exception:
                pass
        if isinstance(error, LaminaError):
            raise error
        raise RefreshError(
            f"the embedder of {self.model.name!r} does not work, for whichever text: "
            f"{type(error).__name__}: {error}. What is finished stays; refresh again to go on."
        ) from error

    def _call(self, texts: Sequence[str], attempts: int) -> NDArray[Any]:
        failed, limited, waited = 0, 0, 0.0
        while True:
            waited += self._wait_for_limit()
            try:
                with self._lock:
                    self.requests += 1
                vectors = self.model.embed(texts)
                self._works = texts[0]
                return vectors
            except Exception as error:
                said = asked_to_wait(error)
                if said is not None and waited < self._retry.patience:
                    limited += 1
                    self._hold(said or self._retry.wait_before(limited + 1))
                else:
                    failed += 1
                    if failed >= attempts or not may_pass(error):
                        raise
                    self._sleep(self._retry.wait_before(failed + 1))
            with self._lock:
                self.retries += 1

    def _hold(self, seconds: float) -> None:
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def _wait_for_limit(self) -> float:
        """Waits until no rate limit holds; returns how many seconds it was."""
        started = time.monotonic()
        while (seconds := self._held_until - time.monotonic()) > 0:
            self._sleep(seconds)
        return time.monotonic() - started

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError
