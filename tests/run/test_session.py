"""A session is written down only when all that it keeps ends at the same batch; what is interrupted leaves that."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import ConceptError, ConceptScores
from and_nnsight.data import Clip, Quarantined
from and_nnsight.data.options import DataOptions
from and_nnsight.run import session as running
from and_nnsight.run.description import describe_run
from and_nnsight.run.folder import RunFolder
from and_nnsight.run.reading import Reading
from and_nnsight.run.session import CollectionPlan, Session
from and_nnsight.sites.geometry import Regular
from and_nnsight.sites.site import Site
from and_nnsight.statistics.units import UnitStatistics

SITE = Site("blocks.0.mlp.hook_post", "encoder.0", "output", 3, 0, Regular(hop=0.1, span=0.1))
CPU = torch.device("cpu")


def clip(number: int, seconds: float = 1.0) -> Clip:
    return Clip(number, None, None, None, seconds, 16_000, f"{number:016x}")


def opened(folder: Path, **options: Any) -> Session:
    plan = CollectionPlan((SITE,), 2, "max", CPU, keep_activations=True, **options)
    reading = Reading.of([np.zeros(16_000)], DataOptions())
    manifest = describe_run({"class": "Tiny"}, "float32", reading, plan)
    return Session(RunFolder(folder, manifest), plan)


def run_group(session: Session, clips: list[Clip]) -> None:
    session.begin_group(clips, CPU)
    session.on_activation(SITE, torch.tensor([[[float(clip.id)] * 3] * 5 for clip in clips]))
    session.end_group()


def run_batch(session: Session, start: int) -> None:
    """Two clips, each in a group of its own, the second first, as clips of different lengths may run."""
    clips = [clip(start), clip(start + 1)]
    session.begin_batch(clips)
    for one in reversed(clips):
        run_group(session, [one])
    session.end_batch(start + 2, clips, ())


def within_a_forward(session: Session) -> None:
    session.begin_batch([clip(2)])
    session.begin_group([clip(2)], CPU)
    session.on_activation(SITE, torch.ones(1, 5, 3))
    raise KeyboardInterrupt


def between_groups(session: Session) -> None:
    session.begin_batch([clip(2), clip(3)])
    run_group(session, [clip(2)])
    raise KeyboardInterrupt


def at_the_end_of_a_batch(session: Session) -> None:
    session.folder.saw = raising
    run_batch(session, 2)


def after_a_merge(session: Session) -> None:
    session.begin_batch([clip(2)])
    session.merge(UnitStatistics({SITE.name: 3}, k=2))
    raise KeyboardInterrupt


def after_a_batch(session: Session) -> None:
    run_batch(session, 2)
    raise KeyboardInterrupt


def raising(*arguments: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("interrupt", "position"),
    [(within_a_forward, 2), (between_groups, 2), (at_the_end_of_a_batch, 0), (after_a_merge, 0), (after_a_batch, 4)],
)
def test_what_an_interruption_leaves(interrupt: Callable[[Session], None], position: int, tmp_path: Path) -> None:
    """The first batch is done, and no checkpoint was made of it: half a batch more must not be written with it.

    Of groups that have ended nothing is in the statistics until their batch ends.
    """
    session = opened(tmp_path / "run")
    with session.folder, pytest.raises(KeyboardInterrupt), session.streaming() as start:
        assert start == 0
        run_batch(session, 0)
        interrupt(session)
    resumed = opened(tmp_path / "run")
    with resumed.folder, resumed.streaming() as start:
        assert (start, resumed.statistics.clips) == (position, position)
        for at in range(start, 6, 2):
            run_batch(resumed, at)
        resumed.finish()
    values = np.load(tmp_path / "run" / "activations" / f"{SITE.name}.npy")
    assert values[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "in the order of the stream, each clip once"
    assert resumed.folder.complete


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a session reads off its clock; what is added to them passes."""
    now = [0.0]
    monkeypatch.setattr(running.time, "monotonic", lambda: now[0])
    return now


def test_the_first_checkpoint_comes_soon_and_no_more_of_the_time_goes_into_them_than_a_sixtieth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    session = opened(tmp_path / "run")
    written: list[int] = []

    def slow() -> None:
        written.append(session.folder.position)
        clock[0] += 3.0

    monkeypatch.setattr(session, "checkpoint", slow)
    with session.folder, session.streaming():
        for start, seconds in enumerate([4.0, 2.0, 179.0, 2.0]):
            clock[0] += seconds
            run_batch(session, 2 * start)
            session.checkpoint_if_due()
    assert written == [4, 8], "the first took 3 s, so the next is due after 180 s"
    monkeypatch.setattr(running, "CHECKPOINT_ROWS", 8)
    session.end_batch(9, [], [Quarantined(8, None, "broken")])
    session.checkpoint_if_due()
    assert written == [4, 8, 9], "many rows wait in memory"


def test_checkpoints_that_cost_nothing_come_ever_more_rarely_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    session = opened(tmp_path / "run")
    written: list[float] = []
    monkeypatch.setattr(session, "checkpoint", lambda: written.append(clock[0]))
    with session.folder, session.streaming():
        for _ in range(900):
            clock[0] += 0.125
            session.checkpoint_if_due()
    assert [late - early for early, late in pairwise([0.0, *written])] == [
        5.125,
        7.625,
        11.375,
        17.0,
        20.125,
        20.125,
        20.125,
    ]


def test_clips_longer_than_the_window_are_counted(tmp_path: Path) -> None:
    for window, count in ((None, 0), (1.0, 1)):
        session = opened(tmp_path / "run", window_seconds=window)
        session.end_batch(3, [clip(0, 0.5), clip(1, 1.0), clip(2, 1.5)], ())
        assert session.folder.truncated == count


def test_a_clip_without_scores_is_named_before_it_runs(tmp_path: Path) -> None:
    scores = ConceptScores(("rain",), torch.tensor([0]), torch.zeros(1, 1), "labels")
    session = opened(tmp_path / "run", scores=scores)
    with pytest.raises(ConceptError, match="2"):
        session.begin_batch([clip(0), clip(2)])


def test_a_site_that_did_not_fire_is_an_error(tmp_path: Path) -> None:
    session = opened(tmp_path / "run")
    session.begin_group([clip(0)], CPU)
    with pytest.raises(RuntimeError, match="1 of 1 sites did not fire"):
        session.end_group()
