"""A function over a stream of tasks in worker processes: results in order, few in flight, no process left behind.

One pipe a worker and nothing shared, so that nothing can be left locked: a worker that dies closes its pipe, which is
seen at once; a parent that dies closes the workers' pipes, and they end. Tensors come back in shared memory.

Tasks and results are pickled, as everything between Python's processes is; none of it is ever written to a file, or
read from anywhere but these pipes.
"""

from __future__ import annotations

import pickle
import queue
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar, cast

import torch
import torch.multiprocessing  # registers how tensors travel in shared memory

Task = TypeVar("Task")
Result = TypeVar("Result")

_PATIENCE = 2.0  # seconds that a worker has to finish its task before it is ended
_LAST_WORD = 30.0  # seconds to learn how a worker ended: on a busy machine its exit code comes late


class WorkerDied(RuntimeError):
    """A worker process ended by itself: out of memory, most often."""


class _WorkerTraceback(Exception):
    """Where in a worker an exception was raised: shown as its cause."""


class _Failure:
    """An exception on its way home."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.where = "".join(traceback.format_exception(error))
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # whatever its pickling raises
            self.error = RuntimeError(f"{type(error).__name__}: {error}")
        self.notes = list(getattr(error, "__notes__", ()))

    def restored(self) -> BaseException:
        for note in self.notes:
            if note not in getattr(self.error, "__notes__", ()):
                self.error.add_note(note)
        self.error.__cause__ = _WorkerTraceback(f"\n{self.where}")
        return self.error


def map_in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, num_workers: int, prefetch: int
) -> Generator[Result, None, None]:
    """`map(function, tasks)` in `num_workers` processes, at most `prefetch` tasks ahead in each.

    `function` is pickled once, each task as it is handed out. Closing the iterator ends the processes.

    Raises:
        WorkerDied: a worker ended by itself.
        Exception: whatever `function` raised, where its result would have come; what `tasks` raised, likewise.
    """
    pool: _Pool[Task, Result] = _Pool(function)
    pending = iter(tasks)
    in_flight: deque[_Worker[Task, Result]] = deque()
    trouble: Exception | None = None
    turn = 0
    try:
        while True:
            while trouble is None and len(in_flight) < num_workers * prefetch:
                try:
                    task = next(pending)
                except StopIteration:
                    break
                except Exception as error:  # raised where its clip would have come, after the batches before it
                    trouble = error
                    break
                if turn < num_workers:
                    pool.add()
                worker = pool.workers[turn % num_workers]
                worker.send(task)
                in_flight.append(worker)
                turn += 1
            if not in_flight:
                break
            yield in_flight.popleft().receive()
        if trouble is not None:
            raise trouble
    finally:
        pool.close()


class _Worker(Generic[Task, Result]):
    """The parent's end of one worker."""

    def __init__(self, context: Any, payload: bytes, number: int) -> None:
        self._pipe, remote = context.Pipe()
        self._process = context.Process(target=_serve, args=(remote, payload), name=f"clips-{number}", daemon=True)
        self._process.start()
        remote.close()

    def send(self, task: Task) -> None:
        with suppress(OSError):  # a dead worker: `receive` says so, after the results that it still sent
            self._pipe.send_bytes(pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL))

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
            why = f"was ended by {signal.Signals(-code).name}"
            why += ", most often because memory ran out: use fewer workers or smaller batches" if code == -9 else ""
        else:
            why = f"ended with exit code {code}"
            why += (
                "; a script that uses workers needs `if __name__ == '__main__':` around its work" if code == 1 else ""
            )
        return WorkerDied(f"worker process {self._process.pid} {why}")

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
        try:
            self._payload = pickle.dumps(function, protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise TypeError(f"worker processes need a function that can be pickled: {error}") from error
        # Not fork: it copies whatever locks the threads of torch or CUDA hold at that moment.
        method = "spawn" if sys.platform in ("win32", "darwin") else "forkserver"
        self._context: Any = torch.multiprocessing.get_context(method)
        if method == "forkserver":  # imports torch once, not once a worker; no effect where the server runs already
            self._context.set_forkserver_preload([type(function).__module__])
        self.workers: list[_Worker[Task, Result]] = []

    def add(self) -> None:
        self.workers.append(_Worker(self._context, self._payload, len(self.workers)))

    def close(self) -> None:
        for worker in self.workers:
            worker.hang_up()
        for worker in self.workers:
            worker.end()


def _serve(pipe: Connection, payload: bytes) -> None:
    """A worker's life: tasks in, results out, until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    # A thread empties the pipe, so that the parent is never stuck sending to a worker that is stuck sending to it.
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    function: Callable[[Any], Any] | None = None
    while (message := inbox.get()) is not None:
        try:
            if function is None:
                function = cast("Callable[[Any], Any]", pickle.loads(payload))
            result: Any = function(pickle.loads(message))
        except Exception as error:
            result = _Failure(error)
        try:
            pipe.send(result)
        except OSError:  # the parent hung up
            return
        except Exception as error:  # a result that cannot be pickled
            pipe.send(_Failure(error))


def _receive(pipe: Connection, inbox: queue.SimpleQueue[bytes | None]) -> None:
    try:
        while True:
            inbox.put(pipe.recv_bytes())
    except (EOFError, OSError):
        inbox.put(None)
