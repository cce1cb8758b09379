"""One pass over labelled clips: the baseline is the plain model, and ablations side by side are those one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel
from and_nnsight.unlearn import UnitChoice, ablate, ablated_outcomes, matched
from tests.families import FAMILIES, LABELS
from tests.sounds_for_tests import RATE, noise
from tests.unlearn.models import loaded

pytestmark = pytest.mark.slow

CLIPS = [
    {"audio": noise(0.5 + 0.3 * (place % 2), seed=place), "sampling_rate": RATE, "label": f"label_{place % LABELS}"}
    for place in range(11)
]
SITES = {"blocks.0.mlp.hook_post": 64, "blocks.1.hook_attn_out": 32}
CHOICE = UnitChoice({"blocks.0.mlp.hook_post": range(20), "blocks.1.hook_attn_out": [1, 2]}, "own", "label_1")
CHOICES = [CHOICE, *(matched(CHOICE, SITES, seed) for seed in range(3)), UnitChoice({}, concept="label_2")]


def naive(model: AudioModel, clip: dict[str, Any]) -> torch.Tensor:
    """The class logits of one clip, traced alone."""
    with torch.inference_mode(), model.trace(clip["audio"]):
        logits = model.output.logits.save()
    return logits[0].double()


@pytest.mark.parametrize("name", ["ast", "whisper-classify", "hubert-pre", "wav2vec2-bert"])
def test_everything_is_what_each_clip_and_each_choice_alone_gives(name: str) -> None:
    model = loaded(name)
    outcomes = ablated_outcomes(model, CLIPS, CHOICES, batch_size=4, rows=12, progress=False)
    assert outcomes.labels.tolist() == [place % LABELS for place in range(11)]
    for place, clip in enumerate(CLIPS):
        for part, variant in [(outcomes.baseline, None), *((outcomes.ablated, v) for v in range(len(CHOICES)))]:
            logits = naive(model if variant is None else ablate(model, CHOICES[variant]), clip)
            at = place if variant is None else (variant, place)
            true = place % LABELS
            assert part.logit[at] == pytest.approx(float(logits[true]), abs=1e-5)
            assert part.probability[at] == pytest.approx(float(logits.softmax(0)[true]), abs=1e-6)
            assert part.correct[at] == (int(logits.argmax()) == true)


def test_the_baseline_is_the_plain_forward_bit_for_bit() -> None:
    model = loaded("ast")
    outcomes = ablated_outcomes(model, CLIPS, CHOICES, batch_size=4, progress=False)
    for start in range(0, len(CLIPS), 4):
        clips = CLIPS[start : start + 4]
        with torch.inference_mode():
            logits = model.wrapped(**model.features([clip["audio"] for clip in clips])).logits.double()
        rows = torch.arange(len(clips))
        expected = logits[rows, [(start + int(row)) % LABELS for row in rows]]
        assert outcomes.baseline.logit[start : start + 4].tolist() == expected.tolist()


@pytest.mark.parametrize("rows", [1, 5, 8, 100])
def test_how_many_run_side_by_side_does_not_matter(rows: int) -> None:
    model = loaded("ast")
    one = ablated_outcomes(model, CLIPS, CHOICES, batch_size=4, rows=4, progress=False)
    other = ablated_outcomes(model, CLIPS, CHOICES, batch_size=4, rows=rows, progress=False)
    np.testing.assert_allclose(one.ablated.logit, other.ablated.logit, rtol=0, atol=1e-5)
    assert np.array_equal(one.baseline.logit, other.baseline.logit)


def test_accuracies_are_those_of_the_choices_in_their_order() -> None:
    outcomes = ablated_outcomes(loaded("ast"), CLIPS, CHOICES, progress=False)
    assert outcomes.accuracy() == outcomes.baseline.correct.mean()
    assert outcomes.accuracies().shape == (len(CHOICES),)
    assert outcomes.accuracies()[-1] == outcomes.accuracy()
    assert ablated_outcomes(loaded("ast"), CLIPS, [], progress=False).accuracies().shape == (0,)


def test_clips_that_cannot_be_measured_are_left_out_and_counted_and_shift_no_label() -> None:
    strange = [
        {"audio": noise(0.5), "label": "thunder"},
        *CLIPS[:3],
        {"audio": noise(0.5)},
        {"audio": np.zeros(0, np.float32), "label": "label_1"},
        CLIPS[3],
    ]
    outcomes = ablated_outcomes(loaded("ast"), strange, CHOICES[:1], batch_size=3, progress=False)
    assert [clip.id for clip in outcomes.clips] == [1, 2, 3, 6]
    assert outcomes.labels.tolist() == [0, 1, 2, 3]
    assert outcomes.left_out == {"a label that is no class of the model": 1, "no label": 1, "could not be read": 1}
    alone = ablated_outcomes(loaded("ast"), CLIPS[:4], CHOICES[:1], batch_size=1, progress=False)
    np.testing.assert_allclose(outcomes.ablated.logit, alone.ablated.logit, atol=1e-5)
    kept = ablated_outcomes(loaded("ast"), CLIPS, [], keep=lambda clip: clip.id % 2 == 0, progress=False)
    assert [clip.id for clip in kept.clips] == [0, 2, 4, 6, 8, 10]


def test_clips_at_another_rate_are_heard_at_the_models() -> None:
    slow = [{"audio": noise(1.0)[::2], "sampling_rate": RATE // 2, "label": "label_1"}]
    model = loaded("ast")
    outcomes = ablated_outcomes(model, slow, [], progress=False)
    with torch.inference_mode():
        logits = model.wrapped(**model.features(slow[0]["audio"], RATE // 2)).logits
    assert outcomes.baseline.logit[0] == float(logits[0, 1])


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="no clip to measure by .*'thunder'"):
        ablated_outcomes(loaded("ast"), [{"audio": noise(0.5), "label": "thunder"}], [], progress=False)
    with pytest.raises(ValueError, match="no classifier whose config names every class"):
        ablated_outcomes(loaded("ast-bare"), CLIPS, [], progress=False)
    with pytest.raises(ValueError, match="classifier"):
        ablated_outcomes(loaded("wav2vec2-ctc"), CLIPS, [], progress=False)
    with pytest.raises(ValueError, match="has edits"):
        ablated_outcomes(ablate(loaded("ast"), CHOICE), CLIPS, [], progress=False)
    with pytest.raises(ValueError, match="rows must be at least 1"):
        ablated_outcomes(loaded("ast"), CLIPS, [], rows=0, progress=False)
    with pytest.raises(ValueError, match="batch of one clip"):
        ablated_outcomes(loaded("ast"), CLIPS[:3], [CHOICE], how="resample", batch_size=2, progress=False)


def test_classes_of_one_name_are_refused() -> None:
    family = FAMILIES["ast"]
    module: Any = family.build()
    module.config.id2label = dict.fromkeys(range(LABELS), "same")
    with pytest.raises(ValueError, match="two classes of the model are called 'same'"):
        ablated_outcomes(AudioModel(module, feature_extractor=family.extractor()), CLIPS, [], progress=False)


def test_in_bfloat16_numbers_are_kept_in_full() -> None:
    model = loaded("ast", torch.bfloat16)
    outcomes = ablated_outcomes(model, CLIPS, CHOICES, progress=False)
    assert outcomes.ablated.logit.dtype == np.float64
    assert np.isfinite(outcomes.ablated.probability).all()
