"""Progress bars: what they count and say, and that nothing is written where none is to be shown."""

from __future__ import annotations

from itertools import count

import pytest

from and_nnsight.progress import ClipProgress, _bar, step_progress


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_a_step_counts_what_is_newly_done(capsys: pytest.CaptureFixture[str]) -> None:
    with step_progress("captions", 5, True) as done:
        done(2)
        done(1)
    out, error = capsys.readouterr()
    assert out == ""
    assert "captions" in error
    assert "3/5" in error


def test_a_pass_says_what_was_set_aside_and_what_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with ClipProgress(8, start=2, title="measuring") as bar:
        bar.tell("waiting [for a job]")
        bar.advance(3, set_aside=1)
    error = capsys.readouterr().err
    assert "measuring (1 set aside; waiting [for a job])" in error
    assert "5/8" in error
    assert "clips/s" in error


def test_nothing_is_shown_where_it_is_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with step_progress("captions", None, False) as done, ClipProgress(None, show=False) as bar:
        done(2)
        bar.advance(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("in_notebook", [False, True])
def test_steps_of_a_minute_have_a_rate_and_a_time_left(in_notebook: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("and_nnsight.progress._in_notebook", lambda: in_notebook)
    seconds = count(step=60.0)
    bar = _bar(True, "clips")
    monkeypatch.setattr(bar, "get_time", lambda: next(seconds))
    task = bar.add_task("dissecting", total=320)
    for _ in range(4):
        bar.advance(task, 32)
    (shown,) = bar.tasks
    assert shown.speed is not None and shown.time_remaining is not None
