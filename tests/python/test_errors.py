"""The errors: one base, the builtins that Python people would catch, and what they carry.

Goal: `except ValueError` and `except LaminaError` both catch what they should. Method: the table of the contract.
"""

from __future__ import annotations

import pickle

import pytest

import lamina
from lamina import errors

BUILTINS = {
    "DimensionMismatchError": ValueError,
    "ModelMismatchError": ValueError,
    "InvalidVectorError": ValueError,
    "DuplicateIdError": ValueError,
    "ClosedError": ValueError,
    "NotFoundError": KeyError,
    "CorruptionError": OSError,
    "FormatVersionError": OSError,
    "StorageError": OSError,
    "LockedError": OSError,
    "ReadOnlyError": PermissionError,
    "ConflictError": RuntimeError,
}


@pytest.mark.parametrize("name", BUILTINS)
def test_each_error_is_a_builtin_too(name: str) -> None:
    error = getattr(lamina, name)
    assert issubclass(error, BUILTINS[name])
    assert issubclass(error, lamina.LaminaError)
    assert str(error("what was wrong with 'x'")) == "what was wrong with 'x'"


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_travel_between_processes(name: str) -> None:
    error = getattr(errors, name)("said")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "said"
    assert vars(copy) == vars(error)


def test_what_errors_carry() -> None:
    damaged = lamina.CorruptionError("damaged", file="a.vec", offset=4096, expected="1", found="2")
    assert (damaged.file, damaged.offset, damaged.expected, damaged.found) == ("a.vec", 4096, "1", "2")
    full = lamina.StorageError("disk full", errno=28, path="/a")
    assert (full.errno, full.path, full.filename) == (28, "/a", "/a")
    assert str(full) == "disk full"
    locked = lamina.LockedError("locked", path="/a", pid=7, host="h")
    assert (locked.pid, locked.host, locked.path) == (7, "h", "/a")
    assert lamina.FormatVersionError("x", file="a", age="too old").age == "too old"


def test_the_core_raises_them_with_their_attributes(tmp_path: object) -> None:
    with pytest.raises(lamina.StorageError) as caught:
        lamina.Index.open(f"{tmp_path}/none")
    assert caught.value.errno == 2
    assert caught.value.path == f"{tmp_path}/none"
    assert caught.value.filename == f"{tmp_path}/none"
    assert caught.value.strerror
    with open(f"{tmp_path}/damaged", "wb") as file:
        file.write(b"\0" * 65536)
    with pytest.raises(lamina.CorruptionError) as damaged:
        lamina.Index.open(f"{tmp_path}/damaged")
    assert damaged.value.file == f"{tmp_path}/damaged"
    assert damaged.value.expected
    assert damaged.value.found
