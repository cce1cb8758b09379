"""Choices of units measured beside their controls: against a naive oracle that keeps everything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from and_nnsight import AudioModel, Dissection, DissectionError, dissect
from and_nnsight.data import open_source
from and_nnsight.unlearn import ChoiceError, Measurement, UnitChoice, ablating, forward, matched, measure
from and_nnsight.unlearn.display import choice_table, class_table, method_table
from and_nnsight.unlearn.overlap import OverlapError
from tests.families import LABELS
from tests.sounds_for_tests import RATE
from tests.unlearn.models import CLIPS, WIDTHS, loaded

CHOICES = [
    UnitChoice({"blocks.0.mlp.hook_post": range(30)}, "ocp", "label_1"),
    UnitChoice({"blocks.1.mlp.hook_pre": range(40), "blocks.1.hook_mlp_out": [0, 5]}, "ocp", "label_3"),
    UnitChoice({"blocks.1.hook_mlp_out": range(0, 32, 2)}, "db", "label_1"),
]
DRAWS = 3


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return loaded("ast")


@pytest.fixture(scope="module")
def measurement(model: AudioModel) -> Measurement:
    return measure(model, CLIPS, CHOICES, draws=DRAWS, bootstrap=40, seed=7, batch_size=5, rows=16, progress=False)


def naive_numbers(model: AudioModel, choice: UnitChoice | None) -> dict[str, list[float]]:
    """Every clip's numbers, each clip and each choice by itself."""
    numbers: dict[str, list[float]] = {"logit": [], "probability": [], "accuracy": []}
    for clip in CLIPS:
        with torch.inference_mode(), ablating(model, choice or UnitChoice({})):
            logits = model.wrapped(**model.features(clip["audio"])).logits[0].double()
        true = int(str(clip["label"])[-1])
        numbers["logit"].append(float(logits[true]))
        numbers["probability"].append(float(logits.softmax(0)[true]))
        numbers["accuracy"].append(float(int(logits.argmax()) == true))
    return numbers


def naive_changes(before: list[float], after: list[float], label: str) -> tuple[float, float]:
    """The change of the mean over the label's clips, and over all other clips."""
    own = [a - b for a, b, clip in zip(after, before, CLIPS, strict=True) if clip["label"] == label]
    others = [a - b for a, b, clip in zip(after, before, CLIPS, strict=True) if clip["label"] != label]
    return sum(own) / len(own), sum(others) / len(others)


@pytest.mark.slow
def test_every_number_of_the_tables_is_the_naive_one(model: AudioModel, measurement: Measurement) -> None:
    before = naive_numbers(model, None)
    method_sums: dict[str, list[float]] = {}
    for place, (choice, row) in enumerate(zip(CHOICES, measurement.rows(), strict=True)):
        label = str(choice.concept).upper()
        assert (row.class_name, row.units, row.clips) == (label, choice.count, 4 if label[-1] == "1" else 2)
        drawn = [matched(choice, WIDTHS, 7 + place * DRAWS + draw) for draw in range(DRAWS)]
        after, controls = naive_numbers(model, choice), [naive_numbers(model, draw) for draw in drawn]
        for outcome in ("logit", "probability", "accuracy"):
            own, others = naive_changes(before[outcome], after[outcome], label)
            of_controls = [naive_changes(before[outcome], control[outcome], label) for control in controls]
            selectivities = [their - mine for mine, their in of_controls]
            summary = getattr(row, outcome)
            assert summary.own.value == pytest.approx(own, abs=1e-5)
            assert summary.others.value == pytest.approx(others, abs=1e-5)
            assert summary.selectivity.value == pytest.approx(others - own, abs=1e-5)
            assert summary.control_own.value == pytest.approx(np.mean([mine for mine, _ in of_controls]), abs=1e-5)
            assert summary.draws == pytest.approx(selectivities, abs=1e-5)
            assert summary.excess.value == pytest.approx(others - own - np.mean(selectivities), abs=1e-5)
            if outcome == "logit":
                method_sums.setdefault(choice.method, []).append(others - own)
                assert summary.beaten == sum(value < others - own for value in selectivities)
    for row in measurement.by_method():
        assert row.logit.selectivity.value == pytest.approx(np.mean(method_sums[row.method]), abs=1e-5)
    assert [(row.method, row.classes, row.units) for row in measurement.by_method()] == [
        ("ocp", 2, 36.0),
        ("db", 1, 16.0),
    ]


