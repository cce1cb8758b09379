"""Which units each method chooses for a concept, in which order, and what it says where it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from and_nnsight import AudioModel, ConceptScores, Dissection, DissectionError, dissect
from and_nnsight.unlearn import ChoiceError, UnitChoice, choose, ranked
from and_nnsight.unlearn.prunable_sites import site_widths
from tests.explain.small_dissection import SITES, small_dissection
from tests.families import FAMILIES
from tests.sounds_for_tests import ragged
from tests.unlearn.explained import with_labels


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    return small_dissection(tmp_path / "run")


def test_units_that_tie_are_in_an_order_that_the_seed_draws_not_in_the_models(dissection: Dissection) -> None:
    every = [(site, unit, 0, "dog", 0.5) for site, width in SITES.items() for unit in range(width)]
    with_labels(dissection, every)
    firsts = [ranked(dissection, "dog", method="db", seed=seed).units[0] for seed in range(60)]
    assert len(set(firsts)) == len(every)
    assert ranked(dissection, "dog", method="db", seed=3) == ranked(dissection, "dog", method="db", seed=3)
    assert choose(dissection, "dog", method="db", count=2, seed=1) == choose(
        dissection, "dog", method="db", count=2, seed=1
    )


def test_labels_count_where_the_concept_is_among_the_top_three(dissection: Dissection) -> None:
    rows = [("first", unit, rank, name, 0.5 - 0.1 * rank) for unit in (0, 1, 2) for rank, name in enumerate("xyz")]
    rows += [("first", 0, 3, "dog", 0.1), ("first", 1, 2, "dog", 0.3), ("second", 2, 0, "dog", 0.9)]
    rows += [("second", 1, 0, "dog_house", 0.9), ("second", 0, 0, None, float("nan"))]
    with_labels(dissection, rows)
    assert choose(dissection, "dog", method="db").units == {"first": (1,), "second": (2,)}
    assert choose(dissection, "dog", method="db", top=4).units == {"first": (0, 1), "second": (2,)}
    assert ranked(dissection, "dog", method="db").units == [("second", 2), ("first", 1)]
    assert choose(dissection, "DOG", method="db", count=1).units == {"second": (2,)}


def test_labels_of_several_kinds_must_be_told_apart(dissection: Dissection) -> None:
    with_labels(dissection, [("first", 0, 0, "dog", 0.5)])
    with_labels(dissection, [("first", 1, 0, "dog", 0.5)], similarity="cos")
    with_labels(dissection, [("first", 2, 0, "dog", 0.5)], method="tab")
    with pytest.raises(ChoiceError, match="several kinds.*--similarity"):
        choose(dissection, "dog", method="db")
    assert choose(dissection, "dog", method="db", similarity="cos").units == {"first": (1,)}
    assert choose(dissection, "dog", method="tab").units == {"first": (2,)}


def test_icl_ranks_by_place_then_score(dissection: Dissection) -> None:
    rows = [("first", 0, 1, "dog", 1.0), ("first", 1, 0, "dog", 0.6), ("first", 2, 0, "dog", 0.9)]
    with_labels(dissection, rows, method="icl")
    assert ranked(dissection, "dog", method="icl").units == [("first", 2), ("first", 1), ("first", 0)]


def test_what_is_missing_is_named_with_the_command(dissection: Dissection) -> None:
    with pytest.raises(DissectionError, match="no labels yet: run `and-nnsight label .* --method tab --concepts FILE`"):
        choose(dissection, "dog", method="tab")
    with_labels(dissection, [("first", 0, 0, "dog", 0.5)])
    with pytest.raises(DissectionError, match="no labels by icl yet"):
        choose(dissection, "dog", method="icl")
    with pytest.raises(ChoiceError, match="none of the concepts.*near names: dog"):
        choose(dissection, "dogs", method="db")
    with pytest.raises(DissectionError, match="made without concepts"):
        choose(dissection, "dog", method="correlation", count=1)
    with pytest.raises(DissectionError, match="no dissected site matches 'third'"):
        choose(dissection, "dog", sites="third")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "best"}, "unknown method 'best': one of ocp"),
        ({"count": 1, "share": 0.5}, "not both"),
        ({"count": 0}, "at least 1"),
        ({"share": 1.5}, "at most 1"),
        ({"method": "random"}, "give like="),
        ({"method": "correlation"}, "give a count or a share"),
        ({"method": "entropy"}, "give a count or a share"),
        ({"method": "db", "top": 0}, "top must be"),
        ({"like": UnitChoice({"first": [0]})}, "like= is for random"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    dissection: Dissection, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        choose(dissection, "dog", **settings)


def test_more_than_there_are_is_refused_not_filled_up(dissection: Dissection) -> None:
    with_labels(dissection, [("first", 0, 0, "dog", 0.5)])
    with pytest.raises(ChoiceError, match="ranks 1 unit for 'dog', and 3 were asked for"):
        choose(dissection, "dog", method="db", count=3)


def test_class_logits_are_chosen_only_where_they_are_asked_for(tmp_path: Path) -> None:
    family = FAMILIES["ast"]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    sites = ["blocks.1.hook_mlp_out", "unembed.hook_out"]
    dissection = dissect(model, ragged(3), sites, 2, out=tmp_path / "run", progress=False)
    assert choose(dissection, "dog", method="random", share=1.0).counts == {"blocks.1.hook_mlp_out": 32}
    assert choose(dissection, "dog", method="random", share=1.0, sites="*").counts["unembed.hook_out"] == 5
    head = dissect(model, ragged(3), sites[1], 2, out=tmp_path / "head", progress=False)
    with pytest.raises(DissectionError, match="of the class logits alone"):
        choose(head, "dog", method="random", count=1)


def test_random_units_are_like_another_choice_or_anywhere(dissection: Dissection) -> None:
    like = UnitChoice({"first": [0, 1], "second": [2]}, "ocp", "dog")
    drawn = choose(dissection, "dog", method="random", like=like, seed=5)
    assert drawn.counts == like.counts
    assert drawn == choose(dissection, "dog", method="random", like=like, seed=5)
    anywhere = {tuple(choose(dissection, "dog", method="random", count=1, seed=seed).units) for seed in range(30)}
    assert anywhere == {("first",), ("second",)}
    assert choose(dissection, "dog", method="random", share=1.0).counts == SITES


def test_a_choice_says_what_it_was_chosen_with(dissection: Dissection) -> None:
    with_labels(dissection, [("first", 0, 0, "dog", 0.5), ("first", 1, 0, "dog", 0.5)])
    settings = choose(dissection, "dog", method="db", count=1).settings
    assert (settings["found"], settings["ranked"], settings["of"], settings["similarity"]) == (2, 2, 7, "cos_cubed")


def test_no_unit_is_chosen_twice_by_default(tmp_path: Path) -> None:
    family = FAMILIES["ast"]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    sites = [f"blocks.0.{kind}" for kind in ("mlp.hook_pre", "mlp.hook_post", "hook_mlp_out", "hook_resid_post")]
    every = dissect(model, ragged(3), sites, 2, out=tmp_path / "every", progress=False)
    assert list(site_widths(every)) == ["blocks.0.mlp.hook_pre", "blocks.0.hook_mlp_out"]
    assert list(site_widths(every, "*hook_post")) == ["blocks.0.mlp.hook_post"]
    for alone in (["blocks.0.mlp.hook_post"], ["blocks.0.hook_resid_post"]):
        dissection = dissect(model, ragged(3), alone, 2, out=tmp_path / alone[0], progress=False)
        assert list(site_widths(dissection)) == alone


def test_correlation_is_that_of_all_clips(tmp_path: Path) -> None:
    clips = ragged(9)
    family = FAMILIES["ast"]
    model = AudioModel(family.build(), feature_extractor=family.extractor())
    scores = ConceptScores.from_labels({place: str(clip["label"]) for place, clip in enumerate(clips)})
    sites = ["blocks.0.mlp.hook_post", "blocks.1.hook_mlp_out"]
    dissection = dissect(
        model, clips, sites, 2, out=tmp_path / "run", concepts=scores, keep_activations=True, progress=False
    )
    own = np.array([str(clip["label"]) == "label 1" for clip in clips], dtype=float)
    expected = []
    for site in sites:
        kept = dissection.activations(site)
        assert kept is not None
        columns = np.asarray(kept, dtype=np.float64)
        expected += [((site, unit), np.corrcoef(columns[:, unit], own)[0, 1]) for unit in range(columns.shape[1])]
    expected.sort(key=lambda pair: -pair[1])
    chosen = choose(dissection, "label_1", method="correlation", count=6)
    assert sorted((site, unit) for site, units in chosen.units.items() for unit in units) == sorted(
        place for place, _ in expected[:6]
    )
    assert choose(dissection, "label 1", method="correlation", share=0.5).count == round(0.5 * (64 + 32))
    with pytest.raises(ChoiceError, match="none of the concepts of this run; near names"):
        choose(dissection, "label 9", method="correlation", count=1)
    assert torch.get_num_threads() == 1
