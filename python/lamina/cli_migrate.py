"""`lamina migrate plan | run | status | evaluate | cutover | rollback | finalize | abort`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lamina

if TYPE_CHECKING:
    from lamina.migrate import Migration

FAILED_SHOWN = 10
Action = Callable[["Migration", argparse.Namespace], int]


def add(commands: Any, budget: Callable[[str], Any], positive: Callable[[str], int]) -> None:
    """The command, to the others."""
    text = "change the model of a collection, while it is read and written"
    command = commands.add_parser("migrate", help=text, description=text[0].upper() + text[1:])
    actions = command.add_subparsers(metavar="ACTION", required=True)
    for name, run, help in ACTIONS:
        action = actions.add_parser(name, help=help, description=help[0].upper() + help[1:])
        action.set_defaults(run=_runner(run, read_only=name in ("plan", "status", "evaluate")))
        action.add_argument("store", metavar="STORE")
        action.add_argument("--collection", help="(default: the only one)")
        action.add_argument("--json", action="store_true", help="print JSON")
        if name in ("plan", "run"):
            action.add_argument("--to", help="the new model: hash:DIM, … (default: that of the open migration)")
        if name in ("plan", "run", "rollback"):
            action.add_argument("--embed", help="the embedder, if the model names none: module:callable, …")
        if name == "run":
            action.add_argument(
                "--batch-size", type=positive, help="texts embedded and written together (default: 512)"
            )
            action.add_argument("--budget", type=budget, help="stop before it is exceeded: 2.50, 100000tokens or 60s")
        if name in ("evaluate", "cutover"):
            action.add_argument("--golden", metavar="FILE", help='JSONL of {"query": TEXT, "relevant": [ID, …]}')
            action.add_argument("--min-recall", type=float, help="that the golden queries must reach (of 1)")
        if name == "cutover":
            action.add_argument("--force", action="store_true", help="though records that failed have no vector")
        if name == "rollback":
            action.add_argument("--allow-missing", action="store_true", help="though records since have no vector")


def _runner(run: Action, read_only: bool) -> Callable[[argparse.Namespace], int]:
    def runner(arguments: argparse.Namespace) -> int:
        from lamina.cli import model_of, only

        with lamina.open(arguments.store, read_only=read_only) as store:
            docs = store.get_collection(only(store, arguments.collection))
            to = getattr(arguments, "to", None)
            embed = arguments.embed if run in (_plan, _run) else None
            gate = _gate(arguments) if run in (_evaluate, _cutover) else None
            m = docs.migrate(to=None if to is None else model_of(to), embed=embed, gate=gate)
            return run(m, arguments)

    return runner


def _plan(m: Migration, arguments: argparse.Namespace) -> int:
    return _show(m.plan(), arguments)


def _run(m: Migration, arguments: argparse.Namespace) -> int:
    report = m.run(batch_size=arguments.batch_size or "auto", budget=arguments.budget)
    status = m.status()
    if arguments.json:
        print(json.dumps({**report.to_dict(), "status": status.to_dict()}))
    else:
        took = f"in {report.seconds:.1f} s"
        print(f"{report.stored:,} vectors stored, {report.embedded:,} texts embedded {took}; {status}")
    for id, why in list(status.failed.items())[:FAILED_SHOWN]:
        print(f"lamina: {id!r} failed: {why}", file=sys.stderr)
    if report.stopped:
        print(f"lamina: stopped: {report.stopped}", file=sys.stderr)
    return 0 if report.ok else 1


def _status(m: Migration, arguments: argparse.Namespace) -> int:
    return _show(m.status(), arguments)


def _gate(arguments: argparse.Namespace) -> lamina.Gate | None:
    """What --golden and --min-recall ask; a query without `relevant` asks for the old model's neighbours."""
    if arguments.golden is None:
        return None
    rows = [json.loads(line) for line in Path(arguments.golden).read_text().splitlines() if line.strip()]
    golden = [(row["query"], row.get("relevant")) for row in rows]
    return lamina.Gate(golden, min_recall=arguments.min_recall)


def _evaluate(m: Migration, arguments: argparse.Namespace) -> int:
    found = m.evaluate()
    _show(found, arguments)
    return 0 if found.ok else 1


def _cutover(m: Migration, arguments: argparse.Namespace) -> int:
    m.cutover(force=arguments.force)
    return _show(m.status(), arguments)


def _rollback(m: Migration, arguments: argparse.Namespace) -> int:
    m.rollback(embed=arguments.embed, allow_missing=arguments.allow_missing)
    return _show(m.status(), arguments)


def _finalize(m: Migration, arguments: argparse.Namespace) -> int:
    m.finalize()
    return _show(m.status(), arguments)


def _abort(m: Migration, arguments: argparse.Namespace) -> int:
    m.abort()
    return _show(m.status(), arguments)


def _show(what: Any, arguments: argparse.Namespace) -> int:
    print(json.dumps(what.to_dict()) if arguments.json else what)
    return 0


ACTIONS = (
    ("plan", _plan, "what it would take: texts, tokens, cost, disk, hours"),
    ("run", _run, "fill the new generation; goes on where it was"),
    ("status", _status, "how it stands"),
    ("evaluate", _evaluate, "ask golden queries of both models"),
    ("cutover", _cutover, "serve the new model"),
    ("rollback", _rollback, "serve the old model again"),
    ("finalize", _finalize, "end it: the old vectors go"),
    ("abort", _abort, "end it: the new vectors go"),
)
