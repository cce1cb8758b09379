"""A function over a stream of tasks in worker processes: results in order, few in flight, no process left behind.

One pipe a worker and nothing shared, so that nothing can be left locked: a worker that dies closes its pipe, which is
seen at once; a parent that dies closes the workers' pipes, and they end. Tensors come back in shared memory.

What is sent goes as `multiprocessing` sends it: between this process and those that it started, nowhere else, and
never to a file.
"""

from __future__ import annotations

import copy
import queue
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
import torch.multiprocessing  # registers how tensors travel in shared memory

Task = TypeVar("Task")
Result = TypeVar("Result")

_PATIENCE = 2.0  # seconds that a worker has to finish its task before it is ended
_LAST_WORD = 30.0  # seconds to learn how a worker ended: on a busy machine its exit code comes late


_ADVICE: dict[int | None, str] = {
    -9: ", most often because memory ran out: use fewer workers or smaller batches",
    1: "; a script that uses workers needs `if __name__ == '__main__':` around its work",
}


class WorkerDied(RuntimeError):
    """A worker process ended by itself: out of memory, most often."""


class _WorkerTraceback(Exception):
    """Where in a worker an exception was raised: shown as its cause."""


class _Failure:
    """An exception on its way home."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.where = "".join(traceback.format_exception(error))
        self.notes = list(getattr(error, "__notes__", ()))
        try:
            copy.deepcopy(error)
        except Exception:  # it cannot be made anew out of what it holds, so not on the other side either
            self.error = _plain(error)

    def without_error(self) -> _Failure:
        """For an exception that cannot be sent: its type and message alone."""
        self.error = _plain(self.error)
        return self

    def restored(self) -> BaseException:
        for note in self.notes:
            if note not in getattr(self.error, "__notes__", ()):
                self.error.add_note(note)
        self.error.__cause__ = _WorkerTraceback(f"\n{self.where}")
        return self.error


def _plain(error: BaseException) -> RuntimeError:
    return RuntimeError(f"{type(error).__name__}: {error}")


def map_in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, num_workers: int, prefetch: int
) -> Generator[Result, None, None]:
    """`map(function, tasks)` in `num_workers` processes, at most `prefetch` tasks ahead in each.

    Each worker gets `function` once, and a task as it is handed out. Closing the iterator ends the processes.

    Raises WorkerDied if a worker ended by itself, whatever `function` raised, where its result would have come, and
    what `tasks` raised, likewise.
    """
    pool: _Pool[Task, Result] = _Pool(function)
    pending = _Pending(tasks)
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


class _Pending(Generic[Task]):
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


class _Worker(Generic[Task, Result]):
    """The parent's end of one worker."""

    def __init__(self, context: Any, number: int) -> None:
        self._pipe, remote = context.Pipe()
        self._process = context.Process(target=_serve, args=(remote,), name=f"clips-{number}", daemon=True)
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
        if isinstance(result, _Failure):
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
        # Not fork: it copies whatever locks the threads of torch or CUDA hold at that moment.
        method = "spawn" if sys.platform in ("win32", "darwin") else "forkserver"
        self._context: Any = torch.multiprocessing.get_context(method)
        if method == "forkserver":  # imports torch once, not once a worker; no effect where the server runs already
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


def _serve(pipe: Connection) -> None:
    """A worker's life: a function and tasks in, results out, until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    try:
        function: Callable[[Any], Any] = pipe.recv()
    except EOFError:
        return
    except Exception as error:  # it cannot be made anew here
        function = _Raise(error)
    inbox: queue.SimpleQueue[_Task | _HungUp | _Failure] = queue.SimpleQueue()
    # A thread empties the pipe, so that the parent is never stuck sending to a worker that is stuck sending to it.
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    while not isinstance(message := inbox.get(), _HungUp):
        try:
            _reply(pipe, message if isinstance(message, _Failure) else _result(function, message.task))
        except OSError:  # the parent hung up
            return


class _Raise:
    """In the place of a function that did not arrive."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, task: Any) -> None:
        raise self._error


class _Task(NamedTuple):
    task: Any


class _HungUp:
    """The parent's end of the pipe is closed."""


def _result(function: Callable[[Any], Any], task: Any) -> Any:
    try:
        return function(task)
    except Exception as error:
        return _Failure(error)


def _reply(pipe: Connection, result: Any) -> None:
    """Send a result, or why it cannot be sent. Raises OSError where the parent hung up."""
    try:
        pipe.send(result)
    except OSError:
        raise
    except Exception as error:
        pipe.send(result.without_error() if isinstance(result, _Failure) else _Failure(error))


def _receive(pipe: Connection, inbox: queue.SimpleQueue[_Task | _HungUp | _Failure]) -> None:
    while True:
        try:
            inbox.put(_Task(pipe.recv()))
        except (EOFError, ConnectionError):
            return inbox.put(_HungUp())
        except Exception as error:  # a task that cannot be made anew here
            inbox.put(_Failure(error))
