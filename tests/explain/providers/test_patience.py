"""Text that may never come, and who waits for it how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from and_nnsight.explain.providers.patience import Patience
from and_nnsight.plugins import PluginError


def test_pieces_come_in_order_and_errors_as_they_were_raised() -> None:
    patience = Patience(30.0, 1, "wait")
    assert list(patience.pieces(lambda: map(str, range(50)))) == [str(number) for number in range(50)]

    def breaks() -> Iterator[str]:
        yield "a"
        raise KeyError("b")

    pieces = patience.pieces(breaks)
    assert next(pieces) == "a"
    with pytest.raises(KeyError, match="b"):
        next(pieces)


def test_a_text_that_trickles_for_ever_ends_and_its_thread_with_it() -> None:
    before = threading.active_count()

    def trickles() -> Iterator[str]:
        while True:
            time.sleep(0.01)
            yield "."

    patience = Patience(0.05, 1, "wait")
    with pytest.raises(TimeoutError, match="no answer within 0.05 s: wait"):
        list(patience.pieces(trickles))
    assert list(Patience(30.0, 1, "").pieces(lambda: "ab")) == ["a", "b"]
    _until_there_are(before)


def test_what_nobody_reads_further_is_not_made_further() -> None:
    before, made = threading.active_count(), []

    def endless() -> Iterator[str]:
        while True:
            made.append(None)
            yield "."

    pieces = Patience(30.0, 1, "wait").pieces(endless)
    assert next(pieces) == "."
    pieces.close()
    _until_there_are(before)
    assert len(made) < 20


def test_after_too_many_that_never_came_none_is_begun() -> None:
    release, begun = threading.Event(), []

    def silent() -> Iterator[str]:
        begun.append(None)
        release.wait()
        yield "late"

    patience = Patience(0.05, 2, "look at it")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            list(patience.pieces(silent))
    for _ in range(2):
        with pytest.raises(PluginError, match="2 without an answer within 0.05 s: look at it"):
            list(patience.pieces(silent))
    assert len(begun) == 2
    release.set()
    patience._given_up[0].join()
    assert list(Patience(30.0, 2, "").pieces(silent)) == ["late"]


def _until_there_are(threads: int) -> None:
    for thread in threading.enumerate():
        if thread.daemon and "_fill" in thread.name:
            thread.join()
    assert threading.active_count() <= threads
