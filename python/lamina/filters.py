"""Filters: which records a search, a scan, a count or a deletion is about."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lamina import predicate
from lamina.errors import FilterError
from lamina.predicate import Predicate

__all__ = ["Filter"]

OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$not", "$exists", "$contains")
JOINED = {"$and": predicate.all_of, "$or": predicate.any_of}
MOST_NESTED = 64  # levels of one filter


class Filter:
    """A predicate on records, for every `filter=`. Equal to another one that asks the same; hashable; pickles.

        lamina.Filter({"year": {"$gte": 2020}, "source": {"$in": ["a", "b"]}})        # both must hold
        lamina.Filter({"$or": [{"lang": "de"}, {"$not": {"tags": {"$contains": "draft"}}}]})
        lamina.Filter((pc.field("year") >= 2020) & pc.field("lang").is_valid())       # an Arrow expression

    Args:
        given: a dict, an Arrow expression, or another filter; filters and expressions may stand in `$and`, `$or` and
            `$not` too. Of a field: `$eq` (which a bare value means), `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$in`,
            `$nin`, `$not`, `$exists`, and `$contains`: an element of a list, or a piece of a text. `{}` passes all.

    Fields are metadata columns, dotted paths into those that hold dicts (`"author.name"`), and what each record has:
    `_id`, `_scope`, and as times `_created_at`, `_updated_at` and `_embedded_at` (null where it has no vector).

    A value that is null, or absent, equals None alone, and no comparison with it holds: so `$ne`, `$nin` and `$not` of
    what does not hold are true of it. Numbers compare exactly, whatever their types; NaN equals nothing. A time may be
    given as ISO 8601 text; one with a zone is compared with one that has a zone. Arrow expressions keep Arrow's rules:
    a record for which one is null does not pass.

    Raises FilterError for what is none of this; an unknown field, or a value of another type than the field's, is
    FilterError where the filter is used, and in `collection.filter(…)`.
    """

    __slots__ = ("_hash", "predicate")

    def __init__(self, given: Any) -> None:
        self.predicate = parse(given)
        self._hash = hash(self.predicate.key)

    @property
    def key(self) -> bytes:
        """What this asks, completely: filters with the same key pass the same records, and no others have it."""
        return self.predicate.key

    def __eq__(self, other: object) -> bool:
        return self.predicate.key == other.predicate.key if isinstance(other, Filter) else NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"<lamina.Filter {_spelt(self.predicate)}>"

    def __reduce__(self) -> Any:
        return _restored, (self.predicate,)


def as_filter(given: Any) -> Filter:
    """What is given as `filter=`."""
    return given if type(given) is Filter else Filter(given)


def parse(given: Any, depth: int = 0) -> Predicate:
    """The predicate of a dict, an expression or a filter. FilterError."""
    if isinstance(given, Filter):
        return given.predicate
    if type(given).__module__.partition(".")[0] == "pyarrow" and type(given).__name__ == "Expression":
        return predicate.of_arrow(given)
    if not isinstance(given, Mapping):
        raise FilterError(f"a filter is a dict, an Arrow expression or a lamina.Filter, not {given!r}")
    if depth == MOST_NESTED:
        raise FilterError(f"a filter nests no deeper than {MOST_NESTED} levels")
    return predicate.all_of([_entry(name, asked, depth + 1) for name, asked in given.items()])


def _entry(name: Any, asked: Any, depth: int) -> Predicate:
    if not isinstance(name, str):
        raise FilterError(f"a field is named by a str, not {name!r}")
    if name in JOINED:
        parts = list(_listed(name, asked))
        if not parts:
            raise FilterError(f"{name} needs at least one filter")
        return JOINED[name]([parse(part, depth) for part in parts])
    if name == "$not":
        return predicate.negated(parse(asked, depth))
    if name.startswith("$"):
        raise FilterError(unknown("operator", name, ["$and", "$or", "$not", *OPERATORS]))
    return _of_field(_text(name), asked, depth)


def _of_field(field: str, asked: Any, depth: int) -> Predicate:
    if not isinstance(asked, Mapping):
        return _operation(field, "$eq", asked, depth)
    if not asked:
        raise FilterError(f"field {field!r} is asked nothing: give a value, or an operator such as $gte")
    for name in asked:
        if not (isinstance(name, str) and name.startswith("$")):
            raise FilterError(f"field {field!r} is compared with a dict: ask {f'{field}.{name}'!r}")
    return predicate.all_of([_operation(field, name, operand, depth) for name, operand in asked.items()])


def _operation(field: str, name: str, operand: Any, depth: int) -> Predicate:
    if name not in OPERATORS:
        raise FilterError(f"{unknown('operator', name, OPERATORS)} (of field {field!r})")
    if name in ("$in", "$nin"):
        found = predicate.one_of(field, _listed(name, operand))
        return found if name == "$in" else predicate.negated(found)
    if name == "$not":
        if depth == MOST_NESTED:
            raise FilterError(f"a filter nests no deeper than {MOST_NESTED} levels")
        if not isinstance(operand, Mapping):
            raise FilterError(f"$not of field {field!r} is of operators, as in {{'$not': {{'$gt': 1}}}}: use $ne")
        return predicate.negated(_of_field(field, operand, depth + 1))
    if name == "$exists":
        if not isinstance(operand, (bool, np.bool_)):
            raise FilterError(f"$exists of field {field!r} is True or False, not {operand!r}")
        found = predicate.exists(field)
        return found if operand else predicate.negated(found)
    if isinstance(operand, (list, tuple, set, frozenset, np.ndarray, Mapping)):
        raise FilterError(f"{name} of field {field!r} takes one value, not {operand!r}: $in takes several")
    if name in ("$eq", "$ne"):
        found = predicate.one_of(field, [operand])
        return found if name == "$eq" else predicate.negated(found)
    return predicate.compared(name[1:], field, operand)


def _listed(name: str, given: Any) -> Iterator[Any]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise FilterError(f"{name} takes a list, not {given!r}")
    return iter(given)


def _text(field: str) -> str:
    try:
        field.encode()
    except UnicodeEncodeError:
        raise FilterError(f"field {field!r} holds lone surrogates, which are no characters") from None
    if not field:
        raise FilterError("a field's name is empty")
    return str.__str__(field)


def unknown(what: str, name: str, there: Iterable[str]) -> str:
    """That there is no such thing, and what is like it."""
    there = list(there)
    near = difflib.get_close_matches(name, there, 3) or there
    shown = ", ".join(map(repr, near[:20])) or "none"
    return f"no {what} {name!r}; {'the nearest' if len(near) < len(there) else 'there'} are: {shown}"


def _restored(node: Predicate) -> Filter:
    made = Filter.__new__(Filter)
    made.predicate = node
    made._hash = hash(node.key)
    return made


def _spelt(node: Predicate) -> str:
    if node.kind in ("and", "or"):
        return (
            f"{{'${node.kind}': [{', '.join(map(_spelt, node.parts))}]}}" if node.parts or node.kind == "or" else "{}"
        )
    if node.kind == "not":
        return f"{{'$not': {_spelt(node.parts[0])}}}"
    if node.kind == "arrow":
        return str(node.values[0])
    if node.kind == "exists":
        return f"{{{node.field!r}: {{'$exists': True}}}}"
    value = list(node.values) if node.kind == "in" else node.values[0]
    return f"{{{node.field!r}: {{'${node.kind}': {value!r}}}}}"
