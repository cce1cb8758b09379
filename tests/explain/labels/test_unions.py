"""Unions of concepts: a label where a unit goes with several alternatives alike, and not by chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from and_nnsight import ConceptScores, Dissection
from and_nnsight.explain import card
from and_nnsight.explain.evaluate.claims import claims
from and_nnsight.explain.labels import unions as unions_module
from and_nnsight.explain.labels.concept_lists import concept_text, read_concepts
from and_nnsight.explain.labels.label import label
from and_nnsight.explain.labels.unions import GAIN, Union, near_concepts, unions
from and_nnsight.explain.labels.unit_similarity import unit_similarity
from and_nnsight.explain.labels.unit_vectors import LINEAR, UnitVectors, concept_vectors
from and_nnsight.explain.providers.encoders.words import Words
from and_nnsight.explain.read.search import search
from and_nnsight.unlearn import choose
from tests.explain.activations_dissection import SITE, activations_dissection

SPEECH = ("speech_english", "speech_french", "speech_italian", "speech_spanish")
NAMES = (*SPEECH, "bell", "rain", "siren", "organ", "wind", "engine", "laughter", "thunder")
EACH = 10  # clips of a concept


def labels() -> list[str]:
    return [NAMES[clip // EACH] for clip in range(len(NAMES) * EACH)]


def scores() -> ConceptScores:
    return ConceptScores.from_labels(dict(enumerate(labels())), NAMES)


def responding(*concepts: str, seed: int = 0) -> np.ndarray:
    """A unit that responds to these concepts' clips, and to the others a little."""
    rng = np.random.default_rng(seed)
    mine = np.array([name in concepts for name in labels()])
    return (rng.uniform(0, 0.2, len(mine)) + mine * rng.uniform(0.7, 1.0, len(mine))).astype(np.float32)


def planted(folder: Path, kept: bool = True) -> Dissection:
    """Units 0 to 4: one language, two, four, bells or rain, and every sound alike but for chance."""
    units = [("speech_french",), ("speech_italian", "speech_french"), SPEECH, ("bell", "rain"), ()]
    columns = [responding(*concepts, seed=seed) for seed, concepts in enumerate(units)]
    return activations_dissection(folder, np.stack(columns, 1), k=16, kept=kept, labels=labels())


def found_unions(dissection: Dissection, similarity: str, scored: ConceptScores | None = None) -> dict[int, Union]:
    scored = scored or scores()
    values = unit_similarity(dissection, SITE, scored, similarity).values
    return unions(dissection, SITE, scored, similarity, values, near_concepts(scored, Words(), "words"))


@pytest.mark.parametrize("similarity", LINEAR)
def test_alternatives_that_a_unit_responds_to_alike_are_united_and_no_others(similarity: str, tmp_path: Path) -> None:
    united = found_unions(planted(tmp_path), similarity)
    members = {unit: {NAMES[place] for place in union.members} for unit, union in united.items()}
    assert members == {1: {"speech_italian", "speech_french"}, 2: set(SPEECH)}
    alone = unit_similarity(planted(tmp_path / "again"), SITE, scores(), similarity).values
    for unit, union in united.items():
        assert union.score >= GAIN * float(alone[unit].max())


