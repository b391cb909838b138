"""Arguments of public calls: what was expected, and what was given."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int = 0, most: int = 2**63 - 1) -> int:
    """An integer within its limits. TypeError, ValueError."""
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; it is an integer")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it is an integer") from None
    if not least <= number <= most:
        raise ValueError(f"{name} is {number}; it lies from {least} to {most}")
    return number


def distance(name: str, value: Any) -> np.float32:
    """A distance, rounded as the stored ones are. TypeError, and ValueError for NaN."""
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} is {value!r}; it is a distance")
    if math.isnan(value):
        raise ValueError(f"{name} is NaN; it is a distance")
    rounded: np.float32 = np.float32(value)
    return rounded


def threads_or_none(threads: int | None) -> int | None:
    return None if threads is None else whole("threads", threads, 1, 65_536)


def in_huge_pages(pages: str) -> bool:
    """Whether `warm(pages)` is to copy. ValueError for what it does not know."""
    if pages not in ("mapped", "huge"):
        raise ValueError(f'pages is "mapped" or "huge", and not {pages!r}')
    return pages == "huge"


def text(name: str, value: Any) -> str:
    """A str that is text. TypeError, ValueError for one with lone surrogates, which UTF-8 has no bytes for."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {value!r} ({type(value).__name__})")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} {value!r} holds lone surrogates, which are no characters") from None
    return value


def refused_search(error: TypeError, k: Any, ef: Any, recall: Any, exact: Any, radius: Any, explain: Any) -> TypeError:
    """What is wrong with these arguments of a search, or the error itself if nothing is. Asked once it was refused."""
    try:
        whole("k", k, -(2**63))
        if ef is not None:
            whole("ef", ef, -(2**63))
        if recall is not None and (isinstance(recall, bool) or not hasattr(recall, "__float__")):
            raise TypeError(f"recall is {recall!r}; it is a number above 0 and up to 1")
        if radius is not None and (isinstance(radius, bool) or not hasattr(radius, "__float__")):
            raise TypeError(f"radius is {radius!r}; it is a distance")
        for name, value in {"exact": exact, "explain": explain}.items():
            if not isinstance(value, bool):
                raise TypeError(f"{name} is {value!r}; it is True or False")
    except TypeError as named:
        return named
    return error
