"""Work that takes time, beside the server's own thread; nobody waits for what is still running when it is stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


_NAME = "explore, in the background"


def is_working() -> bool:
    """Whether work is still running that a server began, which may have been stopped meanwhile."""
    return any(thread.name == _NAME for thread in threading.enumerate())


async def in_background(work: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What the work returns, or raises.

    asyncio's own threads are few, so that some that wait for the model keep all other pages waiting; and the process
    ends only when they do, minutes after Ctrl-C.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if outcome.done():  # cancelled: nobody waits for it any more
            return
        if error is None:
            outcome.set_result(value)
        else:
            outcome.set_exception(error)

    def run() -> None:
        value, error = None, None
        try:
            value = work(*arguments, **options)
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: the server was stopped meanwhile
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, daemon=True, name=_NAME).start()
    return await outcome
