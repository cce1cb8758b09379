"""The few names of Ray that ndif imports: named actors, each a process, called over a pipe.

`install` puts it where `import ray` finds it. What a caller sees follows Ray: a lookup of an unknown actor is a
ValueError, a call to an actor that was removed raises ActorDiedError, and one to an actor that crashed (it is started
again, as ndif's `max_restarts=-1` says) raises ActorUnavailableError.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


class ActorDiedError(Exception):
    """The actor is gone for good."""


class ActorUnavailableError(Exception):
    """The actor's process died and is being started again."""


class Method:
    """`handle.method.remote(...)`: an awaitable of what the method gives."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self.remote = call


ACTORS: dict[str, Any] = {}


class ProcessActor:
    """A named actor in a process of its own; `target(pipe, *arguments)` says "ready" and then answers calls."""

    def __init__(self, name: str, target: Callable[..., None], arguments: tuple[Any, ...], pid_file: Path) -> None:
        self.name, self.target, self.arguments, self.pid_file = name, target, arguments, pid_file
        self.removed = False
        self.start()
        self.run = Method(self._run)
        self.__ray_ready__ = Method(self._ready)
        ACTORS[name] = self

    def start(self) -> None:
        """Start the process, or start it again."""
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=self.target, args=(there, *self.arguments), name=self.name)
        self.process.start()
        there.close()
        self.ready = False
        self.pid_file.write_text(str(self.process.pid))

    def remove(self) -> None:
        """Evict it: it is killed and not started again."""
        self.removed = True
        ACTORS.pop(self.name, None)
        self.process.kill()

    async def _ready(self) -> None:
        if not self.ready:
            await asyncio.to_thread(self._receive)
            self.ready = True

    async def _run(self, request: Any) -> None:
        await asyncio.to_thread(self._call, request)

    def _call(self, request: Any) -> None:
        try:
            self.pipe.send(request)
        except OSError:
            self._died()
        failure = self._receive()
        if failure is not None:
            raise failure

    def _receive(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return self._died()

    def _died(self) -> None:
        self.process.join()
        crashed = self.ready and not self.removed
        print(f"{self.name} ended with {self.process.exitcode}", file=sys.stderr, flush=True)
        if not crashed:  # removed, or it never came up
            ACTORS.pop(self.name, None)
            raise ActorDiedError(f"{self.name} is gone")
        self.start()
        raise ActorUnavailableError(f"{self.name} is restarting")


def die_with_parent() -> None:
    """End this process when the one that started it ends, however that happens."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            threading.Event().wait(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def install() -> None:
    """Make `import ray` find this. Does nothing twice."""
    if "ray" in sys.modules:
        return
    ray = types.ModuleType("ray")
    exceptions = types.ModuleType("ray.exceptions")
    util, client, common = (types.ModuleType(f"ray.util{name}") for name in ("", ".client", ".client.common"))
    state: dict[str, bool] = {"connected": False}

    def get_actor(name: str, namespace: str | None = None) -> Any:
        if name not in ACTORS:
            raise ValueError(f"no actor is named {name!r}")
        return ACTORS[name]

    def remote(**options: Any) -> Callable[[type], type]:
        return lambda actor: actor

    def kill(actor: Any, *, no_restart: bool = True) -> None:
        os._exit(1)  # ndif calls it in an actor that wants to be started again

    names = {
        "remote": remote,
        "kill": kill,
        "get_actor": get_actor,
        "init": lambda *unused, **ignored: state.update(connected=True),
        "shutdown": lambda: state.update(connected=False),
        "is_initialized": lambda: state["connected"],
        "get_runtime_context": lambda: types.SimpleNamespace(current_actor=None),
        "util": util,
        "exceptions": exceptions,
    }
    for name, value in names.items():
        setattr(ray, name, value)
    exceptions.__dict__.update(ActorDiedError=ActorDiedError, ActorUnavailableError=ActorUnavailableError)
    client.__dict__.update(ray=ray, common=common)
    common.__dict__.update(ClientActorHandle=type("ClientActorHandle", (), {}), return_refs=None)
    util.__dict__.update(client=client)
    for module in (ray, exceptions, util, client, common):
        sys.modules[module.__name__] = module
