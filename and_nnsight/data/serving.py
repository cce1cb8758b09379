"""A worker's life: a function and tasks come in by a pipe, results and failures go back by it."""

from __future__ import annotations

import copy
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch


class _WorkerTraceback(Exception):
    """Where in a worker an exception was raised: shown as its cause."""


class Failure:
    """An exception on its way home."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.where = "".join(traceback.format_exception(error))
        self.notes = list(getattr(error, "__notes__", ()))
        try:
            copy.deepcopy(error)
        except Exception:  # it cannot be made anew out of what it holds, so not on the other side either
            self.error = _plain(error)

    def without_error(self) -> Failure:
        """For an exception that cannot be sent: its type and message alone."""
        self.error = _plain(self.error)
        return self

    def restored(self) -> BaseException:
        """The exception with its notes; its cause says where in the worker it was raised."""
        for note in self.notes:
            if note not in getattr(self.error, "__notes__", ()):
                self.error.add_note(note)
        self.error.__cause__ = _WorkerTraceback(f"\n{self.where}")
        return self.error


def _plain(error: BaseException) -> RuntimeError:
    return RuntimeError(f"{type(error).__name__}: {error}")


def serve(pipe: Connection) -> None:
    """A worker's life: a function and tasks in, results out, until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    try:
        function: Callable[[Any], Any] = pipe.recv()
    except EOFError:
        return
    except Exception as error:  # it cannot be made anew here
        function = _Raise(error)
    inbox: queue.SimpleQueue[_Task | _HungUp | Failure] = queue.SimpleQueue()
    # A thread empties the pipe, so that the parent is never stuck sending to a worker that is stuck sending to it.
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    while not isinstance(message := inbox.get(), _HungUp):
        try:
            _reply(pipe, message if isinstance(message, Failure) else _result(function, message.task))
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
        return Failure(error)


def _reply(pipe: Connection, result: Any) -> None:
    """Send a result, or why it cannot be sent. Raises OSError where the parent hung up."""
    try:
        pipe.send(result)
    except OSError:
        raise
    except Exception as error:
        pipe.send(result.without_error() if isinstance(result, Failure) else Failure(error))


def _receive(pipe: Connection, inbox: queue.SimpleQueue[_Task | _HungUp | Failure]) -> None:
    while True:
        try:
            inbox.put(_Task(pipe.recv()))
        except (EOFError, ConnectionError):
            return inbox.put(_HungUp())
        except Exception as error:  # a task that cannot be made anew here
            inbox.put(Failure(error))
