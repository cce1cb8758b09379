"""Batches made by actors: what worker processes of one machine do, wherever the cluster has CPUs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError

_RESTARTS = 3


class DecodeActor:
    """Decodes and makes features. It holds nothing between two tasks, so that a new one may take its place."""

    def __init__(self, folder: str) -> None:
        os.chdir(folder)

    def run(self, function: Callable[[Any], Any], task: Any) -> Any:
        """The function's result. All of it travels as Ray sends objects: arrays come read-only."""
        return function(task)


class DecodeActors:
    """Runs a function over tasks in actors, results in order: a `TaskMap` of and_nnsight.

    An actor that dies is started again, and does the task that it died of once more, `_RESTARTS` times.
    """

    def __init__(self, count: int) -> None:
        options: dict[str, Any] = {"num_cpus": 1, "max_restarts": _RESTARTS, "max_task_retries": _RESTARTS}
        made: Any = ray.remote(**options)(DecodeActor)
        self._actors = [made.remote(str(Path.cwd())) for _ in range(count)]

    def __call__(
        self, function: Callable[[Any], Any], tasks: Iterable[Any], prefetch: int
    ) -> Generator[Any, None, None]:
        """The results, at most `prefetch` tasks in flight an actor. Raises what the function, or the tasks, raise."""
        shipped, waiting = ray.put(function), iter(tasks)
        in_flight: deque[Any] = deque()
        turn = 0
        while True:
            for task in islice(waiting, prefetch * len(self._actors) - len(in_flight)):
                in_flight.append(self._actors[turn % len(self._actors)].run.remote(shipped, task))
                turn += 1
            if not in_flight:
                return
            yield _result(in_flight.popleft())


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error
