"""`lamina demo`: what lamina is for, shown on texts that every machine has, Python's own docstrings."""

from __future__ import annotations

import ast
import contextlib
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import lamina
from lamina.sources import Item

QUESTIONS = (
    "read and write CSV files",
    "join two path components",
    "compress a bytes object with gzip",
    "insert an item into a sorted list and keep it sorted",
    "create a temporary directory",
)
NOT_FOR_READERS = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "site-packages", "__pycache__", "encodings"}
EDITED = 25
TAKEN_AWAY = 10


def run(keep: str | None = None) -> int:
    """Runs the demo; the store stays if `keep` says where. Returns the exit code."""
    with contextlib.ExitStack() as stack:
        if keep is None:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lamina-demo-"))) / "demo.lamina"
        else:
            path = Path(keep)
            if path.exists():
                raise FileExistsError(f"{path} is there already: give --keep a path that is not")
        _show(path)
        if keep is not None:
            _say(f'\nThe store stays in {path}. Try:\n  lamina search {path} "sort a list"\n  lamina info {path}')
    return 0


def _show(path: Path) -> None:
    _say("lamina keeps texts and their vectors in one directory, and keeps them right. A minute's tour.\n")
    with _Step("Reading the docstrings of Python's standard library") as step:
        texts = list(docstrings())
        if not texts:
            raise FileNotFoundError("this Python comes without the sources of its standard library")
        step.result = f"{len(texts):,} texts"
    before = _fill(path, texts)
    _edit(path, texts)
    _refuse(path)
    _migrate(path)
    _reopen(path, before)
    _say(
        "\nThat is the whole idea: a directory that you can copy, searched in well under a millisecond, where every\n"
        "write is on the disk before it returns, nothing is embedded twice, and two models never meet in one search."
    )


def _fill(path: Path, texts: list[Item]) -> list[str]:
    """Indexes the texts and asks the questions; returns the first answer of each."""
    with lamina.open(path, create=True) as store:
        docs = store.create_collection("docs", model="hash:384")
        with _Step("Embedding and storing them (hash:384, built in, no download)") as step:
            report = docs.refresh(texts)
            step.result = f"{report.embedded:,} embedded; each batch was on the disk before the next began"
        with _Step("Building the search graph for the fastest reads") as step:
            docs.optimize()
            stats = store.stats()["collections"]["docs"]
            step.result = f"{stats['vectors']:,} vectors in {stats['vector_segments']} segment(s)"
        _say(
            "\nFive questions. (This embedder knows words and parts of words, not meaning: a neural model knows more.)"
        )
        return [_ask(docs, question) for question in QUESTIONS]


def _ask(docs: lamina.Collection, question: str) -> str:
    vector = docs.model.embed_query([question])[0]
    docs.search(vector, k=3)  # the first touch of a file is slower
    started = time.perf_counter()
    hits = cast(lamina.Hits, docs.search(vector, k=3))
    took = time.perf_counter() - started
    _say(f"  “{question}”   ({took * 1e6:.0f} µs)")
    for id, distance, content in zip(hits.ids, hits.distances, hits.content, strict=True):
        _say(f"     {distance:.3f}  {id:<40} {_first_line(content)}")
    return str(hits.ids[0])


