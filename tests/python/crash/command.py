"""What the commands beside this file share: their arguments, a folder of their own, and a report in one line."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run_as_command(description: str | None, run: Callable[..., dict[str, Any]], **counts: int) -> None:
    """Calls run(folder, *counts, seed), each count by its default here or as the command line has it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in {**counts, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=f"{count} by default")
    arguments = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="lamina-crash-") as folder:
        started = time.monotonic()
        report = run(Path(folder), *arguments.values())
        print(json.dumps({**report, "seconds": round(time.monotonic() - started, 1)}))
