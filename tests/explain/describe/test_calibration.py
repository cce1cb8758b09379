"""Calibration: what the lowly clips' summary says as well is dropped, in whatever order it stands."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_nnsight import DissectionError, plugins
from and_nnsight.explain import read_table
from and_nnsight.explain.describe.calibration import Calibration, calibrate, calibrate_sentences
from and_nnsight.explain.providers.encoders.words import Words
from and_nnsight.explain.records.reading import table_settings
from and_nnsight.plugins import PluginError
from tests.explain.small_dissection import small_dissection, with_summaries


class Angles:
    """A stub encoder: a text is its first number, as the cosine with the text 'lowly'."""

    name = "angles"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        cosines = np.array([float(word) for text in texts for word in text.split()[-1:]])
        return np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1).astype(np.float32)


def test_the_picture_of_the_paper() -> None:
    highly = ["similarity is 0.92", "similarity is 0.67", "similarity is 0.61", "similarity is 0.45"]
    found = calibrate_sentences(highly, ["lowly is 1.00"], Angles().encode, threshold=0.9)
    assert found.kept == tuple(highly[1:])
    (dropped,) = found.dropped
    assert dropped.sentence == highly[0]
    assert dropped.lowly == "lowly is 1.00"
    assert dropped.similarity == pytest.approx(0.92, abs=1e-5)
    at_default = calibrate_sentences(highly, ["lowly is 1.00"], Angles().encode)
    assert at_default.kept == (highly[3],)


def test_the_order_of_either_side_changes_nothing() -> None:
    highly = [f"highly is {value / 100:.2f}" for value in range(-90, 91, 15)]
    lowly = ["lowly is 1.00", "lowly is 0.10", "lowly is -0.95"]
    expected = calibrate_sentences(highly, lowly, Angles().encode, 0.97)
    assert expected.kept
    assert expected.dropped
    shuffler = random.Random(0)
    for _ in range(20):
        shuffled, others = shuffler.sample(highly, len(highly)), shuffler.sample(lowly, len(lowly))
        found = calibrate_sentences(shuffled, others, Angles().encode, 0.97)
        assert set(found.kept) == set(expected.kept)
        assert set(found.dropped) == set(expected.dropped)
        assert list(found.kept) == [sentence for sentence in shuffled if sentence in expected.kept]


def test_a_lowly_sentence_can_veto_more_than_one() -> None:
    found = calibrate_sentences(
        ["one is 1.00", "two is 0.99", "three is 0.98"], ["lowly is 1.00"], Angles().encode, 0.9
    )
    assert found.kept == ()
    assert len(found.dropped) == 3


def test_the_threshold_itself_is_kept() -> None:
    assert calibrate_sentences(["highly is 0.5"], ["lowly is 1.00"], Angles().encode, 0.5).kept == ("highly is 0.5",)


@pytest.mark.parametrize(("highly", "lowly"), [([], ["a"]), (["a"], []), ([], [])])
def test_without_a_side_nothing_is_dropped(highly: list[str], lowly: list[str]) -> None:
    assert calibrate_sentences(highly, lowly, Words().encode) == Calibration(tuple(highly), ())


def test_counts_do_not_make_sentences_alike() -> None:
    found = calibrate_sentences(
        ["Flute (5 of 5).", "Dog (4 of 5)."], ["Drum (5 of 5).", "Dog (2 of 5)."], Words().encode
    )
    assert found.kept == ("Flute (5 of 5).",)
    assert found.dropped[0].lowly == "Dog (2 of 5)."


def test_what_the_encoder_has_no_vector_for_is_kept() -> None:
    assert calibrate_sentences(["It is what it is."], ["It is what it is."], Words().encode).kept == (
        "It is what it is.",
    )


def test_every_unit_gets_its_row(tmp_path: Path) -> None:
    dissection = with_summaries(
        small_dissection(tmp_path / "run"),
        {
            ("first", 0): ("Sure! Dogs are barking. The clips are very loud.", "Very loud clips! Strings are plucked."),
            ("first", 1): ("Dogs are barking.", None),
            ("first", 2): (None, "Dogs are barking."),
            ("second", 0): ("Dogs are barking.", "Dogs are barking."),
            ("second", 1): ("Dogs are barking.", "Sure!"),
        },
    )
    rows = {(row.site, row.unit): row for row in calibrate(dissection, progress=False)}
    assert {at: row.calibrated for at, row in rows.items()} == {
        ("first", 0): "Dogs are barking.",
        ("first", 1): "Dogs are barking.",
        ("first", 2): None,
        ("second", 0): "",
        ("second", 1): "Dogs are barking.",
    }
    (dropped,) = rows["first", 0].dropped
    assert (dropped.sentence, dropped.lowly) == ("The clips are very loud.", "Very loud clips!")
    assert dropped.similarity > 0.9
    assert rows["first", 0].failure is None
    assert rows["first", 1].kept == ["Dogs are barking."]
    assert "nothing was compared: no summary of the lowly clips (lowly: no captions)" in rows["first", 1].failure
    assert "nothing to calibrate: no summary of the highly clips" in rows["first", 2].failure
    assert rows["second", 0].kept == []
    nothing_said = "nothing was compared: a summary without a sentence that says something of the lowly clips"
    assert rows["second", 1].failure == nothing_said
    assert {(row.site, row.unit) for row in read_table(dissection, "calibrated")} == set(rows)


def test_each_distinct_sentence_is_encoded_once(tmp_path: Path) -> None:
    texts = ("It is as high as 0.1", "It is as low as 1.0")
    dissection = with_summaries(small_dissection(tmp_path), {("first", unit): texts for unit in range(4)})
    encoder = Angles()
    rows = calibrate(dissection, text_encoder=encoder, progress=False)
    assert sorted(encoder.asked) == sorted(texts)
    assert [row.calibrated for row in rows] == [f"{texts[0]}."] * 4


def test_what_is_done_is_not_done_again_and_a_new_summary_is(tmp_path: Path) -> None:
    summaries = {("first", unit): (f"High by {unit}.1", "Low by 1.0") for unit in range(1)}
    dissection = with_summaries(small_dissection(tmp_path), summaries)
    calibrate(dissection, text_encoder=Angles(), progress=False)
    encoder = Angles()
    with_summaries(dissection, {("first", 0): ("Other by 0.2", "Low by 1.0"), ("first", 1): ("High by 0.1", None)})
    rows = calibrate(dissection, text_encoder=encoder, progress=False)
    assert [row.calibrated for row in rows] == ["Other by 0.2.", "High by 0.1."]
    encoder.asked.clear()
    assert calibrate(dissection, text_encoder=encoder, progress=False) == rows
    assert encoder.asked == []


def test_other_settings_have_a_table_of_their_own(tmp_path: Path) -> None:
    dissection = with_summaries(small_dissection(tmp_path), {("first", 0): ("It is high by 0.7", "It is low by 1.0")})
    assert calibrate(dissection, text_encoder=Angles(), threshold=0.6, progress=False)[0].calibrated == ""
    assert calibrate(dissection, text_encoder=Angles(), threshold=0.9, progress=False)[0].calibrated != ""
    assert calibrate(dissection, text_encoder=Angles(), threshold=0.6, progress=False)[0].calibrated == ""


def test_the_table_says_how_it_was_made_and_how_the_summaries_were(tmp_path: Path) -> None:
    dissection = with_summaries(small_dissection(tmp_path), {("first", 0): ("It is high by 0.7", "It is low by 1.0")})
    calibrate(dissection, text_encoder=Angles(), threshold=0.7, progress=False)
    summaries = table_settings(dissection, "summaries")
    assert summaries
    assert table_settings(dissection, "calibrated") == {
        "text_encoder": "angles",
        "threshold": 0.7,
        "summaries": summaries,
    }


def test_the_encoder_is_opened_on_the_device_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    class Opened(Angles):
        def __init__(self, argument: str = "", *, device: str | None = None) -> None:
            super().__init__()
            opened.append(device)

    monkeypatch.setattr(plugins, "resolve", lambda role, value, **options: (Opened(**options), value))
    dissection = with_summaries(small_dissection(tmp_path), {("first", 0): ("It is high by 0.7", "It is low by 1.0")})
    calibrate(dissection, text_encoder="angles", device="cuda:1", progress=False)
    assert opened == ["cuda:1"]


def test_without_summaries_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="has no summaries yet"):
        calibrate(small_dissection(tmp_path), progress=False)


@pytest.mark.parametrize("threshold", [1.5, -2.0, float("nan")])
def test_a_threshold_that_is_no_cosine_is_refused(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(ValueError, match="between -1 and 1"):
        calibrate(small_dissection(tmp_path), threshold=threshold, progress=False)


class Broken:
    name = "broken"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts) + 1, 3), np.float32)


def test_an_encoder_that_loses_count_is_named(tmp_path: Path) -> None:
    dissection = with_summaries(small_dissection(tmp_path), {("first", 0): ("A dog is barking.", "A cat is purring.")})
    with pytest.raises(ValueError, match=r"'broken' gave an array of shape \(3, 3\) for 2 texts"):
        calibrate(dissection, text_encoder=Broken(), progress=False)


def test_an_encoder_that_breaks_is_named_with_its_reason(tmp_path: Path) -> None:
    class Broken(Angles):
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            raise RuntimeError("out of memory")

    dissection = with_summaries(small_dissection(tmp_path / "run"), {("first", 0): ("one is 1.00", "two is 0.50")})
    with pytest.raises(PluginError, match="text encoder 'angles' failed on 2 texts: RuntimeError: out of memory"):
        calibrate(dissection, text_encoder=Broken(), progress=False)