def _edit(path: Path, texts: list[Item]) -> None:
    edited = texts[:-TAKEN_AWAY]
    places = range(0, len(edited), max(1, len(edited) // EDITED))
    for at in places:
        edited[at] = edited[at]._replace(content=f"{edited[at].content} (edited)")
    _say("")
    with lamina.open(path) as store:
        docs = store.get_collection("docs")
        what = f"Changing {len(places)} of the texts, taking {TAKEN_AWAY} away, and refreshing from all {len(edited):,}"
        with _Step(what) as step:
            report = docs.refresh(edited, delete="missing")
            step.result = (
                f"{report.embedded} embedded, {report.deleted} deleted, {report.unchanged:,} left as they were"
            )
        with _Step("Refreshing once more, with nothing changed") as step:
            step.result = f"{docs.refresh(edited, delete='missing').embedded} embedded"


def _refuse(path: Path) -> None:
    other = lamina.Model("a-newer-model", revision="2", dim=384)
    with lamina.open(path) as store:
        docs = store.get_collection("docs")
        with _Step("Searching with a vector of another model, of the same length") as step:
            try:
                docs.search(other.tag(docs.model.embed_query(["whatever"])[0]))
                step.result = "answered, which must not be"
            except lamina.ModelMismatchError:
                step.result = "refused: its distances would look right and mean nothing"
        with _Step("Refreshing with an embedder that changed behind the same name") as step:
            try:
                docs.refresh([("new", "a new text")], embed=lambda texts: docs.model.embed([t[::-1] for t in texts]))
                step.result = "embedded, which must not be"
            except lamina.ModelMismatchError:
                step.result = "refused: a few fixed texts, embedded before each refresh, gave other vectors"


def _migrate(path: Path) -> None:
    _say("")
    with lamina.open(path) as store:
        docs = store.get_collection("docs")
        m = docs.migrate(to="hash:256")
        with _Step("Embedding everything with another model, beside the vectors that are searched") as step:
            report = m.run()
            step.result = f"{report.stored:,} vectors of {m.model.dim} dimensions, while {docs.model.dim} are served"
        with _Step("Cutting over to it, in one step") as step:
            m.cutover()
            docs.upsert(["late"], content=["written by the new model alone"])
            step.result = f"{docs.model.dim} dimensions are served"
        with _Step("Rolling back, with what was written since") as step:
            m.rollback()
            found = docs.search("written by the new model alone", k=1).ids[0]
            step.result = f"{docs.model.dim} dimensions are served, and the late record is found: {found!r}"
        m.abort()
        docs.delete(["late"])


def _reopen(path: Path, before: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        with _Step("Closing the store and opening it again") as step:
            store = stack.enter_context(lamina.open(path))
            docs = store.get_collection("docs")
            docs.search(QUESTIONS[0], k=1)
            step.result = f"{len(docs):,} records, first answer included"
        after = [str(docs.search(question, k=1).ids[0]) for question in QUESTIONS]
        same = sum(old == new for old, new in zip(before, after, strict=True))
        _say(f"  {same} of {len(before)} questions have the first answer that they had before")
        with _Step("Verifying every byte") as step:
            report = store.verify()
            step.result = f"{report.files} files, {report.bytes / 1e6:.1f} MB, sound"


def docstrings() -> Iterator[Item]:
    """The docstrings of the standard library's public modules, classes and functions, parsed and never imported."""
    root = Path(sysconfig.get_paths()["stdlib"])
    seen: set[int | str] = set()
    for name in sorted(sys.stdlib_module_names):
        package = root / name
        files = sorted(package.rglob("*.py")) if package.is_dir() else [root / f"{name}.py"]
        for file in files:
            parts = file.relative_to(root).with_suffix("").parts
            if name.startswith("_") or NOT_FOR_READERS & set(parts):
                continue
            for item in _of_file(file, ".".join(parts).removesuffix(".__init__")):
                if item.id not in seen:
                    seen.add(item.id)
                    yield item


def _of_file(file: Path, module: str) -> Iterator[Item]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes in old sources
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    yield from _of_node(tree, module, module)


def _of_node(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str, module: str
) -> Iterator[Item]:
    text = ast.get_docstring(node)
    if text:
        kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
        yield Item(name, f"{name}: {text}", {"module": module, "kind": kind})
    for child in node.body if isinstance(node, (ast.Module, ast.ClassDef)) else ():
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith("_"):
            yield from _of_node(child, f"{name}.{child.name}", module)


class _Step:
    """`with _Step(what) as step: …; step.result = …` prints what was done, what came of it, and how long it took."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.result = ""

    def __enter__(self) -> _Step:
        print(f"• {self._what} … ", end="", flush=True)
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        took = time.perf_counter() - self._started
        shown = f"{took:.1f} s" if took >= 1 else f"{took * 1000:.0f} ms" if took >= 0.01 else f"{took * 1000:.1f} ms"
        print(f"{shown}\n  {self.result}" if kind is None else "")


def _first_line(text: str | None) -> str:
    line = (text or "").partition(": ")[2].strip().partition("\n")[0]
    return line if len(line) <= 70 else line[:69] + "…"


def _say(text: str) -> None:
    print(text)
