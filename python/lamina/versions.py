"""Older versions of a collection: what they are, and how one is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from lamina.arguments import text

__all__ = ["CleanupReport", "PurgeReport", "Version"]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)


class Version(NamedTuple):
    """A version of a collection that can be had: `snapshot(version=…)`."""

    version: int
    time: datetime  # when it was written, in UTC
    tags: tuple[str, ...]


class CleanupReport(NamedTuple):
    """What `cleanup` removed."""

    files: int
    bytes: int
    pinned: int  # older states that should have gone, and stay because somebody reads them


class PurgeReport(NamedTuple):
    """What `purge` did."""

    deleted: int  # records of the collection itself
    version: int  # of the collection, now


class Wanted(NamedTuple):
    """Which version, as the core takes it."""

    version: int | None
    tag: str | None
    time_us: int | None

    @staticmethod
    def of(version: int | None, tag: str | None, at: datetime | None) -> Wanted:
        """ValueError for more than one of the three, TypeError for what none of them can be."""
        if sum(given is not None for given in (version, tag, at)) > 1:
            raise ValueError("version=, tag= and at= are three ways to say one thing: give one of them")
        if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
            raise TypeError(f"version= is an int, not {version!r}")
        if version is not None and version < 0:
            raise ValueError(f"versions count from 1: there is no {version}")
        if tag is not None and not isinstance(tag, str):
            raise TypeError(f"tag= is a str, not {tag!r}")
        if at is not None and not isinstance(at, datetime):
            raise TypeError(f"at= is a datetime, not {at!r}")
        return Wanted(version, tag, None if at is None else (at.astimezone(timezone.utc) - EPOCH) // MICROSECOND)

    def given(self) -> bool:
        return self != (None, None, None)


def listed(versions: list[tuple[int, int, list[str]]]) -> list[Version]:
    """The core's versions as users see them."""
    return [Version(version, EPOCH + time_us * MICROSECOND, tuple(tags)) for version, time_us, tags in versions]


def microseconds(duration: timedelta, name: str) -> int:
    """A duration that is not negative. TypeError, ValueError."""
    if not isinstance(duration, timedelta):
        raise TypeError(f"{name} is a timedelta, not {duration!r}")
    if duration < timedelta(0):
        raise ValueError(f"{name} is not negative: {duration}")
    return duration // MICROSECOND


def check_name(name: object, what: str) -> None:
    """TypeError or ValueError for what cannot name a collection or a tag."""
    given = text(f"a {what}'s name", name)
    if not 1 <= len(given.encode()) <= 255 or not given.isprintable():
        raise ValueError(f"a {what}'s name is a str of 1 to 255 bytes without control characters, not {name!r}")
