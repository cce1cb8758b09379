"""Judging by ear: what a listener is right of is what is reported; what it does not answer is a failure on record."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.dissection.files import activation_file
from and_nnsight.explain import card, read_table, score
from and_nnsight.explain.evaluate.claims import Claim, claims
from and_nnsight.explain.evaluate.listening.asking import listen
from and_nnsight.explain.evaluate.listening.audition import Audition
from and_nnsight.explain.evaluate.listening.plans import Design, plans
from and_nnsight.explain.evaluate.listening.result import listening_summary
from and_nnsight.explain.evaluate.listening.trials import draw_trials
from and_nnsight.explain.records.claim_rows import ListeningRow, ScoreRow
from and_nnsight.explain.records.reading import table_settings
from and_nnsight.explain.roles import Failure, Question
from and_nnsight.plugins import PluginError
from tests.explain.audible_dissection import RATE, audible, clip_of
from tests.explain.scored_dissection import KINDS, OTHER, SITE, UNITS
from tests.explain.small_dissection import with_summaries

MANY = 302
SHARE = 0.1
_NUMBER = re.compile(r"number (\d+)")


def said_of(unit: int) -> str:
    return f"Sound number {unit} (5 of 5)."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Units that fire by chance, each with a name of its own; the held-out clips are files."""
    folder = tmp_path_factory.mktemp("heard")
    dissection = audible(folder / "explained", seed=1, others=MANY)
    held_out = audible(folder / "held", seed=2, clips=200, others=MANY)
    values = np.array(held_out.activations(OTHER))
    values[values >= np.sort(values, 0)[-20]] += 20  # far above the others: every unit fires on one clip in ten
    np.save(activation_file(held_out.folder, OTHER), values)
    said = {(OTHER, unit): (said_of(unit), None) for unit in range(MANY)}
    with_summaries(dissection, said | {(SITE, UNITS.index("constant")): ("Sound number 900.", None)})
    return folder


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> tuple[Dissection, Dissection]:
    shutil.copytree(made / "explained", tmp_path / "explained")
    return Dissection.load(tmp_path / "explained"), Dissection.load(made / "held")


@lru_cache
def intruders_of(folder: str) -> dict[tuple[int, ...], int]:
    """The place of the intruder in every line-up."""
    held_out = Dissection.load(folder)
    made = [Claim(OTHER, unit, "explanation", said_of(unit)) for unit in range(held_out.widths()[OTHER])]
    clips = list(held_out.clips)
    every = [
        plan
        for excerpts in (10, 20)
        for plan in plans(held_out, made, clips, Design(share=SHARE, excerpts=excerpts, others=1), None)
    ]
    return {line_up.clips: line_up.place for plan in every for line_up in plan.trials.line_ups}


class Scripted:
    """Knows which unit a statement names and on which clips it fires, and is right of a clip with a chance `right`."""

    name, sampling_rate, threshold = "scripted", RATE, 0.5
    cheap_statements = False

    def __init__(self, held_out: Dissection, right: float = 1.0, lined_up: float = 1.0, seed: int = 0) -> None:
        values = np.asarray(held_out.activations(OTHER))
        self.fires = values >= np.sort(values, 0)[-round(SHARE * len(values))]
        self.key = intruders_of(str(held_out.folder))
        self.right, self.lined_up, self.seed = right, lined_up, seed
        self.questions: list[tuple[str | None, tuple[int, ...]]] = []

    def fits(self, questions: Sequence[Question]) -> Iterator[list[float] | Failure]:
        for question in questions:
            clips = tuple(clip_of(samples) for samples in question.clips)
            self.questions.append((question.statement, clips))
            yield self.belonging(clips) if question.statement is None else self.fitting(question.statement, clips)

    def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
        number = _NUMBER.search(statement)
        assert number is not None
        if int(number[1]) >= MANY:
            return [0.0] * len(clips)
        true = self.fires[list(clips), int(number[1])]
        return [
            float(fires == (self.chance(statement, clip) < self.right)) for fires, clip in zip(true, clips, strict=True)
        ]

    def belonging(self, clips: tuple[int, ...]) -> list[float]:
        """Which unit is meant it is not told, and of 300 others some fire on four of the five: it has a key."""
        intruder = self.key[clips]
        chance = self.chance("", *clips)
        if chance >= self.lined_up:
            intruder = (intruder + 1 + int(1e6 * chance) % 4) % 5
        return [float(place != intruder) for place in range(5)]

    def chance(self, *of: object) -> float:
        key = hashlib.blake2b(repr((self.seed, *of)).encode(), digest_size=8).digest()
        return int.from_bytes(key, "little") / 2**64


