"""Open-concept pruning ranks by the captions of a unit's exemplars, and by nothing that is no evidence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.explain import caption
from and_nnsight.explain.records.description_rows import SummaryRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.unlearn import ChoiceError, choose, ranked
from tests.explain.activations_dissection import SITE, activations_dissection
from tests.unlearn.explained import with_calibrated

CAPTIONS = (
    ["A dog barks."] * 12 + ["A flute plays."] * 12 + ["A pan flute plays."] * 12 + ["A voice speaks English."] * 4
)
LABELS = ["dog"] * 12 + ["flute"] * 12 + ["pan_flute"] * 12 + ["speech_english"] * 4
CLIPS = len(CAPTIONS)


def firing(order: Mapping[int, float] | list[int]) -> np.ndarray:
    """A unit that fires on these clips, the first the most, and says little of all others."""
    values = np.linspace(0, 0.01, CLIPS)
    ranks = order if isinstance(order, Mapping) else {clip: 2.0 - 0.05 * rank for rank, clip in enumerate(order)}
    for clip, value in ranks.items():
        values[clip] = value
    return values


def dissection_of(folder: Path, *units: np.ndarray, k: int = 16, captions: list[str] | None = None) -> Dissection:
    return activations_dissection(
        folder / "run", np.stack(units, 1), k=k, labels=LABELS, captions=CAPTIONS if captions is None else captions
    )


def order(dissection: Dissection, concept: str, **options: object) -> list[int]:
    return [unit for _, unit in ranked(dissection, concept, **options).units]


def test_units_with_three_of_five_come_first_then_the_share_of_all_by_strength(tmp_path: Path) -> None:
    three_of_five = firing([0, 1, 2, 12, 13, 14, 15, 16])
    all_late = firing([12, 13, 14, 0, 1, 2, 3, 4, 5, 6])  # two of five, seven of all
    five = firing([0, 1, 2, 3, 4, 12, 13])
    none = firing([12, 13, 14, 15, 16])
    dissection = dissection_of(tmp_path, all_late, none, three_of_five, five, k=10)
    assert order(dissection, "dog")[:3] == [3, 2, 0]
    assert ranked(dissection, "dog").default_count == 2
    assert choose(dissection, "dog").units == {SITE: (2, 3)}
    assert choose(dissection, "dog", count=3).units == {SITE: (0, 2, 3)}


def test_the_calibrated_summary_decides_between_equals_alone(tmp_path: Path) -> None:
    dissection = dissection_of(tmp_path, *[firing([0, 1, 2, 12, 13])] * 8, firing([0, 1, 2, 3, 12]), k=5)
    with_calibrated(dissection, {(SITE, 5): "Barking dogs.", (SITE, 1): "A hot day."})
    for seed in range(8):
        assert order(dissection, "dog", seed=seed)[:2] == [8, 5]
    with_calibrated(dissection, {(SITE, 5): None, (SITE, 6): "A dog."})
    assert order(dissection, "dog")[1] == 6


def test_strength_decides_between_equal_shares(tmp_path: Path) -> None:
    strong = firing({0: 2.0, 1: 1.9, 2: 1.8, 12: 1.7, 13: 1.6})
    weak = firing({0: 2.0, 1: 0.9, 2: 0.8, 12: 0.7, 13: 0.6})
    dissection = dissection_of(tmp_path, weak, weak, strong, weak, k=5)
    assert order(dissection, "dog")[0] == 2


def test_a_tie_that_reaches_the_border_is_no_evidence(tmp_path: Path) -> None:
    rectified = np.zeros(CLIPS)
    rectified[[12, 13]] = 1.0  # the other places of its list are zeros, in the order of the files: dogs
    dissection = dissection_of(tmp_path, rectified, firing([0, 12, 13, 14, 15]))
    assert order(dissection, "dog")[0] == 1
    assert ranked(dissection, "dog").default_count == 0
    with pytest.raises(ChoiceError, match=r"finds no unit for 'dog' by itself, and ranks \d: say how many"):
        choose(dissection, "dog")


def test_one_decided_exemplar_is_one_of_five_not_all(tmp_path: Path) -> None:
    single = np.zeros(CLIPS)
    single[0] = 1.0
    dissection = dissection_of(tmp_path, single, firing([0, 1, 2, 12, 13]), k=5)
    assert order(dissection, "dog") == [1, 0]
    assert choose(dissection, "dog").units == {SITE: (1,)}


def test_copies_count_once(tmp_path: Path) -> None:
    values = np.stack([firing([0, 1, 2, 3, 12]), firing([0, 5, 6, 12, 13])], 1)
    dissection = activations_dissection(
        tmp_path / "run", values, k=8, labels=LABELS, captions=CAPTIONS, copies={1: 0, 2: 0, 3: 0}
    )
    assert order(dissection, "dog")[0] == 1


def test_a_class_within_a_longer_ones_name_is_told_from_it(tmp_path: Path) -> None:
    dissection = dissection_of(tmp_path, firing([24, 25, 26, 27, 28]), firing([12, 13, 14, 15, 16]), k=5)
    assert choose(dissection, "flute").units == {SITE: (1,)}
    assert choose(dissection, "pan_flute").units == {SITE: (0,)}
    assert choose(dissection, "Pan flute").units == {SITE: (0,)}


def test_a_concept_that_is_no_class_holds_all_of_its_kinds(tmp_path: Path) -> None:
    dissection = dissection_of(tmp_path, firing([24, 25, 26, 12, 13]), firing([0, 1, 2, 3, 4]), k=5)
    assert choose(dissection, "flutes").units == {SITE: (0,)}


def test_words_that_no_caption_has_are_left_out_and_said(tmp_path: Path) -> None:
    dissection = dissection_of(tmp_path, firing([36, 37, 38, 0, 1]), firing([0, 1, 2, 3, 4]), k=5)
    choice = choose(dissection, "speech_english")
    assert choice.units == {SITE: (0,)}
    assert choice.settings["in_no_caption"] == ["speech"]
    assert choice.settings["phrases"] == ["english"]
    assert choose(dissection, "dog").settings["in_no_caption"] == []


def test_ways_to_say_it_take_the_place_of_the_name(tmp_path: Path) -> None:
    dissection = dissection_of(tmp_path, firing([36, 37, 38, 0, 1]), firing([0, 1, 2, 3, 4]), k=5)
    assert choose(dissection, "talking", words=["voice speaking", "voices"]).units == {SITE: (0,)}
    with pytest.raises(ChoiceError, match=r"no caption carries 'dog voic', for 'x' \(dog, voic occur, not together\)"):
        choose(dissection, "x", words=["dog voice"])
    with pytest.raises(ChoiceError, match=r"no caption carries 'xylophon', for 'xylophone': .* --words|\(--words\)"):
        choose(dissection, "xylophone")
    with pytest.raises(ChoiceError, match="no word of 'of the' could be a concept"):
        choose(dissection, "of the")


def test_units_whose_lowest_clips_carry_it_follow_all_others(tmp_path: Path) -> None:
    rising = 2 * np.linspace(0, 0.01, CLIPS)
    low = rising - firing([0, 1, 2, 3, 4])  # highest on speech
    barely = firing([12, 13, 14, 15, 0]) - rising
    neither = firing([12, 13, 14, 15, 16]) - rising  # lowest on speech
    dissection = dissection_of(tmp_path, low, barely, neither, k=5)
    assert order(dissection, "dog") == [1, 0]


def test_captions_that_were_made_take_the_place_of_the_datasets(tmp_path: Path) -> None:
    class Parrot:
        sampling_rate = None

        def caption(self, clips: list[object]) -> list[str]:
            return ["A parrot talks." for _ in clips]

    dissection = dissection_of(tmp_path, firing([0, 1, 2, 3, 4]), k=5)
    assert choose(dissection, "dog").count == 1
    caption(dissection, Parrot(), progress=False)
    assert choose(dissection, "parrot").count == 1
    with pytest.raises(ChoiceError, match="no caption carries 'dog'"):
        choose(dissection, "dog")


def test_excerpts_are_judged_by_their_own_captions(tmp_path: Path) -> None:
    class ByClip:
        sampling_rate = None

        def caption(self, clips: list[object]) -> list[str]:
            return [f"A {'hound' if clip.span.clip < 3 else 'cat'} in an excerpt." for clip in clips]

    dissection = dissection_of(tmp_path, firing([0, 1, 2, 3, 4]), firing([5, 6, 7, 0, 8]), k=5)
    caption(dissection, ByClip(), excerpt=0.4, progress=False)
    with Table(dissection, SummaryRow, {"excerpt": 0.4}) as table:
        table.add([SummaryRow(SITE, 0, "x")])
    assert choose(dissection, "hound").units == {SITE: (0,)}
    assert order(dissection, "hound") == [0, 1]


def test_without_any_captions_the_command_is_named(tmp_path: Path) -> None:
    dissection = dissection_of(tmp_path, firing([0]), captions=[""] * CLIPS)
    with pytest.raises(DissectionError, match="no captions yet: run `and-nnsight explain"):
        choose(dissection, "dog", count=1)


def test_where_activations_are_kept_all_units_are_ranked_the_rest_by_their_mean_on_such_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(CLIPS, 6)) * 0.1
    rest[12:17] += 5.0  # the five highest are flutes
    rest[20:25] -= 5.0  # and the lowest are no dogs
    rest[:12] += np.linspace(-1, 1, 6)[[3, 0, 5, 1, 4, 2]]
    values = np.concatenate([rest, firing([0, 1, 2, 3, 4])[:, None], np.full((CLIPS, 1), 2.0)], 1)
    options = {"k": 5, "labels": LABELS, "captions": CAPTIONS}
    kept = activations_dissection(tmp_path / "kept", values, kept=True, **options)
    assert order(kept, "dog")[:4] == [6, 2, 4, 0]
    assert len(order(kept, "dog")) == 8
    assert order(kept, "dog", method="ocp_exemplars") == [6]
    assert choose(kept, "dog").units == {SITE: (6,)}
    bare = activations_dissection(tmp_path / "bare", values, **options)
    assert order(bare, "dog") == [6]
    with pytest.raises(ChoiceError, match=r"ranks 1 unit for 'dog', and 2 .*-k.*--keep-activations"):
        choose(bare, "dog", count=2)


def test_where_activations_are_kept_the_units_that_are_found_are_ranked_by_all_captions(tmp_path: Path) -> None:
    more_exemplars = firing([0, 1, 2, 3, 4])
    all_dogs = firing([0, 1, 2, 12, 13])
    all_dogs[:12] = np.maximum(all_dogs[:12], 1.0)
    values, options = np.stack([more_exemplars, all_dogs], 1), {"k": 5, "labels": LABELS, "captions": CAPTIONS}
    kept = activations_dissection(tmp_path / "kept", values, kept=True, **options)
    assert order(kept, "dog") == [1, 0]
    assert order(kept, "dog", method="ocp_exemplars") == [0, 1]
    assert "mean over clips" in ranked(kept, "dog").settings["rank"]
    assert "mean over clips" not in ranked(kept, "dog", method="ocp_exemplars").settings["rank"]
