"""Ground truth: units of known meaning are found, named, and told from units that mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel
from and_nnsight.demo import make_sound
from benchmarks import planted
from benchmarks.planted_model import DISTRACTORS, FEATURES, MEANINGS, Block, Measuring, PlantedModel

pytestmark = pytest.mark.slow

SEED, PER_CLASS, SHUFFLES = 0, 4, 249


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return planted.measure(SEED, PER_CLASS, PER_CLASS, tmp_path_factory.mktemp("planted"), shuffles=SHUFFLES)


def share(run: dict[str, Any], step: str, captioner: str = "") -> float:
    (found,) = (row["right"] for row in run["rows"] if row["step"] == step and row["captioner"] == captioner)
    return found


def missed(run: dict[str, Any], step: str, captioner: str = "column:caption") -> list[str]:
    (found,) = (row["wrong"] for row in run["rows"] if row["step"] == step and row["captioner"] == captioner)
    return found


def test_the_features_are_what_they_are_called() -> None:
    def measured(label: str) -> np.ndarray:
        wave = make_sound(label, 0).waveform
        return Measuring()([wave], 16_000, "pt")["sound"][0].numpy()

    at = {name: place for place, name in enumerate(FEATURES)}
    assert measured("low tone")[:, at["low"]].max() > 0.9
    assert measured("high tone")[:, at["high"]].max() > 0.9
    assert measured("white noise")[:, at["noise"]].max() > 0.9
    assert measured("fast tremolo")[:, at["swing"]].max() > 0.5
    assert measured("slow tremolo")[:, at["swing"]].max() < 0.2
    assert (measured("slow clicks")[:, at["onset"]] > 0.5).sum() >= 3
    assert (measured("swelling tone")[:, at["onset"]] > 0.5).sum() <= 1


def test_units_stand_where_the_model_says() -> None:
    model = PlantedModel(3)
    sites = AudioModel(model).sites(*planted.SITES)
    widths = [len(here) for here in model.units for _ in planted.SITES]
    assert [site.width for site in sites] == widths
    assert {unit.name for here in model.units for unit in here} == {unit.name for unit in (*MEANINGS, *DISTRACTORS)}
    assert [unit.name for unit in PlantedModel(4).units[0]] != [unit.name for unit in model.units[0]]


def test_the_second_block_sees_the_mean_over_the_clip() -> None:
    model = PlantedModel()
    sound = torch.rand(2, 40, len(FEATURES) + 8)
    first = model.layers[0](model.embed(sound))
    second = model.layers[1]
    assert isinstance(second, Block)
    attended = first + second.attention(first, first, first)[0]
    at = model.coordinates
    torch.testing.assert_close(attended[:, 7, at["mean noise"]], sound[:, :, FEATURES.index("noise")].mean(1))
    own = attended[:, :, at["unit noise"]].mean(1)
    torch.testing.assert_close(attended[:, 7, at["mean unit noise"]], own)


def test_the_top_clips_of_planted_units_are_of_their_kinds(run: dict[str, Any]) -> None:
    assert share(run, "dissect: top clips") >= 0.9


@pytest.mark.parametrize("similarity", ["pearson", "auprc", "cos"])
def test_streamed_statistics_find_the_true_concepts(run: dict[str, Any], similarity: str) -> None:
    assert share(run, f"truth, streamed: {similarity}") >= 0.7


@pytest.mark.parametrize(("captioner", "least"), [("column:caption", 0.7), ("acoustic", 0.65)])
def test_words_and_labels_say_what_was_planted(run: dict[str, Any], captioner: str, least: float) -> None:
    for step in ("words: summaries", "words: calibrated", "words: concepts", "label: db, cos_cubed"):
        assert share(run, step, captioner) >= least


@pytest.mark.parametrize("captioner", planted.CAPTIONERS)
def test_distractors_are_left_alone_or_marked(run: dict[str, Any], captioner: str) -> None:
    steps = [row["step"] for row in run["rows"] if row["captioner"] == captioner and "distractors" in row["step"]]
    assert len(steps) == 1 + len(planted.SIMILARITIES)
    for step in steps:
        assert share(run, step, captioner) >= 0.75
        never = ("loudness", "dead", "constant")  # what a null explains, or nothing can
        assert not [name for name in missed(run, step, captioner) if name.startswith(never)]


def test_what_is_said_rightly_is_mostly_shown_to_be_true(run: dict[str, Any]) -> None:
    for captioner in planted.CAPTIONERS:
        assert share(run, "score: the true predict their clips", captioner) >= 0.9
        assert share(run, "score: the true hold", captioner) >= 0.5
        assert share(run, "score: what is loudness by another name does not hold", captioner) == 1


def test_the_truth_tells_which_units_are_loudness_by_another_name(run: dict[str, Any]) -> None:
    theirs = missed(run, planted.MORE, "")
    assert "silence, post" in theirs
    assert not [name for name in theirs if name.startswith(("fast swing", "high tone"))]


def test_a_text_is_right_if_it_has_a_word_of_the_unit_and_no_wrong_one() -> None:
    low = next(unit for unit in MEANINGS if unit.name == "low tone")
    assert planted.says_rightly(low, "Low-pitched pure tone (5 of 5).")
    assert not planted.says_rightly(low, "High-pitched (3 of 5). Low-pitched (2 of 5).")
    assert not planted.says_rightly(low, "A slow thing with bellows.")
    assert not planted.says_rightly(low, None)


def test_strictly_right_is_all_of_a_meaning_and_nothing_that_is_said_of_another() -> None:
    low, either, noise = (
        next(unit for unit in MEANINGS if unit.name == name) for name in ("low tone", "noise or high tone", "noise")
    )
    units = {("a", 0): low, ("a", 1): either, ("a", 2): noise}

    def strict(*texts: str | None) -> set[int]:
        return {unit for _, unit in planted.says_strictly(units, dict(zip(units, texts, strict=True)))}

    assert strict("A low-pitched tone in 5 of 5 clips.", "A noise in 3 of 5 clips. A high-pitched tone in 2 of 5 clips.",
                  "A broadband noise in 5 of 5 clips.") == {0, 1, 2}  # fmt: skip
    assert strict("A low-pitched tone in 5 of 5 clips.", "A noise in 4 of 5 clips.", "A noise in 3 of 5 clips.") == {0}
    assert strict("A high-pitched tone.", "A high-pitched tone in 5 of 5 clips.", None) == set()


def test_seeds_are_put_together(run: dict[str, Any]) -> None:
    rows = planted.summary([run, run])
    first = rows[0]
    assert first["of"] == 2 * run["units"]
    assert first["right"] == pytest.approx(run["rows"][0]["right"], abs=1e-3)
    planted.print_summary(rows, 2)


def test_the_truth_has_a_concept_a_distinct_set_of_kinds(tmp_path: Path) -> None:
    scores = planted.truth_of([make_sound("drum", 0), make_sound("beeps", 0)])
    assert len(scores.names) == len({unit.classes for unit in MEANINGS})
    assert scores.values[:, scores.names.index("low tone")].tolist() == [1.0, 0.0]
    assert scores.values[:, scores.names.index("onsets")].tolist() == [1.0, 1.0]