class Guessing(Scripted):
    """Answers at random."""

    def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
        return [self.chance(statement, clip) for clip in clips]

    def belonging(self, clips: tuple[int, ...]) -> list[float]:
        return [self.chance(None, *clips, clip) for clip in clips]


def heard(
    pair: tuple[Dissection, Dissection], listener: Any, units: Sequence[int] | None = None, **design: Any
) -> dict[int, ListeningRow]:
    """The rows of OTHER, by unit."""
    explained, held_out = pair
    audition = Audition(listener, listener.name, held_out, list(held_out.clips))
    some = None if units is None else [(OTHER, unit) for unit in units]
    whole = Design(**{"share": SHARE, "excerpts": 10, **design})
    rows = listen(explained, claims(explained), audition, whole, units=some, progress=False)
    return {row.unit: row for row in rows if row.site == OTHER}


# What is measured


@pytest.mark.parametrize(("right", "lined_up"), [(0.8, 0.6), (0.65, 0.9)])
def test_a_listener_that_is_right_so_often_is_seen_to_be(pair, right: float, lined_up: float) -> None:
    listener = Scripted(pair[1], right, lined_up)
    rows = list(heard(pair, listener).values())
    summary = listening_summary(rows)
    assert (summary.claims, summary.excerpts) == (MANY, 10 * MANY)
    assert summary.trials == 5 * MANY
    for share, interval, true, count in (
        (summary.detection, summary.interval, right, summary.excerpts),
        (summary.intruder, summary.intruder_interval, lined_up, summary.trials),
    ):
        assert share is not None and interval is not None
        assert abs(share - true) < 3.5 * (true * (1 - true) / count) ** 0.5
        assert interval[0] - 0.01 < true < interval[1] + 0.01
        assert interval[1] - interval[0] < 0.08
    assert np.mean([row.detection_auc for row in rows]) == pytest.approx(right, abs=0.02), "by pairs of yes and no"
    assert summary.others == pytest.approx(0.5, abs=0.02), "other units' words tell nothing of these clips"
    assert summary.p == pytest.approx(1 / 10_001)


def test_an_encoder_is_judged_by_the_order_of_its_fits(pair) -> None:
    """Two normal distributions one and a half deviations apart: an area of Φ(1.5 / √2)."""

    class Normal(Scripted):
        threshold = None

        def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
            noise = np.random.default_rng(int(1e9 * self.chance(statement, *clips))).standard_normal(len(clips))
            number = int(_NUMBER.search(statement)[1])  # type: ignore[index]
            fires = self.fires[list(clips), number] if number < MANY else np.zeros(len(clips))
            return (100 + 1.5 * fires + noise).tolist()

    rows = heard(pair, Normal(pair[1])).values()
    assert np.mean([row.detection_auc for row in rows]) == pytest.approx(0.856, abs=0.02)
    assert 0.7 < np.mean([row.detection for row in rows]) < 0.85


def test_a_listener_that_guesses_reaches_chance_and_its_p_are_no_smaller_than_they_should_be(pair) -> None:
    rows = list(heard(pair, Guessing(pair[1]), others=5).values())
    summary = listening_summary(rows)
    assert summary.detection == pytest.approx(0.5, abs=0.03)
    assert summary.intruder == pytest.approx(0.2, abs=0.04)
    assert summary.holding == 0
    assert summary.p is not None and summary.p > 0.01
    for column in ("p_chance", "p_words", "intruder_p", "p"):
        chances = np.array([getattr(row, column) for row in rows])
        for share in (0.05, 0.2, 0.5):
            assert (chances <= share).mean() <= share + 4 * (share * (1 - share) / MANY) ** 0.5
    for column in ("p_chance", "p_words"):
        assert 0.35 < np.median([getattr(row, column) for row in rows]) < 0.65, "near uniform, and not only careful"


def test_a_listener_that_prefers_some_clips_whatever_is_said_holds_for_no_claim(pair) -> None:
    """It is right of every unit that likes those clips, and would be with any other words."""

    class Deaf(Scripted):
        threshold = None

        def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
            return [float(clip) for clip in clips]

    rows = heard(pair, Deaf(pair[1]), others=5)
    assert min(row.p_chance for row in rows.values()) < 0.02
    assert all(row.p_words == row.p == 1.0 for row in rows.values())
    assert listening_summary(list(rows.values())).p == 1.0


