"""nnsight's `.save()` on every object: there while something is traced, gone while other libraries do their work.

nnsight hangs `save` on `object` for the life of the process. Libraries that look at what a class or an object has then
find what nobody wrote: anyio refuses to build its classes, which it does at the first request (so that no client of a
chat server ever answers), a dataclass takes it for a default, `hasattr(x, "save")` is always true. Only code in a trace
can call it. So it is taken off whenever a module is about to be imported or a plugin to be used while nothing is
traced, and put back by the next trace, in whatever thread. It is not taken off after every trace: each change of
`object` empties Python's caches of attributes, and newer versions of Python count how often that happens.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

_NAME = "save"
_lock = threading.RLock()
_tracing = 0  # threads that are in a trace


def install() -> None:
    """From now on `.save` is on objects only while something is traced. Does not import nnsight."""
    if not any(isinstance(finder, _BeforeImports) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeImports())


def take_off() -> None:
    """Take `.save` off `object`, unless nnsight is not there, or something is traced at this moment."""
    if _NAME not in vars(object):
        return
    nnsight = sys.modules.get("nnsight")
    if nnsight is None or getattr(nnsight.__spec__, "_initializing", False):
        return
    with _lock:
        if _NAME in vars(object) and _sees_traces() and _tracing == 0:
            from nnsight._c import unmount

            unmount(_NAME)


class _BeforeImports:
    """Finds no module: it is asked before each that is not loaded yet, and others' classes are made in modules."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        take_off()


class _Scope(threading.local):
    """What nnsight knows of a thread, in place of its own: `depth`, of the trace that runs, and what is saved in it."""

    _depth = 0

    @property
    def depth(self) -> int:
        return self._depth

    @depth.setter
    def depth(self, depth: int) -> None:
        global _tracing
        with _lock:
            _tracing += (depth > 0) - (self._depth > 0)
            self._depth = depth
            if depth > 0 and _NAME not in vars(object):
                from nnsight import save
                from nnsight._c import mount

                mount(save, _NAME)


def _sees_traces() -> bool:
    """Whether we are told when a trace begins: without that, what is taken off would never come back."""
    tracer: Any = sys.modules.get("nnsight.tracing.tracer")
    if tracer is None or getattr(sys.modules["nnsight"], _NAME, None) is not vars(tracer).get(_NAME):
        return False
    if not isinstance(tracer._local, _Scope):
        if getattr(tracer._local, "depth", 0) > 0:
            return False
        tracer._local = _Scope()
    return True
