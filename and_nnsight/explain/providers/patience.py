"""Text that may never come: waited for no longer than a bound, whoever makes it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable
from functools import partial

from ...plugins import PluginError

_TOTAL = 10  # times as long may a whole text take as any piece of it
_AHEAD = 8  # pieces that may wait to be taken
_LOOK = 1.0  # seconds between two looks at whether they still are
_END = object()


class Patience:
    """Waits for pieces of text that a function makes, in a thread of its own, no longer than `seconds` for each.

    A thread cannot be stopped from outside. One that is given up ends at its next piece; until then no more than `most`
    of them are left, and they do not keep the process.
    """

    def __init__(self, seconds: float, most: int, remedy: str) -> None:
        """`remedy` says what to do where nothing comes."""
        self._seconds, self._most, self._remedy = seconds, most, remedy
        self._given_up: list[threading.Thread] = []

    def pieces(self, make: Callable[[], Iterable[str]]) -> Generator[str, None, None]:
        """The pieces, as they come. Raises what `make` raises, and TimeoutError where nothing comes.

        Raises PluginError where too many texts never came: the next would not either.
        """
        self._wait_for_earlier()
        coming: queue.Queue[object] = queue.Queue(_AHEAD)
        over = threading.Event()
        thread = threading.Thread(target=_fill, args=(make, coming, over), daemon=True)
        thread.start()
        until = time.monotonic() + _TOTAL * self._seconds
        try:
            for piece in iter(partial(self._next, coming, until), _END):
                if isinstance(piece, BaseException):
                    raise piece
                yield str(piece)
        finally:
            over.set()
            self._given_up = [each for each in (*self._given_up, thread) if each.is_alive()]

    def _next(self, coming: queue.Queue[object], until: float) -> object:
        try:
            return coming.get(timeout=max(0.0, min(self._seconds, until - time.monotonic())))
        except queue.Empty:
            raise TimeoutError(f"no answer within {self._seconds:g} s: {self._remedy}") from None

    def _wait_for_earlier(self) -> None:
        """Let texts that were given up come to their end, where there are too many of them."""
        self._given_up = [each for each in self._given_up if each.is_alive()]
        if len(self._given_up) < self._most:
            return
        self._given_up[0].join(self._seconds)
        if self._given_up[0].is_alive():
            raise PluginError(f"{len(self._given_up)} without an answer within {self._seconds:g} s: {self._remedy}")


def _fill(make: Callable[[], Iterable[str]], coming: queue.Queue[object], over: threading.Event) -> None:
    """The pieces into a queue, then its end, or what went wrong; no more of them once it is over."""
    try:
        for piece in make():
            _put(piece, coming, over)
            if over.is_set():
                return
        _put(_END, coming, over)
    except BaseException as error:
        _put(error, coming, over)


def _put(piece: object, coming: queue.Queue[object], over: threading.Event) -> None:
    """Put a piece into a queue once it has room; nowhere where nobody takes them out any more."""
    while not over.is_set():
        try:
            coming.put(piece, timeout=_LOOK)
        except queue.Full:
            continue
        return
