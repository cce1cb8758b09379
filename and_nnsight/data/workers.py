"""A function over a stream of tasks in worker processes: results in order, few in flight, no process left behind.

One pipe a worker and nothing shared, so that nothing can be left locked: a worker that dies closes its pipe, which is
seen at once; a parent that dies closes the workers' pipes, and they end. Tensors come back in shared memory.

What is sent goes as `multiprocessing` sends it: between this process and those that it started, nowhere else, and
never to a file.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing import forkserver
from typing import Any, Generic, TypeVar, cast

import torch
import torch.multiprocessing  # registers how tensors travel in shared memory

from .lookahead import Pending
from .serving import Failure, serve

Task = TypeVar("Task")
Result = TypeVar("Result")
TaskMap = Callable[[Callable[[Any], Any], Iterable[Any], int], Generator[Any, None, None]]
"""What `map_in_order` does, elsewhere: a function, its tasks, and how many of these may be in flight a worker."""

# Not fork: it copies whatever locks the threads of torch or CUDA hold at that moment.
_METHOD = "spawn" if sys.platform in ("win32", "darwin") else "forkserver"
_PATIENCE = 2.0  # seconds that a worker has to finish its task before it is ended
_LAST_WORD = 30.0  # seconds to learn how a worker ended: on a busy machine its exit code comes late
_ADVICE: dict[int | None, str] = {
    -9: ", most often because memory ran out: use fewer workers or smaller batches",
    1: "; a script that uses workers needs `if __name__ == '__main__':` around its work",
}


def import_for_workers(modules: Sequence[str]) -> None:
    """Begin to import what workers will need, in the process that they are forked from: once, not once a worker.

    It returns at once, so that the imports take place while the caller does something else. Without effect where
    workers are not forked, or that process runs already.
    """
    if _METHOD == "forkserver":
        torch.multiprocessing.get_context(_METHOD).set_forkserver_preload(list(modules))
        forkserver.ensure_running()


class WorkerDied(RuntimeError):
    """A worker process ended by itself: out of memory, most often."""


def map_in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, num_workers: int, prefetch: int
) -> Generator[Result, None, None]:
    """`map(function, tasks)` in `num_workers` processes, at most `prefetch` tasks ahead in each.

    Each worker gets `function` once, and a task as it is handed out. Closing the iterator ends the processes.

    Raises WorkerDied if a worker ended by itself, whatever `function` raised, where its result would have come, and
    what `tasks` raised, likewise.
    """
    pool: _Pool[Task, Result] = _Pool(function)
    pending = Pending(tasks)
    in_flight: deque[_Worker[Task, Result]] = deque()
    turn = 0
    try:
        while True:
            for task in islice(pending, num_workers * prefetch - len(in_flight)):
                if turn < num_workers:
                    pool.add()
                worker = pool.workers[turn % num_workers]
                worker.send(task)
                in_flight.append(worker)
                turn += 1
            if not in_flight:
                break
            yield in_flight.popleft().receive()
        if pending.error is not None:
            raise pending.error
    finally:
        pool.close()


class _Worker(Generic[Task, Result]):
    """The parent's end of one worker."""

    def __init__(self, context: Any, number: int) -> None:
        self._pipe, remote = context.Pipe()
        self._process = context.Process(target=serve, args=(remote,), name=f"clips-{number}", daemon=True)
        self._process.start()
        remote.close()

    def send_function(self, function: Callable[[Task], Result]) -> None:
        try:
            self._send(function)
        except Exception as error:
            raise TypeError(f"worker processes need a function that can be pickled: {error}") from error

    def send(self, task: Task) -> None:
        self._send(task)

    def _send(self, value: Any) -> None:
        with suppress(OSError):  # a dead worker: `receive` says so, after the results that it still sent
            self._pipe.send(value)

    def receive(self) -> Result:
        try:
            result = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if isinstance(result, Failure):
            raise result.restored()
        return cast("Result", result)

    def _died(self) -> WorkerDied:
        self._process.join(_LAST_WORD)
        code = self._process.exitcode
        if code is not None and code < 0:
            end = f"was ended by {signal.Signals(-code).name}"
        else:
            end = f"ended with exit code {code}"
        return WorkerDied(f"worker process {self._process.pid} {end}{_ADVICE.get(code, '')}")

    def hang_up(self) -> None:
        self._pipe.close()

    def end(self) -> None:
        self._process.join(_PATIENCE)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._process.close()


class _Pool(Generic[Task, Result]):
    def __init__(self, function: Callable[[Task], Result]) -> None:
        self._function = function
        self._context: Any = torch.multiprocessing.get_context(_METHOD)
        if _METHOD == "forkserver":  # no effect where the server runs already
            self._context.set_forkserver_preload([type(function).__module__])
        self.workers: list[_Worker[Task, Result]] = []

    def add(self) -> None:
        worker: _Worker[Task, Result] = _Worker(self._context, len(self.workers))
        self.workers.append(worker)
        worker.send_function(self._function)

    def close(self) -> None:
        for worker in self.workers:
            worker.hang_up()
        for worker in self.workers:
            worker.end()
