"""What has to be measured in a process of its own: a build, an opening, the memory of 20,000 queries.

`in_fresh_process` starts one and returns what it measured; `python -m bench.worker` is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers import BY_NAME

QUERIES_FOR_MEMORY = 20_000


def in_fresh_process(task: str, **arguments: Any) -> dict[str, float]:
    """Raises RuntimeError with what the process said, should it fail."""
    command = [sys.executable, "-m", "bench.worker", task, json.dumps(arguments, default=str)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise RuntimeError(f"{task} of {arguments.get('peer')}: {said[-1]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def build(peer: str, metric: str, vectors: str, path: str, threads: int) -> dict[str, float]:
    """Seconds from the first row handed over to the state that is then searched; leaves the index at `path`."""
    index, rows = BY_NAME[peer](metric), np.load(vectors)
    began = time.perf_counter()
    index.build(rows, threads)
    seconds = time.perf_counter() - began
    if path:
        index.save(Path(path))
    return {"seconds": seconds}


def opening(peer: str, metric: str, queries: str, path: str, rows: int, breadth: int, k: int) -> dict[str, float]:
    """Seconds from nothing but an imported module to the first answer, and to the hundredth."""
    index, asked = BY_NAME[peer](metric), np.load(queries)
    __import__(index.module)
    prepared = [index.prepare(query) for query in asked[:100]]
    began = time.perf_counter()
    index.load(Path(path), asked.shape[1], rows)
    index.set_breadth(breadth)
    search = index.one(k)
    search(prepared[0])
    first = time.perf_counter() - began
    for query in prepared[1:]:
        search(query)
    return {"first": first, "hundred": time.perf_counter() - began}


def memory(peer: str, metric: str, queries: str, path: str, rows: int, breadth: int, k: int) -> dict[str, float]:
    """Megabytes that the process grew by, from before the opening to the peak of 20,000 queries (Linux)."""
    index, asked = BY_NAME[peer](metric), np.load(queries)
    __import__(index.module)
    prepared = [index.prepare(query) for query in asked]
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = status("VmRSS")
    index.load(Path(path), asked.shape[1], rows)
    index.set_breadth(breadth)
    search = index.one(k)
    for number in range(QUERIES_FOR_MEMORY):
        search(prepared[number % len(prepared)])
    return {"megabytes": (status("VmHWM") - before) / 1024}


def status(field: str) -> int:
    """A line of /proc/self/status, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


TASKS: dict[str, Callable[..., dict[str, float]]] = {"build": build, "open": opening, "memory": memory}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
