"""Waiting for embedders that are coroutines, from code that is not."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# Where the coroutines of this context run; None: on a loop of lamina's own, in a thread of its own.
loop: contextvars.ContextVar[asyncio.AbstractEventLoop | None] = contextvars.ContextVar("loop", default=None)


def settled(result: Any) -> Any:
    """What an awaitable comes to, waited for here; anything else as it is."""
    if not inspect.isawaitable(result):
        return result
    return asyncio.run_coroutine_threadsafe(_await(result), loop.get() or _own_loop(os.getpid())).result()


async def in_thread(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """What `work` returns, done in a thread; coroutines in it run on this loop. Cancelled, it is told to stop."""
    running = asyncio.get_running_loop()
    context = contextvars.copy_context()
    context.run(loop.set, running)
    done = running.run_in_executor(None, lambda: context.run(work))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([done])
        done.exception()
        raise


async def _await(result: Any) -> Any:
    return await result


@functools.lru_cache(maxsize=1)
def _own_loop(pid: int) -> asyncio.AbstractEventLoop:
    """One of each process: a fork does not take the thread along."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name=f"lamina-embedders-{pid}", daemon=True).start()
    return made