def test_the_interval_of_the_excess_is_that_of_its_own_draws(measurement: Measurement) -> None:
    from and_nnsight.statistics.bootstrap import clip_weights
    from and_nnsight.unlearn.effects import prediction

    clips = clip_weights(measurement.outcomes.labels, 40, 7)
    place, target = 1, 3
    delta = measurement.delta("logit")
    selectivity = np.zeros((41, 1, 1 + DRAWS))
    for replicate in range(41):
        chosen = np.repeat(np.arange(12), clips[replicate])
        own = [clip for clip in chosen if measurement.outcomes.labels[clip] == target]
        others = [clip for clip in chosen if measurement.outcomes.labels[clip] != target]
        variants = (place, *range(3 + place * DRAWS, 3 + (place + 1) * DRAWS))
        selectivity[replicate, 0] = [np.mean(delta[one, others]) - np.mean(delta[one, own]) for one in variants]
    excess = measurement.rows()[place].logit.excess
    assert excess == pytest.approx(prediction(selectivity))


def test_what_one_choice_does_to_every_class(measurement: Measurement) -> None:
    rows = measurement.by_class(0)
    delta, labels = measurement.delta("logit")[0], measurement.outcomes.labels
    assert [row.change.value for row in rows] == sorted(row.change.value for row in rows)
    assert {row.class_name for row in rows if row.target} == {"LABEL_1"}
    for row in rows:
        own = labels == int(row.class_name[-1])
        assert row.change.value == pytest.approx(delta[own].mean())
        assert row.after - row.before == pytest.approx(delta[own].mean())
        assert row.control.value == pytest.approx(measurement.delta("logit")[3 : 3 + DRAWS][:, own].mean())


def test_the_same_units_for_every_class_are_selective_of_none(model: AudioModel) -> None:
    units = {"blocks.0.mlp.hook_post": range(30)}
    choices = [UnitChoice(units, "fixed", f"LABEL_{label}") for label in range(LABELS)]
    (row,) = measure(model, CLIPS[:10], choices, draws=0, bootstrap=0, progress=False).by_method()
    assert row.logit.selectivity.value == pytest.approx(0, abs=1e-12)
    assert row.logit.own.value != 0
    assert row.logit.own.low is None