def test_the_score_of_a_union_is_the_similarity_of_the_sum_of_its_scores(tmp_path: Path) -> None:
    dissection = planted(tmp_path)
    for unit, union in found_unions(dissection, "cos_cubed").items():
        together = scores().values[:, list(union.members)].sum(1, keepdim=True)
        one = ConceptScores(("together",), scores().clips, together, "labels")
        assert union.score == pytest.approx(
            float(unit_similarity(dissection, SITE, one, "cos_cubed").values[unit, 0]), abs=1e-5
        )


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("similarity", ["cos", "cos_cubed"])
def test_vectors_of_units_and_concepts_give_the_similarity(similarity: str, kept: bool, tmp_path: Path) -> None:
    dissection, rng = planted(tmp_path, kept), np.random.default_rng(1)
    table = torch.from_numpy(rng.random((len(labels()), 5)).astype(np.float32))
    scored = ConceptScores(tuple("abcde"), scores().clips, table, "db")
    vectors = UnitVectors(dissection, SITE, scored.clips, similarity)
    product = vectors.times(torch.tensor([3, 0, 4]), concept_vectors(table, similarity))
    expected = unit_similarity(dissection, SITE, scored, similarity).values[[3, 0, 4]]
    torch.testing.assert_close(product.float(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", [True, False])
def test_noise_is_seldom_united(kept: bool, tmp_path: Path) -> None:
    """Units that know nothing of the clips: a third of the concepts are near each other, and yet."""
    rng = np.random.default_rng(0)
    for name, values in (("even", rng.random((120, 1500))), ("heavy", rng.pareto(1.5, (120, 1500)))):
        dissection = activations_dissection(
            tmp_path / name, values.astype(np.float32), k=16, kept=kept, labels=labels()
        )
        assert len(found_unions(dissection, "cos_cubed")) <= 0.02 * 1500, name


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
def test_units_that_are_not_looked_at_have_no_union(
    kept: bool, streamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All units that go with near concepts, looked at over all clips, give the same unions."""
    rng = np.random.default_rng(3)
    own = [rng.choice(NAMES, rng.integers(1, 4), replace=False) for _ in range(40)]
    columns = [responding(*names, seed=unit) for unit, names in enumerate(own)]
    noise = rng.pareto(1.5, (len(labels()), 200))
    values = np.concatenate([np.stack(columns, 1), noise], 1).astype(np.float32)
    dissection = activations_dissection(tmp_path, values, k=16, kept=kept, labels=labels())
    if streamed:  # by all clips other values than by the extremes
        dissection.__dict__["concepts"] = scores()
    near = near_concepts(scores(), Words(), "words")
    for similarity in ("cos", "cos_cubed"):
        compared = unit_similarity(planted_similarity(dissection), SITE, scores(), similarity).values
        shifted = compared * torch.from_numpy(rng.uniform(0.5, 1.5, compared.shape).astype(np.float32))
        given = shifted if streamed and not kept else compared
        quick = unions(dissection, SITE, scores(), similarity, given, near)
        with monkeypatch.context() as patch:
            patch.setattr(unions_module, "_may_be_apart", lambda best, *_: torch.ones(len(best), dtype=torch.bool))
            naive = unions(dissection, SITE, scores(), similarity, given, near)
        assert as_written(quick) == as_written(naive) and naive


def as_written(united: dict[int, Union]) -> dict[int, tuple[tuple[int, ...], float]]:
    """Scores are written in float32; of kept activations the last bits in float64 go by the units beside it."""
    return {unit: (union.members, float(np.float32(union.score))) for unit, union in united.items()}


def planted_similarity(dissection: Dissection) -> Dissection:
    """The same folder, without what was streamed."""
    return Dissection.load(dissection.folder)


def test_scores_of_a_union_are_those_of_the_whole_columns(tmp_path: Path) -> None:
    dissection, rng = planted(tmp_path, kept=False), np.random.default_rng(1)
    table, units = torch.from_numpy(rng.random((len(labels()), 70))), torch.tensor([3, 0, 4])
    for similarity in ("cos", "cos_cubed"):
        vectors = UnitVectors(dissection, SITE, scores().clips, similarity)
        whole = vectors.times(units, concept_vectors(table, similarity))
        assert torch.equal(vectors.times_scores(units, table), whole)


def test_names_that_the_same_clips_fit_are_no_alternatives() -> None:
    table = scores().values.clone()
    table[:, NAMES.index("speech_french")] = table[:, NAMES.index("speech_english")]
    near = near_concepts(ConceptScores(NAMES, scores().clips, table, "db"), Words(), "words")
    english, french, spanish = (NAMES.index(name) for name in ("speech_english", "speech_french", "speech_spanish"))
    assert not near[english, french] and not near[french, english]
    assert near[english, spanish] and near[french, spanish]
    assert not near[NAMES.index("bell")].any()


# --- what becomes of them -------------------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path: Path) -> Dissection:
    dissection = planted(tmp_path)
    label(dissection, scores(), similarity="cos_cubed", top=3, progress=False)
    return dissection


def rows_of(dissection: Dissection, unit: int) -> list[dict[str, Any]]:
    from and_nnsight.explain.records.reading import read_table

    return [row for row in read_table(dissection, "labels") if row.unit == unit]


def test_a_union_is_the_first_label_and_what_it_unites_comes_after_it(labelled: Dissection) -> None:
    first, second, third = rows_of(labelled, 1)
    assert set(first.members) == {"speech_italian", "speech_french"}
    assert first.concept == " | ".join(first.members)
    assert [second.concept, third.concept] == first.members
    assert first.score > second.score > third.score
    assert [row.rank for row in (first, second, third)] == [0, 1, 2]
    assert second.members is None
    assert rows_of(labelled, 0)[0].concept == "speech_french"


def test_without_unions_a_unit_has_the_best_of_them(tmp_path: Path) -> None:
    dissection = planted(tmp_path)
    label(dissection, scores(), similarity="cos_cubed", top=3, unions=False, progress=False)
    assert all(row.members is None for row in rows_of(dissection, 1))
    assert rows_of(dissection, 1)[0].concept in ("speech_italian", "speech_french")


def test_card_claims_and_search_read_a_union_in_words(labelled: Dissection) -> None:
    shown = card(labelled, SITE, 1).labels[0]
    assert shown.members == tuple(rows_of(labelled, 1)[0].members)
    assert {claim.text for claim in claims(labelled, ["label"]) if claim.unit == 1} in (
        {"speech italian or french"},
        {"speech french or italian"},
    )
    matches = search(labelled, "french speech")
    assert matches[0].unit == 0, "a unit of French alone goes before one of two languages"
    assert {match.unit for match in matches[:3]} == {0, 1, 2}, "what is labelled by chance comes last, if at all"


def test_a_unit_of_a_union_is_chosen_for_each_of_its_concepts_after_those_of_one_alone(labelled: Dissection) -> None:
    chosen = choose(labelled, "speech_french", method="labels", top=1, count=2)
    assert set(chosen.units[SITE]) == {0, 1}, "before the unit of four languages"
    assert set(choose(labelled, "speech_spanish", method="labels", top=1).units[SITE]) == {2}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("car_horn", "car horn"),
        ("speech_english | speech_french", "speech english or french"),
        ("speech_english | speech_french | speech_italian", "speech english, french or italian"),
        ("bass_drum | snare_drum", "bass or snare drum"),
        ("drum | bass_drum", "drum or bass drum"),
        ("flute | pan_flute", "flute or pan flute"),
        ("loud bell | loud bell ring", "loud bell or bell ring"),
        ("cat | dog", "cat or dog"),
    ],
)
def test_what_the_concepts_of_a_union_share_is_said_once(name: str, text: str) -> None:
    assert concept_text(name) == text


def test_a_concept_that_reads_like_a_union_is_refused() -> None:
    with pytest.raises(ValueError, match="reads like a union"):
        read_concepts(["a | b", "c"])
