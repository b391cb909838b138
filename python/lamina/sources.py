"""Where texts come from: JSONL, CSV and Parquet files, and folders of text files, as `Item`s.

Also what `Collection.refresh` is given by a program: tuples, dicts, frames, Arrow tables. A source is read once, in
order, and never whole. What cannot be read is a ValueError that names the file and the line.

An id may be a pair `(source_id, chunk_id)`: the record is then `source_id#chunk_id`, and the chunks of one source,
which come one after another, are replaced together.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ID_FIELDS = ("id", "_id")
TEXT_FIELDS = ("text", "content", "body", "document")
TEXT_SUFFIXES = frozenset({".txt", ".md", ".markdown", ".rst", ".text", ".adoc", ".org", ".tex", ".html", ".htm"})
PARQUET_ROWS = 4096
CHUNK_MARK = "#"


class Item(NamedTuple):
    """One text of a source."""

    id: int | str
    content: str | None
    metadata: dict[str, Any]
    source: str | None = None  # the source_id of a chunk


class Fields(NamedTuple):
    """The names of the fields of dicts and of files with columns; None: the first usual name that the first row has."""

    id: str | None = None
    text: str | None = None
    source: str | None = None  # where one is named, an id is a chunk_id within it


def items(source: Any, fields: Fields | None = None) -> Iterator[Item]:
    """The items of whatever a program hands over.

    The path of a file, whose name says of what kind it is (.jsonl, .ndjson, .csv, .tsv, .parquet), or of a folder; an
    iterable of `(id, content)`, `(id, content, metadata)` or dicts; a pandas or polars frame; an Arrow table. Fields
    that are neither the id nor the text are metadata, and so is what a field `metadata` holds, if that is a dict.
    ValueError for anything that is not of this form, FileNotFoundError.
    """
    fields = fields or Fields()
    if isinstance(source, (str, Path)):
        return _read(Path(source), fields)
    if hasattr(source, "__arrow_c_stream__") or type(source).__module__.partition(".")[0] in ("pandas", "polars"):
        return _items(_table(source), fields, "row {}")
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise TypeError(
            f"a source is an iterable of tuples or dicts, a frame, a path, or a callable, not a {type(source).__name__}"
        )
    return _from_iterable(source, fields)


def _read(path: Path, fields: Fields) -> Iterator[Item]:
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}")
    if path.is_dir():
        return _folder(path)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return _items(_jsonl(path), fields, f"{_plain(path)}:{{}}")
    if suffix in (".csv", ".tsv"):
        return _items(_csv(path, "\t" if suffix == ".tsv" else ","), fields, f"{_plain(path)}:{{}}")
    if suffix in (".parquet", ".pq"):
        return _items(_parquet(path), fields, f"{_plain(path)} row {{}}")
    raise ValueError(f"{path} is of no known kind: give a folder, or a .jsonl, .csv, .tsv or .parquet file")


def size(source: Any) -> int:
    """How many items a source has, where that is cheap to know; else 0."""
    if not isinstance(source, (str, Path)):
        return len(source) if hasattr(source, "__len__") else 0
    path = Path(source)
    if path.suffix.lower() in (".jsonl", ".ndjson") and path.is_file():
        with path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return 0


def _from_iterable(source: Iterable[Any], fields: Fields) -> Iterator[Item]:
    for at, item in enumerate(source):
        if isinstance(item, Item):
            yield item
        elif isinstance(item, tuple) and len(item) in (2, 3):
            metadata = item[2] if len(item) == 3 else None
            yield _item(f"item {at}", item[0], item[1], {} if metadata is None else metadata)
        elif isinstance(item, Mapping):
            yield from _items([(at, dict(item))], fields, "item {}")
        else:
            raise ValueError(f"item {at} of the source is {item!r}: give (id, content[, metadata]) or a dict")


def _items(rows: Iterable[tuple[int, dict[str, Any]]], fields: Fields, where: str) -> Iterator[Item]:
    """`where`: the place of a row, to be formatted with its number."""
    id_field, text_field, source_field = fields
    for number, row in rows:
        if id_field is None:
            id_field = _choose(where.format(number), row, ID_FIELDS, "id_field")
        if text_field is None:
            text_field = _choose(where.format(number), row, TEXT_FIELDS, "text_field")
        for name in (id_field, source_field):
            if name is not None and name not in row:
                raise ValueError(f"{where.format(number)} has no field {name!r}; it has {', '.join(map(repr, row))}")
        key, content = row.pop(id_field), row.pop(text_field, None)
        if source_field is not None:
            key = (row[source_field], key)
        if isinstance(nested := row.get("metadata"), dict):
            del row["metadata"]
            for name in nested.keys() & row.keys():
                if row[name] is not None and nested[name] is not None:
                    raise ValueError(f"{where.format(number)} has the field {name!r} twice, once in 'metadata'")
            row = {**row, **{name: value for name, value in nested.items() if value is not None}}
        if type(key) in (str, int) and type(content) is str and None not in row.values():
            yield Item(key, content, row)  # as nearly all are
        else:
            yield _item(where.format(number), key, content, row)


def _item(where: str, key: object, content: object, metadata: object) -> Item:
    if content is not None and not isinstance(content, str):
        raise ValueError(f"{where}: a text is a str, not {content!r}")
    if type(metadata) is not dict and not isinstance(metadata, Mapping):
        raise ValueError(f"{where}: metadata is a dict, not {metadata!r}")
    given = {name: value for name, value in metadata.items() if value is not None}
    if isinstance(key, tuple) and len(key) == 2:
        source, chunk = (_key(where, part) for part in key)
        if CHUNK_MARK in str(chunk):
            raise ValueError(f"{where}: a chunk_id has no {CHUNK_MARK!r}, which {chunk!r} has")
        return Item(f"{source}{CHUNK_MARK}{chunk}", content, given, str(source))
    return Item(_key(where, key), content, given)


def _key(where: str, key: object) -> int | str:
    if isinstance(key, bool) or not isinstance(key, (int, str)):
        raise ValueError(f"{where}: an id is an int or a str, not {key!r}, or a pair (source_id, chunk_id)")
    return key


def _choose(where: str, row: Mapping[str, Any], usual: tuple[str, ...], option: str) -> str:
    for name in usual:
        if name in row:
            return name
    raise ValueError(
        f"{where} has none of the fields {', '.join(map(repr, usual))}; it has {', '.join(map(repr, row))}: name one "
        f"with {option}= (--{option.replace('_', '-')})"
    )


def _plain(path: Path) -> str:
    """A path as a part of a format."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    decode = json.JSONDecoder().decode
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                row = decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"{path}:{number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}:{number} is not a JSON object but {row!r:.60}")
            yield number, row