def test_controls_have_as_many_units_of_every_site_and_none_is_another(measurement: Measurement) -> None:
    controls = measurement.outcomes.choices[len(CHOICES) :]
    for place, control in enumerate(controls):
        assert control.counts == CHOICES[place // DRAWS].counts
        assert control.concept == CHOICES[place // DRAWS].concept
    assert len(set(controls)) == len(controls)
    assert measurement.delta("logit")[len(CHOICES) :].any(1).all()


def test_it_is_saved_and_comes_back(measurement: Measurement, tmp_path: Path) -> None:
    measurement.save(tmp_path / "out")
    again = Measurement.load(tmp_path / "out")
    assert again.rows() == measurement.rows()
    assert again.by_method() == measurement.by_method()
    assert again.by_class(2) == measurement.by_class(2)
    assert again.outcomes.choices == measurement.outcomes.choices
    with pytest.raises(DissectionError, match="holds no measured unlearning"):
        Measurement.load(tmp_path)


class Stopped(KeyboardInterrupt):
    """Ctrl-C at a known moment."""


def test_it_goes_on_where_it_was_stopped(
    model: AudioModel, measurement: Measurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"draws": DRAWS, "bootstrap": 40, "seed": 7, "batch_size": 5, "rows": 16}
    settings |= {"out": tmp_path / "out", "progress": False}
    over, seen = forward.Pass.over, []

    def stopping(*arguments: Any) -> Iterator[int]:
        for position in over(*arguments):
            seen.append(position)
            yield position
            if len(seen) == 2:
                raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(forward.Pass, "over", stopping)
        measure(model, CLIPS, CHOICES, **settings)
    monkeypatch.setattr(forward.Pass, "over", stopping)
    seen.append(0)
    resumed = measure(model, CLIPS, CHOICES, **settings)
    assert seen == [5, 10, 0, 12]
    assert np.array_equal(resumed.outcomes.ablated.logit, measurement.outcomes.ablated.logit)
    assert resumed.rows() == measurement.rows()
    assert measure(model, CLIPS, CHOICES, **settings).rows() == resumed.rows()
    assert seen == [5, 10, 0, 12]
    assert len(measure(model, CLIPS, CHOICES, **{**settings, "bootstrap": 10})._weights) == 11
    with pytest.raises(DissectionError, match="holds another measurement"):
        measure(model, CLIPS, CHOICES[:1], **settings)


def test_what_was_measured_of_half_a_batch_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded("hubert-pre")  # clips of one length run together: two groups a batch
    ragged = [clip | {"audio": clip["audio"][: 4000 if place % 2 else 8000]} for place, clip in enumerate(CLIPS)]
    choices = [UnitChoice({"blocks.0.mlp.hook_post": range(9)}, "own", "label_1")]
    settings: dict[str, Any] = {"draws": 1, "bootstrap": 0, "batch_size": 4, "progress": False}
    whole = measure(model, ragged, choices, **settings)
    inner, calls = forward.Pass._measure, []

    def stopping(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:  # the second group of the second batch
            raise Stopped
        return inner(*arguments)

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(forward.Pass, "_measure", stopping)
        measure(model, ragged, choices, out=tmp_path / "out", **settings)
    again = measure(model, ragged, choices, out=tmp_path / "out", **settings)
    assert np.array_equal(again.outcomes.ablated.logit, whole.outcomes.ablated.logit)
    assert again.outcomes.clips == whole.outcomes.clips


def test_tables_name_every_method_choice_and_class(measurement: Measurement) -> None:
    from rich.console import Console

    console = Console(width=160, file=StringIO())
    for table in (
        method_table(measurement),
        choice_table(measurement, "accuracy"),
        class_table(measurement, 1, most=2),
    ):
        console.print(table)
    said = console.file.getvalue()
    for word in ("ocp", "db", "label_3", "LABEL_3", "excess over controls", f"of {DRAWS}", "more classes"):
        assert word in said
    with pytest.raises(ValueError, match="unknown outcome"):
        method_table(measurement, "loss")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import soundfile

    folder = tmp_path_factory.mktemp("sounds")
    lines = ["file_name,label"]
    for place, clip in enumerate(CLIPS):
        soundfile.write(folder / f"{place:02}.wav", clip["audio"], RATE)
        lines.append(f"{place:02}.wav,{clip['label']}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def dissection(model: AudioModel, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    out = tmp_path_factory.mktemp("run") / "half"
    return dissect(model, files, list(WIDTHS), 2, out=out, limit=5, progress=False)


def test_clips_that_units_were_found_by_are_refused_or_left_out(
    model: AudioModel, files: Path, dissection: Dissection, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"draws": 0, "bootstrap": 0, "progress": False}
    with pytest.raises(OverlapError, match="clip 0 .* is one that the units were found by.*--overlap exclude"):
        measure(model, files, CHOICES, dissection=dissection, out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists(), "refused before anything is written"
    apart = measure(model, files, CHOICES, dissection=dissection, overlap="exclude", **settings)
    assert [clip.id for clip in apart.outcomes.clips] == list(range(5, 12))
    assert apart.outcomes.left_out == {"not to be measured": 5}
    with pytest.warns(UserWarning, match="found by"):
        allowed = measure(model, files, CHOICES, dissection=dissection, overlap="allow", **settings)
    assert len(allowed.outcomes.clips) == 12
    paths = [{"audio": str(files / f"{place:02}.wav"), "label": clip["label"]} for place, clip in enumerate(CLIPS)]
    with pytest.raises(OverlapError, match=r"03\.wav"):
        measure(model, [paths[7], *paths[3:]], CHOICES, dissection=dissection, out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists(), "nor where other data has some of the same files"
    assert measure(model, paths[5:], CHOICES, dissection=dissection, **settings)


def test_nothing_is_written_where_an_overlap_is_refused(
    model: AudioModel, files: Path, dissection: Dissection, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "draws": 0,
        "bootstrap": 0,
        "progress": False,
        "dissection": dissection,
        "batch_size": 2,
    }
    with pytest.raises(OverlapError):
        measure(model, files, CHOICES, out=tmp_path / "new" / "out", **settings)
    assert not (tmp_path / "new" / "out").exists()
    late = [{"audio": str(files / f"{place:02}.wav"), "label": CLIPS[place]["label"]} for place in (9, 10, 11, 2)]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").touch()
    with pytest.raises(OverlapError):
        measure(model, late, [choice for choice in CHOICES if choice.concept == "label_1"], out=mine, **settings)
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]


def test_amplification_is_measured_like_ablation(model: AudioModel) -> None:
    settings: dict[str, Any] = {"draws": 1, "bootstrap": 0, "progress": False, "rows": 4}
    doubled = measure(model, CLIPS, CHOICES[:1], how="amplify", gain=2.0, **settings)
    assert doubled.provenance.gain == 2.0
    features = model.features([clip["audio"] for clip in CLIPS])
    with torch.inference_mode(), ablating(model, CHOICES[0], "amplify", gain=2.0):
        logits = model.wrapped(**features).logits.double().numpy()
    expected = logits[np.arange(12), doubled.outcomes.labels]
    np.testing.assert_allclose(doubled.outcomes.ablated.logit[0], expected, atol=1e-5)
    assert np.abs(doubled.delta("logit")[0]).max() > 1e-3
    same = measure(model, CLIPS, CHOICES[:1], how="amplify", gain=1.0, **settings)
    np.testing.assert_allclose(same.delta("logit"), 0, atol=1e-6)
    with pytest.raises(ValueError, match="amplify needs a gain"):
        measure(model, CLIPS, CHOICES[:1], how="amplify", **settings)


def test_copies_of_clips_that_units_were_found_by_are_known_by_what_they_hold(
    model: AudioModel, files: Path, dissection: Dissection, tmp_path: Path
) -> None:
    copies = shutil.copytree(files, tmp_path / "elsewhere")
    for place in range(6):
        (copies / f"{place:02}.wav").rename(copies / f"x{place:02}.wav")
    names = [f"x{place:02}.wav" if place < 6 else f"{place:02}.wav" for place in range(12)]
    clips = [{"audio": str(copies / name), "label": clip["label"]} for name, clip in zip(names, CLIPS, strict=True)]
    settings: dict[str, Any] = {"draws": 0, "bootstrap": 0, "progress": False}
    with pytest.raises(OverlapError, match=r"x04\.wav"):
        measure(model, clips[4:], CHOICES, dissection=dissection, **settings)
    apart = measure(model, clips, CHOICES, dissection=dissection, overlap="exclude", **settings)
    assert [clip.id for clip in apart.outcomes.clips] == list(range(5, 12))


def test_the_same_samples_without_a_path_are_known_too(model: AudioModel, files: Path, dissection: Dissection) -> None:
    waves = [soundfile.read(files / f"{place:02}.wav", dtype="float32")[0] for place in range(12)]
    clips = [CLIPS[place] | {"audio": wave} for place, wave in enumerate(waves)]
    settings: dict[str, Any] = {"draws": 0, "bootstrap": 0, "progress": False}
    apart = measure(model, clips, CHOICES, dissection=dissection, overlap="exclude", **settings)
    assert [clip.id for clip in apart.outcomes.clips] == list(range(5, 12))
    with pytest.raises(OverlapError, match="clip 1 .no path. of"):
        measure(model, [clips[7], clips[2], *clips[8:]], CHOICES, dissection=dissection, **settings)


def test_units_of_another_model_are_warned_of(
    model: AudioModel, files: Path, dissection: Dissection, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(dissection.manifest, model=replace(dissection.manifest.model, weights="other"))
    monkeypatch.setattr(dissection, "manifest", other)
    with pytest.warns(UserWarning, match="a dissection of another model .*other weights"):
        measure(model, files, CHOICES, dissection=dissection, overlap="exclude", draws=0, bootstrap=0, progress=False)
    monkeypatch.setattr(dissection, "manifest", replace(other, dtype="bfloat16"))  # other precision, which says nothing
    measure(model, files, CHOICES, dissection=dissection, overlap="exclude", draws=0, bootstrap=0, progress=False)


def test_without_the_dissection_the_choices_say_what_they_were_found_by(
    model: AudioModel, files: Path, dissection: Dissection
) -> None:
    source = open_source(files)
    origin = {"fingerprint": source.fingerprint, "split": None, "limit": 5, "name": "x"}
    choice = UnitChoice(CHOICES[0].units, "ocp", "label_1", {"dataset": origin})
    settings: dict[str, Any] = {"draws": 0, "bootstrap": 0, "progress": False}
    with pytest.raises(OverlapError):
        measure(model, files, choice, **settings)
    apart = measure(model, files, choice, overlap="exclude", **settings)
    assert [clip.id for clip in apart.outcomes.clips] == list(range(5, 12))


def test_what_cannot_be_measured_is_refused(model: AudioModel, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"draws": 0, "bootstrap": 0, "progress": False}
    own = UnitChoice(CHOICES[0].units)
    with pytest.raises(ChoiceError, match="a choice without a concept"):
        measure(model, CLIPS, own, **settings)
    named = UnitChoice(own.units, "own", "barking")
    with pytest.raises(ChoiceError, match="'barking' is no class of the model"):
        measure(model, CLIPS, named, **settings)
    assert measure(model, CLIPS, named, targets={"barking": "label 1"}, **settings).rows()[0].class_name == "LABEL_1"
    with pytest.raises(ValueError, match="no clip of the class 'LABEL_4'"):
        measure(model, CLIPS[:4], UnitChoice(own.units, "own", "label_4"), **settings)
    with pytest.raises(ValueError, match="no clip but those of the class 'LABEL_0'"):
        measure(model, CLIPS[:1], UnitChoice(own.units, "own", "label_0"), **settings)
    with pytest.raises(ValueError, match="no choice of units"):
        measure(model, CLIPS, [], **settings)
    with pytest.raises(ValueError, match="draws must be"):
        measure(model, CLIPS, named, draws=-1)
    with pytest.raises(ValueError, match="unknown way to treat an overlap"):
        measure(model, CLIPS, CHOICES, overlap="ignore", **settings)
