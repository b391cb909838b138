"""A progress bar on stderr, where that is a terminal: tqdm's if it is installed, else one of a few lines."""

from __future__ import annotations

import sys
import time
from typing import Any


class Progress:
    """`with Progress(wanted, total, label) as bar: bar.update(done)`. Writes nothing where there is no terminal."""

    def __init__(self, wanted: bool, total: int, label: str) -> None:
        self._shown = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._total = total
        self._label = label
        self._last = 0.0
        self._tqdm: Any = None

    def __enter__(self) -> Progress:
        if self._shown:
            try:
                from tqdm import tqdm

                self._tqdm = tqdm(total=self._total or None, desc=self._label, unit=" records", file=sys.stderr)
            except ImportError:
                pass
        return self

    def update(self, done: int, note: str = "") -> None:
        if self._tqdm is not None:
            self._tqdm.set_postfix_str(note, refresh=False)
            self._tqdm.update(done - self._tqdm.n)
        elif self._shown and time.monotonic() - self._last > 0.1:
            self._last = time.monotonic()
            sys.stderr.write(f"\r\x1b[K{self._line(done)}  {note}")
            sys.stderr.flush()

    def __exit__(self, *exception: object) -> None:
        if self._tqdm is not None:
            self._tqdm.close()
        elif self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _line(self, done: int) -> str:
        if not self._total:
            return f"{self._label}: {done} records"
        share = min(done / self._total, 1.0)
        return f"{self._label}: [{'#' * int(share * 30):<30}] {share:4.0%}  {done}/{self._total}"
