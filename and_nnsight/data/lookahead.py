"""A function over a stream of tasks in a thread of its own: results in order, one made while the last is used.

The thread computes with one torch thread, and this one goes on with all of its own: what is split over threads may
differ in its last bits, and a result must not hang on where it was made. torch counts OpenMP's threads for each thread
by itself, but MKL's for all together; only MKL itself can be told of one.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, Generic, TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")

_IN_FLIGHT = 2  # the one that is waited for, and the one after it
_MKL_HAS_ONE = "mkl_get_max_threads() : 1\n"


def map_ahead(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Generator[Result, None, None]:
    """`map(function, tasks)`, each result made while the one before it is used, where torch lets a thread have one.

    Tasks are made in this thread, one ahead. Closing the iterator ends the thread, after the task that it is at.

    Raises whatever `function` raised, where its result would have come, and what `tasks` raised, likewise.
    """
    pending = Pending(tasks)
    thread = _Thread()
    coming: deque[Future[Result]] = deque()
    try:
        if not _computes_alone(thread):
            yield from map(function, pending)
        while True:
            coming.extend(thread.submit(function, task) for task in islice(pending, _IN_FLIGHT - len(coming)))
            if not coming:
                break
            yield coming.popleft().result()
        if pending.error is not None:
            raise pending.error
    finally:
        thread.end()


class Pending(Generic[Task]):
    """Tasks up to the first that cannot be made; why not is raised where its clip would have come."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        if self.error is not None:
            raise StopIteration
        try:
            return next(self._tasks)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise StopIteration from None


class _Thread:
    """Calls functions one after another. Ends with the process, whatever it is at."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[Any], Any], Any] | None] = queue.SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="clips", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[Task], Result], task: Task) -> Future[Result]:
        future: Future[Result] = Future()
        self._calls.put((future, function, task))
        return future

    def end(self) -> None:
        """Wait for the call that it is at; those after it are not made."""
        self._ended = True
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None and not self._ended:
            future, function, task = call
            try:
                future.set_result(function(task))
            except BaseException as error:
                future.set_exception(error)
            del call, future, function, task  # while it waits it holds nothing


def _computes_alone(thread: _Thread) -> bool:
    """Give a thread one torch thread, and this one all that it had; False where torch does not let them differ."""
    threads = torch.get_num_threads()
    try:
        thread.submit(_take_one_torch_thread, None).result()
    finally:
        torch.set_num_threads(threads)
    return thread.submit(_has_one_torch_thread, None).result()


def _take_one_torch_thread(_: None) -> None:
    torch.get_num_threads()  # a thread has a number of its own from the first question on
    torch.set_num_threads(1)  # of OpenMP for this thread, of MKL for all
    of_this_thread = getattr(ctypes.CDLL(torch._C.__file__), "MKL_Set_Num_Threads_Local", None)
    if of_this_thread is not None:
        of_this_thread(1)


def _has_one_torch_thread(_: None) -> bool:
    counts = torch.__config__.parallel_info()
    return torch.get_num_threads() == 1 and (_MKL_HAS_ONE in counts or "mkl_get_max_threads" not in counts)
