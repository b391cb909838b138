"""What a filter asks of a record, in one form however it was spelt.

A predicate is true or false of a record, never unknown. A value that is null, or not there, equals None alone, is
neither less nor greater than anything, and contains nothing. All else follows: `$ne`, `$nin` and `$not` are true
wherever what they negate is not, and so of a null. (An Arrow expression keeps Arrow's own rules: where it is null, the
record fails.)

The key says all of a predicate: two have the same one only if they ask the same. The order of parts in `$and` and
`$or`, repeated parts, and the several ways to say one thing (`$eq` and `$in` of one, `$ne` and `$not`) leave no trace.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from lamina.errors import FilterError

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
MICROSECOND = dt.timedelta(microseconds=1)


class Predicate(NamedTuple):
    """A node: "and", "or" and "not" of `parts`; "in", "gt", "gte", "lt", "lte" and "contains" of a field and `values`;
    "exists" of a field; "arrow" of an expression."""

    kind: str
    key: bytes
    field: str = ""
    values: tuple[Any, ...] = ()
    parts: tuple[Predicate, ...] = ()

    def fields(self) -> Iterator[str]:
        """The fields that are named, but for those in Arrow expressions."""
        if self.field:
            yield self.field
        for part in self.parts:
            yield from part.fields()


def all_of(parts: Iterable[Predicate]) -> Predicate:
    """True where all parts are: of none, everywhere."""
    return _joined("and", parts)


def any_of(parts: Iterable[Predicate]) -> Predicate:
    """True where a part is: of none, nowhere."""
    return _joined("or", parts)


def negated(part: Predicate) -> Predicate:
    if part.kind == "not":
        return part.parts[0]
    return Predicate("not", _key("not", part.key), parts=(part,))


def one_of(field: str, values: Iterable[Any]) -> Predicate:
    """True where the field has one of the values; None among them is true where it has none."""
    by_key = dict(literal(field, value) for value in values)
    absent = by_key.pop(b"", 0) is None
    keys = sorted(by_key)
    parts = []
    if by_key:
        node = Predicate("in", _key("in", field.encode(), *keys), field, tuple(by_key[key] for key in keys))
        parts.append(node)
    if absent:
        parts.append(negated(exists(field)))
    return any_of(parts)


def exists(field: str) -> Predicate:
    return Predicate("exists", _key("exists", field.encode()), field)


def compared(kind: str, field: str, value: Any) -> Predicate:
    """ "gt", "gte", "lt", "lte" or "contains" of a value."""
    key, value = literal(field, value)
    if value is None:
        raise FilterError(f"${kind} of field {field!r} needs a value, not None")
    return Predicate(kind, _key(kind, field.encode(), key), field, (value,))


def of_arrow(expression: Any) -> Predicate:
    """An Arrow expression. FilterError for one that names fields by number."""
    try:
        _, (written, *_) = expression.__reduce__()
    except Exception as error:
        raise FilterError(f"the Arrow expression {expression} has no form of its own: {error}") from error
    return Predicate("arrow", _key("arrow", written.to_pybytes()), values=(expression,))


def literal(field: str, value: Any) -> tuple[bytes, Any]:
    """The key of a value with its type, and the value in plain Python; (b"", None) for what is null."""
    value = _plain(field, value)
    if value is None:
        return b"", None
    if isinstance(value, bool):
        return b"?1" if value else b"?0", value
    if isinstance(value, int):
        return b"i%x" % value if value >= 0 else b"i-%x" % -value, value
    if isinstance(value, float):
        return b"f" + struct.pack(">d", value), value
    if isinstance(value, str):
        return b"s" + value.encode(), value
    if isinstance(value, bytes):
        return b"y" + value, value
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            return b"t" + value.isoformat().encode(), value
        return b"T%d" % ((value - EPOCH) // MICROSECOND), value
    if isinstance(value, dt.date):
        return b"d" + value.isoformat().encode(), value
    if isinstance(value, dt.time) and value.tzinfo is None:
        return b"c" + value.isoformat().encode(), value
    if isinstance(value, dt.timedelta):
        return b"l%d" % (value // MICROSECOND), value
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return b"m" + str(value).encode(), value
    raise FilterError(f"field {field!r} cannot be compared with {value!r} ({type(value).__name__})")


def _plain(field: str, value: Any) -> Any:
    """Scalars of NumPy, pandas and Arrow, and subclasses such as enumerations, as what they stand for."""
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if hasattr(value, "as_py"):
        if "[ns" in str(value.type):
            value = _whole(field, value)
        value = value.as_py()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        exact = value.astype(value.dtype.kind + "8[us]")
        if exact != value:
            raise FilterError(f"field {field!r} is asked about {value!r}: times are compared to the microsecond")
        return exact.item()
    if isinstance(value, np.generic):
        value = value.item()
    if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):
        raise FilterError(f"field {field!r} is asked about {value!r}: times are compared to the microsecond")
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        try:
            str.encode(value)
        except UnicodeEncodeError:
            raise FilterError(f"field {field!r} is asked about {value!r}, with lone surrogates: no text") from None
        return str.__str__(value)
    return value


def _whole(field: str, value: Any) -> Any:
    """An Arrow scalar of nanoseconds in microseconds. FilterError."""
    import pyarrow as pa

    from lamina.widening import plain_type

    try:
        return value.cast(plain_type(value.type, "us"))
    except pa.ArrowInvalid:
        raise FilterError(f"field {field!r} is asked about {value!r}: times are compared to the microsecond") from None


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _joined(kind: str, parts: Iterable[Predicate]) -> Predicate:
    by_key: dict[bytes, Predicate] = {}
    for part in parts:
        by_key.update((one.key, one) for one in (part.parts if part.kind == kind else (part,)))
    if len(by_key) == 1:
        return next(iter(by_key.values()))
    keys = sorted(by_key)
    return Predicate(kind, _key(kind, *keys), parts=tuple(by_key[key] for key in keys))


def _key(kind: str, *pieces: bytes) -> bytes:
    """Each piece with its length before it, so that no two lists of pieces look alike."""
    return b"%b(%b)" % (kind.encode(), b"".join(b"%d:%b" % (len(piece), piece) for piece in pieces))
