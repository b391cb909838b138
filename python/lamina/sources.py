"""Where texts come from: JSONL, CSV and Parquet files, and folders of text files, as `Item`s.

Also what `Collection.refresh` is given by a program: tuples, dicts, frames, Arrow tables. A source is read once, in
order, and never whole. What cannot be read is a ValueError that names the file and the line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ID_FIELDS = ("id", "_id")
TEXT_FIELDS = ("text", "content", "body", "document")
TEXT_SUFFIXES = frozenset({".txt", ".md", ".markdown", ".rst", ".text", ".adoc", ".org", ".tex", ".html", ".htm"})
PARQUET_ROWS = 4096


class Item(NamedTuple):
    """One text of a source."""

    id: int | str
    content: str | None
    metadata: dict[str, Any]


class Source:
    """A file or folder, with the names of its fields: an iterable of `Item`s."""

    def __init__(self, path: str | Path, *, id_field: str | None = None, text_field: str | None = None) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"no file or folder {str(path)!r}")
        self._fields = (id_field, text_field)

    def __iter__(self) -> Iterator[Item]:
        return _read(self.path, *self._fields)


def read(path: str | Path, *, id_field: str | None = None, text_field: str | None = None) -> Iterator[Item]:
    """The items of a file or folder; what kind it is says its name (.jsonl, .ndjson, .csv, .tsv, .parquet, a folder).

    Fields that are neither the id nor the text are metadata. Without `id_field` and `text_field` the first of the usual
    names that the first row has is taken. ValueError for anything that is not of this form, FileNotFoundError.
    """
    return iter(Source(path, id_field=id_field, text_field=text_field))


def _read(path: Path, id_field: str | None, text_field: str | None) -> Iterator[Item]:
    if path.is_dir():
        return _folder(path)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        return _items(_jsonl(path), id_field, text_field)
    if suffix in (".csv", ".tsv"):
        return _items(_csv(path, "\t" if suffix == ".tsv" else ","), id_field, text_field)
    if suffix in (".parquet", ".pq"):
        return _items(_parquet(path), id_field, text_field)
    raise ValueError(f"{path} is of no known kind: give a folder, or a .jsonl, .csv, .tsv or .parquet file")


def items(source: Any) -> Iterator[Item]:
    """The items of whatever a program hands over.

    A path or `Source`; an iterable of `(id, content)`, `(id, content, metadata)` or dicts with an id and a text field;
    a pandas or polars frame; an Arrow table. A dict's `metadata`, if it holds a dict, and other keys are metadata.
    """
    if isinstance(source, (str, Path)):
        return read(source)
    if isinstance(source, Source):
        return iter(source)
    if hasattr(source, "__arrow_c_stream__") or type(source).__module__.partition(".")[0] in ("pandas", "polars"):
        return _items(_table(source), None, None)
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise TypeError(f"a source is an iterable of tuples or dicts, a frame or a path, not a {type(source).__name__}")
    return _from_iterable(source)


def size(source: Any) -> int:
    """How many items a source has, where that is cheap to know; else 0."""
    source = source.path if isinstance(source, Source) else source
    if not isinstance(source, (str, Path)):
        return len(source) if hasattr(source, "__len__") else 0
    path = Path(source)
    if path.suffix.lower() in (".jsonl", ".ndjson") and path.is_file():
        with path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return 0


def _from_iterable(source: Iterable[Any]) -> Iterator[Item]:
    for at, item in enumerate(source):
        if isinstance(item, Mapping):
            yield from _items([(f"item {at}", dict(item))], None, None)
        elif isinstance(item, tuple) and len(item) in (2, 3):
            metadata = item[2] if len(item) == 3 else None
            yield _item(f"item {at}", item[0], item[1], {} if metadata is None else metadata)
        else:
            raise ValueError(f"item {at} of the source is {item!r}: give (id, content[, metadata]) or a dict")


def _items(rows: Iterable[tuple[str, dict[str, Any]]], id_field: str | None, text_field: str | None) -> Iterator[Item]:
    for where, row in rows:
        if id_field is None:
            id_field = _choose(where, row, ID_FIELDS, "id_field")
        if text_field is None:
            text_field = _choose(where, row, TEXT_FIELDS, "text_field")
        if id_field not in row:
            raise ValueError(f"{where} has no field {id_field!r}; it has {', '.join(map(repr, row))}")
        key, content = row.pop(id_field), row.pop(text_field, None)
        if isinstance(nested := row.get("metadata"), dict):
            row = {**row, "metadata": None, **nested}
        yield _item(where, key, content, row)


def _item(where: str, key: object, content: object, metadata: object) -> Item:
    if isinstance(key, bool) or not isinstance(key, (int, str)):
        raise ValueError(f"{where}: an id is an int or a str, not {key!r}")
    if content is not None and not isinstance(content, str):
        raise ValueError(f"{where}: a text is a str, not {content!r}")
    if not isinstance(metadata, Mapping):
        raise ValueError(f"{where}: metadata is a dict, not {metadata!r}")
    return Item(key, content, {name: value for name, value in metadata.items() if value is not None})


def _choose(where: str, row: Mapping[str, Any], usual: tuple[str, ...], option: str) -> str:
    for name in usual:
        if name in row:
            return name
    raise ValueError(
        f"{where} has none of the fields {', '.join(map(repr, usual))}; it has {', '.join(map(repr, row))}: name one "
        f"with {option}= (--{option.replace('_', '-')})"
    )


def _jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"{where} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{where} is not a JSON object but {row!r:.60}")
            yield where, row


def _csv(path: Path, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or None in row.values():
                    raise ValueError(f"{where} has another number of fields than the first line")
                yield where, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}:{reader.line_num} is not CSV in UTF-8: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(PARQUET_ROWS):
                for fields in batch.to_pylist():
                    yield f"{path} row {row}", fields
                    row += 1
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not Parquet: {error}") from error


def _table(source: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    from lamina import columns

    table: Any = columns.as_table(source)
    row = 0
    for batch in table.to_batches(PARQUET_ROWS):
        for fields in batch.to_pylist():
            yield f"row {row}", fields
            row += 1


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