def test_with_cheap_statements_a_claim_is_compared_with_many_and_else_with_few(pair) -> None:
    row = heard(pair, Scripted(pair[1]), units=[3])[3]
    assert row.others == 3
    assert row.p_chance == pytest.approx(1 / 252), "of 252 ways to choose five of ten"
    assert row.p == row.p_words >= 1 / 252
    listener = Scripted(pair[1])
    listener.cheap_statements = True
    row = heard(pair, listener, units=[3])[3]
    assert (row.others, row.p_words, row.p) == (199, pytest.approx(1 / 252), pytest.approx(1 / 252))
    asked = {statement for statement, _ in listener.questions}
    assert len(asked) == 201, "its own, others', and none for the intruder"
    assert all("of 5" not in str(statement) for statement in asked), "how many clips it was said of cannot be heard"


# Which clips are heard


def test_half_the_clips_are_those_on_which_the_unit_fires_and_no_clip_is_in_two_line_ups(pair) -> None:
    listener = Scripted(pair[1])
    for unit, row in heard(pair, listener, units=range(20)).items():
        assert sum(row.fires) == 5
        assert listener.fires[row.clips, unit].tolist() == row.fires
        assert len(set(row.clips)) == 10
        lined_up = [clip for line_up in row.intruder_clips for clip in line_up]
        assert len(lined_up) == len(set(lined_up)) == 25
        for clips, place in zip(row.intruder_clips, row.intruder_places, strict=True):
            assert [clip for clip in clips if not listener.fires[clip, unit]] == [clips[place]]


def test_the_place_of_the_intruder_and_of_firing_clips_tells_nothing(pair) -> None:
    rows = heard(pair, Scripted(pair[1])).values()
    places = np.bincount([place for row in rows for place in row.intruder_places], minlength=5)
    assert (np.abs(places / places.sum() - 0.2) < 0.05).all()
    firing = np.mean([row.fires for row in rows], 0)
    assert (np.abs(firing - 0.5) < 0.12).all()