def _csv(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            _refuse_twice(path, reader.fieldnames or ())
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"{path}:{reader.line_num} has another number of fields than the first line")
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}:{reader.line_num} is not CSV in UTF-8: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _refuse_twice(path, file.schema_arrow.names)
            yield from _rows(file.iter_batches(PARQUET_ROWS))
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not Parquet: {error}") from error


def _table(source: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    from lamina import columns

    table: Any = columns.as_table(source)
    _refuse_twice("the source", table.column_names)
    return _rows(table.to_batches(PARQUET_ROWS))


def _refuse_twice(where: object, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"{where} has the field {max(names, key=names.count)!r} twice")


def _rows(batches: Iterable[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    from lamina import columns

    return enumerate(row for batch in batches for row in columns.listed(batch.to_struct_array()))


def _folder(path: Path) -> Iterator[Item]:
    """Every text file below a folder, by name: its id is its path from there. Hidden files and folders are left out."""
    for file in sorted(path.rglob("*")):
        inner = file.relative_to(path)
        if file.suffix.lower() not in TEXT_SUFFIXES or any(part.startswith(".") for part in inner.parts):
            continue
        if file.is_file():
            try:
                yield Item(inner.as_posix(), file.read_text(encoding="utf-8"), {})
            except UnicodeDecodeError as error:
                raise ValueError(f"{file} is not UTF-8: {error}") from error
