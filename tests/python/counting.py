"""An embedder that counts what it embeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lamina import canary


class Counting:
    """Four numbers of each text; `texts` are those that it was given, but for the canary's."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.broken: Exception | None = None  # raised for whatever text
        self.turned = 1.0  # another model behind the same name: -1

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if self.broken is not None:
            raise self.broken
        self.texts.extend(text for text in texts if text not in canary.TEXTS)
        rows = [[len(text), self.turned * sum(text.encode()) / 50, 1, ord(text[-1:] or " ")] for text in texts]
        return np.array(rows, np.float32)