@pytest.mark.parametrize(
    ("values", "clips", "line_ups"),
    [  # of the clips on which it fires, those count that lie half as far from its mean as the strongest
        ([1.0] * 30, 0, 0),
        ([np.nan] * 30, 0, 0),
        ([0.0] * 29 + [1.0], 2, 0),
        ([0.0] * 25 + [1.0, 2.0, 3.0, 4.0, 5.0], 6, 0),
        ([0.0] * 25 + [3.0, 3.5, 4.0, 4.5, 5.0], 10, 1),
        ([np.nan] * 4 + [0.0] * 22 + [2.5, 3.0, 3.5, 4.0], 8, 1),
        ([0.0, 8.6, 8.7, 8.8, 8.9, 9.0], 2, 1),
    ],
    ids=["constant", "not finite", "one clip", "three of five are strong", "five", "four, others not finite", "most"],
)
def test_a_unit_that_fires_on_few_clips_is_judged_by_those_there_are(
    values: list[float], clips: int, line_ups: int
) -> None:
    ids = [100 + place for place in range(len(values))]
    share = 0.83 if len(values) == 6 else 0.2
    drawn = draw_trials(np.array(values, np.float32), ids, share, 10, 5, 4, np.random.default_rng(0))
    assert (len(drawn.clips), sum(drawn.fires), len(drawn.line_ups)) == (clips, clips // 2, line_ups)
    finite = {clip for clip, value in zip(ids, values, strict=True) if np.isfinite(value)}
    assert set(drawn.clips) <= finite


def test_copies_of_a_clip_are_heard_once(pair, tmp_path: Path) -> None:
    held_out = Dissection.load(shutil.copytree(pair[1].folder, tmp_path / "copies"))
    path = held_out.folder / "clips.parquet"
    rows = [row | {"content": f"{row['clip'] % 50}"} for row in parquet.read_table(path).to_pylist()]
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    listener = Guessing(pair[1])
    heard((pair[0], Dissection.load(held_out.folder)), listener, units=range(5))
    assert listener.questions
    assert all(clip < 50 for _, clips in listener.questions for clip in clips)


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


# The table


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


def test_which_units_are_asked_for_makes_no_difference(pair) -> None:
    some = heard(pair, Scripted(pair[1], 0.8), units=[5, 9])
    (pair[0].folder / "explanations" / "listening.parquet").unlink()
    every = heard(pair, Scripted(pair[1], 0.8), units=range(12))
    assert {unit: every[unit] for unit in some} == some


def test_another_listener_or_prompt_has_a_table_of_its_own(pair) -> None:
    listener = Scripted(pair[1], 0.8)
    first = heard(pair, listener, units=[1])
    other = Scripted(pair[1], 0.6)
    other.settings = {"prompt": "another"}  # type: ignore[attr-defined]
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


# What goes wrong


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
        fits = staticmethod(answer)  # type: ignore[assignment]

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


@pytest.mark.parametrize("design", [{"excerpts": 1}, {"excerpts": 22}, {"line_ups": -1}, {"others": -1}])
def test_a_design_that_makes_no_sense_is_refused(design: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Design(**design)


# Where it is asked for and shown


def test_score_lets_a_listener_hear_the_clips_that_judge(pair) -> None:
    explained, held_out = pair
    listener = Scripted(held_out, 0.8)
    rows = score(explained, held_out, listener=listener, share=SHARE, sites=OTHER, units=range(6), progress=False)
    assert {row.unit for row in rows} == set(range(6))
    assert isinstance(rows[0], ScoreRow)
    table = {row.unit: row for row in read_table(explained, "listening")}
    assert set(table) == set(range(6))
    assert table[0].detection is not None
    shown = card(explained, OTHER, 3).listening["explanation"]
    assert (shown.listener, shown.detection, shown.clips) == ("scripted", table[3].detection, 20)
    with_summaries(explained, {(OTHER, 3): ("Sound number 5.", None)}, "other")
    assert card(explained, OTHER, 3).listening == {}, "it does not outlive what was said"


def test_a_site_that_was_not_dissected_there_is_not_needed_unless_it_is_asked_for(pair, tmp_path: Path) -> None:
    sites = pair[1].manifest.sites
    fewer = audible(tmp_path / "fewer", seed=2, clips=60, others=MANY, sites=[site.to_json() for site in sites[1:]])
    rows = heard((pair[0], fewer), Guessing(pair[1]), units=[2])
    assert rows[2].failure is None


def test_a_result_says_what_was_heard_and_what_chance_would_reach(pair) -> None:
    explained, held_out = pair
    score(explained, held_out, listener=Scripted(held_out), share=SHARE, units=[3, 9], progress=False)
    said = str(card(explained, OTHER, 3).listening["explanation"])
    assert said.startswith("20 of 20 excerpts judged rightly (chance 10, by the words for 3 other units ")
    assert said.endswith("intruder found 5 of 5 times (chance 1; p 0.00032).")
    constant = UNITS.index("constant")
    audition = Audition(Scripted(held_out), "scripted", held_out, list(held_out.clips))
    rows = listen(explained, claims(explained), audition, Design(share=SHARE), units=[(SITE, constant)], progress=False)
    (row,) = [row for row in rows if row.site == SITE]
    assert row.failure == "the unit is the same, or not finite, on all held-out clips"
    result = card(explained, SITE, constant).listening["explanation"]
    assert str(result) == "Not judged: the unit is the same, or not finite, on all held-out clips."


def test_kinds_of_sounds_that_a_listener_knows_are_heard_to_be_what_is_said(made: Path, tmp_path: Path) -> None:
    """Units of known meaning: what is truly said of them holds by ear, what is not does not."""
    explained, held_out = audible(tmp_path / "a", seed=3), audible(tmp_path / "b", seed=4, clips=200)
    said = {
        "dog": "Dog barking.", "bell": "Church bell.", "rain": "Rain falling.", "siren": "Dog barking.",
        "engine": "Engine humming.", "chance": "Siren wailing.",
    }  # fmt: skip
    with_summaries(explained, {(SITE, UNITS.index(name)): (text, None) for name, text in said.items()})
    kinds = {clip: KINDS.index(row.label) for clip, row in held_out.clips.items()}

    class Naming(Scripted):
        def fitting(self, statement: str, clips: tuple[int, ...]) -> list[float]:
            return [float(statement.split()[0].lower() == KINDS[kinds[clip]].split()[0]) for clip in clips]

        def belonging(self, clips: tuple[int, ...]) -> list[float]:
            return [float(sum(kinds[clip] == kinds[other] for other in clips) - 1) for clip in clips]

    score(explained, held_out, listener=Naming(held_out), sites=SITE, progress=False)
    rows = {UNITS[row.unit]: row for row in read_table(explained, "listening")}
    for name in ("dog", "bell", "rain", "engine"):
        assert rows[name].detection == rows[name].intruder == 1.0
    assert rows["siren"].detection < 0.6, "not true"
    assert rows["siren"].intruder == 1.0, "but the clips do go together"
    assert rows["chance"].detection_auc < 0.8
