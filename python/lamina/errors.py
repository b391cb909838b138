"""The errors of lamina: one base, and beside it the builtin that Python people would catch.

A message says what was wrong with which value, and what to do about it.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = [
    "ClosedError",
    "ConflictError",
    "CorruptionError",
    "DimensionMismatchError",
    "DuplicateIdError",
    "FilterError",
    "FormatVersionError",
    "InvalidVectorError",
    "LaminaError",
    "LockedError",
    "MigrationStateError",
    "ModelMismatchError",
    "NotFoundError",
    "ReadOnlyError",
    "RefreshError",
    "StorageError",
]


class LaminaError(Exception):
    """The base of every error that lamina raises by itself."""


class DimensionMismatchError(LaminaError, ValueError):
    """The vectors have another dimension than the index or collection; the message names both."""


class ModelMismatchError(LaminaError, ValueError):
    """A write or a query names another model than the one that made the stored vectors."""


class InvalidVectorError(LaminaError, ValueError):
    """A vector holds NaN or infinity; the message names the row."""


class FilterError(LaminaError, ValueError):
    """A filter that cannot be asked: an unknown operator or field, or a value of another type than the field's."""


class DuplicateIdError(LaminaError, ValueError):
    """An id is there already, or stands twice in one call."""


class ClosedError(LaminaError, ValueError):
    """The store was closed, or the handle belongs to the parent of a forked process."""


class NotFoundError(LaminaError, KeyError):
    """No such id, collection or store."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return Exception.__str__(self)


class MigrationStateError(LaminaError, RuntimeError):
    """The collection's migration is at another stage than this step starts from; the message says at which."""


class ConflictError(LaminaError, RuntimeError):
    """`if_version=` did not hold: somebody wrote in between."""


class RefreshError(LaminaError, RuntimeError):
    """A refresh stopped: too much would be deleted, too much failed, or the embedder does not work.

    What it had finished stays; `report` (a RefreshReport) counts it.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> Any:
        return type(self), (*self.args, self.report)


class _FileError(LaminaError, OSError):
    """An OSError that shows its message as it stands, with `errno` and `filename` set."""

    def __init__(self, message: str, *, errno: int | None = None, filename: str | None = None) -> None:
        super().__init__(message)
        self.errno = errno
        self.filename = filename

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> Any:  # OSError keeps these outside of __dict__
        state = {"errno": self.errno, "filename": self.filename, "strerror": self.strerror}
        return type(self), self.args, {**self.__dict__, **state}


class CorruptionError(_FileError):
    """The bytes of a file are not what was written.

    Attributes: `file`, `offset` (bytes), `expected` and `found` (str).
    """

    def __init__(
        self, message: str, *, file: str | None = None, offset: int = 0, expected: str = "", found: str = ""
    ) -> None:
        super().__init__(message, filename=file)
        self.file = file
        self.offset = offset
        self.expected = expected
        self.found = found


class FormatVersionError(_FileError):
    """The file is whole, but of a format that this build cannot read: `age` is "too old" or "too new"."""

    def __init__(self, message: str, *, file: str | None = None, age: str = "too new") -> None:
        super().__init__(message, filename=file)
        self.file = file
        self.age = age


class StorageError(_FileError):
    """The system refused: disk full, I/O error, or a handle poisoned by a failed sync (`errno`, `path`)."""

    def __init__(self, message: str, *, errno: int | None = None, path: str | None = None) -> None:
        super().__init__(message, errno=errno, filename=path)
        self.path = path
        self.strerror = os.strerror(errno) if errno is not None else None


class LockedError(_FileError):
    """Somebody else writes to this store: `pid` and `host` of the holder where they are known."""

    def __init__(self, message: str, *, path: str | None = None, pid: int = 0, host: str = "") -> None:
        super().__init__(message, filename=path)
        self.path = path
        self.pid = pid
        self.host = host


class ReadOnlyError(LaminaError, PermissionError):
    """A write to something that was opened for reading."""
