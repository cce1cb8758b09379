"""What a listener does not answer is a failure on record; what it answered is not asked again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.explain import read_table
from and_nnsight.explain.evaluate.claims import Claim, claims
from and_nnsight.explain.evaluate.listening.asking import listen
from and_nnsight.explain.evaluate.listening.audition import Audition
from and_nnsight.explain.evaluate.listening.plans import Design
from and_nnsight.explain.records.reading import table_settings
from and_nnsight.explain.roles import Failure, Question
from and_nnsight.plugins import PluginError
from tests.explain.audible_dissection import RATE
from tests.explain.evaluate.listening.scripted import MANY, SHARE, Scripted, heard, said_of
from tests.explain.scored_dissection import OTHER
from tests.explain.small_dissection import with_summaries

pytestmark = pytest.mark.slow


def test_the_listener_gets_samples_and_nothing_else(pair) -> None:
    class Noting(Scripted):
        rates: set[int] = set()  # noqa: RUF012

        def fits(self, questions: Sequence[Question]) -> Iterator[list[float] | Failure]:
            for question in questions:
                assert set(vars(question)) == {"statement", "clips"}
                self.rates |= {len(samples) for samples in question.clips}
                assert all(samples.dtype == np.float32 for samples in question.clips)
                yield [0.5] * len(question.clips)

    listener = Noting(pair[1])
    listener.sampling_rate = 2 * RATE
    heard(pair, listener, units=[0])
    assert listener.rates == {320}, "at the rate that it asked for"


def test_what_was_answered_is_not_asked_again_and_what_has_changed_is(pair) -> None:
    explained, _ = pair
    listener = Scripted(pair[1], 0.8)
    first = heard(pair, listener, units=range(30))
    listener.questions.clear()
    assert heard(pair, listener, units=range(30)) == first
    assert listener.questions == []
    more = heard(pair, listener, units=range(32))
    assert {unit: more[unit] for unit in first} == first
    assert len(listener.questions) == 2 * (1 + 3 + 5), "for each of two units: its words, others', five line-ups"
    said = {(OTHER, unit): (said_of(unit if unit != 7 else 40), None) for unit in range(MANY)}
    with_summaries(explained, said, "another")
    listener.questions.clear()
    again = heard(pair, listener, units=range(30))
    assert again[7].text == said_of(40)
    assert 0 < len(listener.questions) < 5 * 9, "beside it those that were compared with what is no longer said"
    with_summaries(explained, {(OTHER, 0): (said_of(0), None), (OTHER, 1): (said_of(1), None)}, "few")
    assert set(heard(pair, listener, units=[0])) == {0, 1}, "what is no longer claimed is gone"


def test_another_listener_or_prompt_has_a_table_of_its_own(pair) -> None:
    listener = Scripted(pair[1], 0.8)
    first = heard(pair, listener, units=[1])
    other = Scripted(pair[1], 0.6)
    other.settings = {"prompt": "another"}
    assert heard(pair, other, units=[1])[1].fits != first[1].fits
    assert table_settings(pair[0], "listening")["listener_settings"] == {"prompt": "another"}
    listener.questions.clear()
    assert heard(pair, listener, units=[1]) == first
    assert listener.questions == [], "the earlier table was put aside, not thrown away"


def test_interrupted_it_goes_on(pair) -> None:
    whole = heard(pair, Scripted(pair[1], 0.8), units=range(24))
    (pair[0].folder / "explanations" / "listening.parquet").unlink()

    class Stopping(Scripted):
        def fits(self, questions: Sequence[Question]) -> Iterator[list[float] | Failure]:
            if len(self.questions) > 60:
                raise KeyboardInterrupt
            yield from super().fits(questions)

    with pytest.raises(KeyboardInterrupt):
        heard(pair, Stopping(pair[1], 0.8), units=range(24))
    kept = [row.unit for row in read_table(pair[0], "listening")]
    assert 0 < len(kept) < 24
    listener = Scripted(pair[1], 0.8)
    assert heard(pair, listener, units=range(24)) == whole
    assert len(listener.questions) == 9 * (24 - len(kept))


def test_like_questions_are_asked_once(pair) -> None:
    listener = Scripted(pair[1])
    made = claims(pair[0])
    twice = [*made, *(Claim(one.site, one.unit, "label db", f"Sound number {one.unit}.") for one in made)]
    audition = Audition(listener, "scripted", pair[1], list(pair[1].clips))
    units = [(OTHER, unit) for unit in range(10)]
    rows = listen(pair[0], twice, audition, Design(share=SHARE, excerpts=10), units=units, progress=False)
    assert len(rows) == 20
    assert len(listener.questions) == len(set(listener.questions)) == 10 * (5 + 1 + 6)


def test_clips_that_do_not_fit_in_memory_together_are_read_in_turns(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_nnsight.explain.evaluate.listening import asking

    whole = heard(pair, Scripted(pair[1], 0.8), units=range(6))
    (pair[0].folder / "explanations" / "listening.parquet").unlink()
    held: list[int] = []
    read = Audition.waveforms
    monkeypatch.setattr(Audition, "waveforms", lambda audition, clips: held.append(len(clips)) or read(audition, clips))
    monkeypatch.setattr(asking, "_MEMORY", 60 * 4 * 160)  # of clips of 160 samples
    assert heard(pair, Scripted(pair[1], 0.8), units=range(6)) == whole
    assert len(held) > 2
    assert max(held) <= 60


def raising(questions: Sequence[Question]) -> Any:
    raise RuntimeError("no voice")


def too_few(questions: Sequence[Question]) -> Any:
    return [[0.5] * len(question.clips) for question in questions][:-1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (raising, "it raised RuntimeError: no voice"),
        (too_few, "answers came for"),
        (lambda asked: ["yes"] * len(asked), "answered with str, not with a number a clip"),
        (lambda asked: [["0.5"] * 10] * len(asked), "answered with list, not with a number a clip"),
        (lambda asked: [[0.5, [1.0]]] * len(asked), "answered with list, not with a number a clip"),
        (lambda asked: [[0.5]] * len(asked), "not one a clip"),
        (lambda asked: [[float("nan")] * len(q.clips) for q in asked], "a number that is not finite"),
        (lambda asked: [Failure("too loud")] * len(asked), "too loud"),
        (lambda asked: Failure("all of it"), "one Failure came"),
        (lambda asked: None, "it raised TypeError"),
    ],
)
def test_what_is_no_answer_is_a_failure_and_asked_again(
    pair, answer: Callable[[Sequence[Question]], Any], reason: str
) -> None:
    class Odd(Scripted):
        fits = staticmethod(answer)

    for unit, row in heard(pair, Odd(pair[1]), units=[2, 3]).items():
        assert reason in row.failure, unit
        assert reason in row.intruder_failure
        numbers = ("fits", "detection", "detection_auc", "others_detection", "p", "intruder", "intruder_p")
        assert {getattr(row, name) for name in numbers} == {None}
        assert row.intruder_trials == 0
    again = heard(pair, Scripted(pair[1]), units=[2, 3])
    assert all(row.failure is row.intruder_failure is None and row.detection == 1.0 for row in again.values())


def test_one_question_that_fails_leaves_the_others(pair) -> None:
    class Once(Scripted):
        def fitting(self, statement: str, clips: tuple[int, ...]) -> Any:
            return Failure("not this one") if "number 4." in statement else super().fitting(statement, clips)

    rows = heard(pair, Once(pair[1]), units=range(8))
    assert rows[4].failure == "not this one"
    assert rows[4].intruder == 1.0
    rest = [row for unit, row in rows.items() if unit != 4 and row.failure is None]
    assert len(rest) >= 6
    assert all(row.detection == 1.0 for row in rest)


def test_a_plugin_that_cannot_be_used_ends_it(pair) -> None:
    class Closed(Scripted):
        def fits(self, questions: Sequence[Question]) -> Any:
            raise PluginError("the weights cannot be loaded")

    with pytest.raises(PluginError, match="weights cannot be loaded"):
        heard(pair, Closed(pair[1]), units=[1])


def test_a_clip_that_cannot_be_read_is_named(pair, tmp_path: Path) -> None:
    held_out = Dissection.load(shutil.copytree(pair[1].folder, tmp_path / "unread"))
    row = heard(pair, Scripted(pair[1]), units=[1])[1]
    gone = row.clips[0]
    path = held_out.folder / "clips.parquet"
    files = {clip: shutil.copy(entry.path, tmp_path) for clip, entry in held_out.clips.items()}
    Path(files[gone]).write_bytes(b"no audio")
    rows = [entry | {"path": files[entry["clip"]]} for entry in parquet.read_table(path).to_pylist()]
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    (pair[0].folder / "explanations" / "listening.parquet").unlink()
    row = heard((pair[0], Dissection.load(held_out.folder)), Scripted(pair[1]), units=[1])[1]
    assert row.failure.startswith(f"clip {gone} cannot be read: ")
    assert row.detection is None


def test_clips_in_no_file_want_the_data(pair, tmp_path: Path) -> None:
    from tests.explain.scored_dissection import written

    bare = written(tmp_path / "bare", seed=2, clips=200, others=MANY)
    with pytest.raises(DissectionError, match="pass data="):
        heard((pair[0], bare), Scripted(pair[1]), units=[1])
