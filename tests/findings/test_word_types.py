"""Accuracy with units pruned by type of word: which units, against which controls, and how it is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from and_nnsight.data import Clip
from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.explain.records.description_rows import CalibratedRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.findings import AccuracyByWordType, accuracy_by_word_type
from and_nnsight.findings.explanations import KINDS, read_explanations
from and_nnsight.findings.statistics import prediction_half_width
from and_nnsight.findings.units_by_word_type import rich_units
from and_nnsight.statistics.bootstrap import Bootstrap
from and_nnsight.unlearn import UnitChoice
from tests.findings.hand_made import shuffled, texts, with_words, written_dissection

SITES = [("blocks.0.mlp.hook_pre", 0, 12), ("blocks.1.mlp.hook_pre", 1, 8), ("unembed.hook_out", None, 3)]
FIRST, SECOND, HEAD = (site for site, _, _ in SITES)
NOUNS = {(FIRST, 0): 1, (FIRST, 3): 2, (FIRST, 5): 1, (FIRST, 7): 1, (SECOND, 2): 3, (SECOND, 4): 1, (HEAD, 0): 9}
CLIPS = 40


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    words: dict[tuple[str, int], Any] = {
        at: {"noun": [f"noun{i}" for i in range(count)]} for at, count in NOUNS.items()
    }
    words[FIRST, 9] = {"adjective": ["loud", "wooden"], "verb": ["ring"]}
    words[FIRST, 10] = None
    return with_words(written_dissection(tmp_path / "run", SITES, ["A bell."] * 6), words)


class Measurer:
    """Stands in for `ablated_outcomes`: every noun-rich unit that is pruned spoils a clip of its own, and any unit a
    thousandth of one; it records what it was asked."""

    def __init__(self) -> None:
        self.choices: list[UnitChoice] = []
        self.options: dict[str, Any] = {}

    def right(self, choice: UnitChoice) -> np.ndarray:
        right = np.ones(CLIPS, bool)
        right[:4] = False
        right[4 : 4 + sum(2 * NOUNS.get((site, unit), 0) for site, own in choice.units.items() for unit in own)] = False
        return right

    def __call__(self, model: Any, data: Any, choices: Sequence[UnitChoice], **options: Any) -> Any:
        self.choices, self.options = list(choices), options
        clips = [Clip(place, path, None, None, 1.0, 16_000) for place, path in enumerate(data)]
        kept = [clip for clip in clips if options["keep"](clip)]
        if not kept:
            raise ValueError("there is no clip to measure by")
        assert len(kept) == CLIPS
        baseline = SimpleNamespace(correct=self.right(UnitChoice({})))
        correct = np.array([self.right(choice) for choice in choices]).reshape(len(choices), CLIPS)
        return SimpleNamespace(
            clips=tuple(kept), labels=np.arange(CLIPS) % 3, classes=("a", "b", "c"), baseline=baseline,
            ablated=SimpleNamespace(correct=correct), left_out={"no label": 2}, accuracy=lambda: float(baseline.correct.mean()),
        )  # fmt: skip


@pytest.fixture
def measurer(monkeypatch: pytest.MonkeyPatch) -> Measurer:
    import and_nnsight.unlearn

    made = Measurer()
    monkeypatch.setattr(and_nnsight.unlearn, "ablated_outcomes", made)
    return made


DATA = [f"held-out-{i}.wav" for i in range(CLIPS)]


def measured(dissection: Dissection, **options: Any) -> AccuracyByWordType:
    return accuracy_by_word_type(dissection, "model", DATA, **{"shares": (0.1, 0.2, 0.5), **options})


def test_the_richest_units_are_pruned_and_equally_rich_ones_in_random_order(dissection: Dissection) -> None:
    said = read_explanations(dissection, in_blocks=True)
    first, second, third = rich_units(dissection, said, "noun", (0.1, 0.2, 0.3), draws=12, seed=0)
    for choice, _ in first.pairs:
        assert choice.units == {FIRST: (3,), SECOND: (2,)}, "2 of 20 units: those with 3 and 2 nouns"
    fillers = Counter(at for choice, _ in second.pairs for at in _pairs(choice))
    assert {fillers[FIRST, 3], fillers[SECOND, 2]} == {12}
    assert {(FIRST, 0), (FIRST, 5), (FIRST, 7), (SECOND, 4)} >= set(fillers) - {(FIRST, 3), (SECOND, 2)}
    assert len(set(fillers)) == 6, "no unit stands first among its equals by its place"
    for (small, _), (large, _) in zip(first.pairs, second.pairs, strict=True):
        assert set(_pairs(small)) <= set(_pairs(large))
    assert [one.units for one in (first, second, third)] == [2, 4, 6]
    assert (first.words, second.words, third.words) == (2.5, 7 / 4, 9 / 6)


def _pairs(choice: UnitChoice) -> list[tuple[str, int]]:
    return [(site, unit) for site, own in choice.units.items() for unit in own]


def test_every_choice_has_a_control_with_as_many_units_at_every_site(dissection: Dissection) -> None:
    said = read_explanations(dissection, in_blocks=True)
    for one in rich_units(dissection, said, "noun", (0.1, 0.3), draws=5, seed=3):
        for choice, control in one.pairs:
            assert control.counts == choice.counts
        assert len({tuple(_pairs(control)) for _, control in one.pairs}) > 1, "each draw has one of its own"


def test_where_too_few_units_have_such_a_word_nothing_is_measured(dissection: Dissection, measurer: Measurer) -> None:
    finding = measured(dissection)
    rows = {(row.part, row.asked_share): row for row in finding.table}
    assert len(rows) == len(KINDS) * 3
    assert rows["noun", 0.5].result is None and rows["noun", 0.5].rich_units == 6
    assert rows["adjective", 0.1].result is None and rows["adjective", 0.1].rich_units == 1, "1 unit of 2"
    assert [row.asked_share for row in finding.rows("noun")] == [0.1, 0.2]
    assert finding.rows("preposition") == []
    said = "prepositions: only 0 units have one, less than the smallest share"
    assert said in finding.summary()
    assert "fewer than the smallest share" in texts(finding.figure())


def test_accuracies_are_means_over_the_draws_beside_their_controls(dissection: Dissection, measurer: Measurer) -> None:
    finding = measured(dissection, draws=4, seed=2)
    by_units = {tuple(_pairs(choice)): measurer.right(choice).mean() for choice in measurer.choices}
    plan = rich_units(dissection, read_explanations(dissection, in_blocks=True), "noun", (0.1, 0.2), draws=4, seed=2)
    for row, one in zip(finding.rows("noun"), plan, strict=True):
        accuracy, control = ([by_units[tuple(_pairs(pair[side]))] for pair in one.pairs] for side in (0, 1))
        assert (row.result.accuracy.value, row.result.control.value) == (
            pytest.approx(np.mean(accuracy)),
            pytest.approx(np.mean(control)),
        )
        assert row.result.difference.value == pytest.approx(np.mean(accuracy) - np.mean(control))
        columns = row.columns()
        half = stats.t.ppf(0.975, 3) * np.std(control, ddof=1) * np.sqrt(1 + 1 / 4)
        for name, middle in (("random", np.mean(control)), ("difference", np.mean(accuracy) - np.mean(control))):
            assert (columns[f"{name}_low"], columns[f"{name}_high"]) == pytest.approx((middle - half, middle + half))
        assert (row.units, row.share) == (one.units, one.units / 20)
        for name in ("accuracy", "control", "difference"):
            assert columns[f"{name}_low"] <= columns[name] <= columns[f"{name}_high"]
    assert finding.rows("noun")[0].result.accuracy.value == (36 - 10) / 40
    assert (finding.facts["baseline"], finding.facts["commonest_class"]) == (0.9, 14 / 40)
    assert finding.facts["baseline_low"] < 0.9 < finding.facts["baseline_high"]


def test_the_head_is_not_pruned_unless_it_is_named(dissection: Dissection, measurer: Measurer) -> None:
    finding = measured(dissection)
    assert all(HEAD not in choice.units for choice in measurer.choices)
    assert finding.facts["left_out"] == "left out: sites outside the blocks" and finding.facts["units"] == 20
    named = measured(dissection, sites="*", shares=(0.05,))
    assert named.facts["units"] == 23
    assert any(choice.units == {HEAD: (0,)} for choice in measurer.choices)
    measured(dissection, sites=SECOND, shares=(0.2,))
    assert {site for choice in measurer.choices for site in choice.units} == {SECOND}


def test_nothing_is_measured_twice(dissection: Dissection, measurer: Measurer) -> None:
    measured(dissection, shares=(0.1,), parts=("noun", "noun"))
    assert len(measurer.choices) == len({(one.method, *_pairs(one)) for one in measurer.choices})
    assert sum(one.method != "random" for one in measurer.choices) == 1, "every draw chooses the same two units"


@pytest.mark.slow
def test_one_draw_has_no_interval_over_draws(dissection: Dissection, measurer: Measurer, tmp_path: Path) -> None:
    finding = measured(dissection, draws=1, shares=(0.1,))
    (row,) = finding.rows("noun")
    assert row.result.random_low is row.result.difference.high is None and row.result.accuracy.low is not None
    assert "points (of one draw: no interval)" in " ".join(finding.summary())
    finding.write_figure(tmp_path / "out")


def test_of_random_choices_the_difference_excludes_nothing_once_in_twenty_times() -> None:
    """Of units chosen by chance, as the controls are: accuracies of choices differ as they would."""
    generator = np.random.default_rng(4)
    excluded = []
    for _ in range(2_000):
        chosen, *controls = generator.binomial(400, 0.7, 6) / 400
        half = prediction_half_width(np.array(controls))
        assert half is not None
        excluded.append(abs(chosen - np.mean(controls)) > half)
    assert 0.04 < np.mean(excluded) < 0.062


def test_adjectives_are_told_apart_by_what_they_are_of_and_length_is_of_all_words(tmp_path: Path) -> None:
    words: dict[tuple[str, int], Any] = {
        (FIRST, 0): {"adjective": ["loud", "noisy", "musical"], "noun": ["bell"]},
        (FIRST, 1): {"adjective": ["musical", "wooden"]},
        (FIRST, 2): {"noun": ["bell", "drum"]},
        (FIRST, 3): None,
    }
    run = with_words(written_dissection(tmp_path / "run", SITES, ["A bell."] * 6), words)
    texts_of = {0: ["Loud, noisy, musical bell (4 of 5).", "High-pitched."], 1: ["Wooden."], 2: [], 3: None}
    with Table(run, CalibratedRow, {"threshold": 0.6}) as table:
        table.add(
            CalibratedRow(FIRST, unit, None if kept is None else " ".join(kept), kept, [], None, "")
            for unit, kept in texts_of.items()
        )
    counts = {kind: said[:4].tolist() for kind, said in read_explanations(run).words.items()}
    assert counts["adjective"] == [3, 1, 0, 0], "wooden is not acoustic here"
    assert counts["basic adjective"] == [2, 0, 0, 0]
    assert counts["high-level adjective"] == [1, 1, 0, 0]
    assert counts["length"] == [5, 1, 0, 0], "(4 of 5) says how often and not what"


def test_the_axis_holds_whatever_is_drawn(dissection: Dissection, measurer: Measurer) -> None:
    finding = measured(dissection)
    low, high = finding.figure().axes[0].get_ylim()
    columns = [row.columns() for row in finding.table if row.result is not None]
    lows = [100 * row[name] for row in columns for name in ("accuracy_low", "random_low")]
    assert low <= max(min(lows), -2) and high > 100 and min(lows) - low < 12
    guess = 100 * finding.facts["commonest_class"]
    assert ("always the commonest class" in texts(finding.figure())) == (guess > low)
    assert f"{guess:.1f} % if the commonest class were always said" in finding.summary()[0]


def test_the_units_with_the_longest_explanations_are_in_every_panel(dissection: Dissection, measurer: Measurer) -> None:
    finding = measured(dissection, shares=(0.1,))
    (row,) = finding.rows("length")
    for axes in finding.figure().axes:
        line = next(line for line in axes.lines if line.get_label() == "units with the longest explanations")
        np.testing.assert_allclose(line.get_ydata(orig=False), [90, 100 * row.result.accuracy.value])
    (alone,) = measured(dissection, shares=(0.1,), parts=("length",)).figure().axes
    assert alone.get_title(loc="left").startswith("Words of any kind (length)")
    without = measured(dissection, shares=(0.1,), parts=("noun",)).figure()
    assert "units with the longest explanations" not in texts(without)


def test_clips_that_the_units_were_found_with_are_not_measured(dissection: Dissection, measurer: Measurer) -> None:
    seen = [f"{clip}.wav" for clip in range(6)]
    finding = accuracy_by_word_type(dissection, "model", [*seen, *DATA], shares=(0.1,))
    assert finding.facts["left_out_as_dissected"] == 6 and finding.facts["clips"] == CLIPS
    assert finding.facts["held_out"] == "yes" and "40 held-out clips" in finding.summary()[0]
    with pytest.raises(ValueError, match="all 6 clips are among those that the units were found with"):
        accuracy_by_word_type(dissection, "model", seen, shares=(0.1,))
    everything = accuracy_by_word_type(dissection, "model", [*seen, *DATA[6:]], shares=(0.1,), dissected_too=True)
    assert everything.facts["clips"] == CLIPS and everything.facts["held_out"] == "no"
    assert "clips, some of which the units were found with" in everything.summary()[0]


def test_a_dissected_file_is_known_by_another_name(dissection: Dissection, measurer: Measurer, tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "sounds")
    for clip, row in dissection.clips.items():
        dissection.clips[clip] = replace(row, path=str(tmp_path / "sounds" / f"{clip}.wav"))
    seen = [str(tmp_path / "linked" / f"{clip}.wav") for clip in range(6)]
    finding = accuracy_by_word_type(dissection, "model", [*seen, *DATA], shares=(0.1,))
    assert finding.facts["left_out_as_dissected"] == 6 and finding.facts["clips"] == CLIPS


def test_clips_without_paths_are_not_claimed_to_be_held_out(dissection: Dissection, measurer: Measurer) -> None:
    finding = accuracy_by_word_type(dissection, "model", [None, *DATA[1:]], shares=(0.1,))
    assert (finding.facts["held_out"], finding.facts["clips"]) == ("unknown", CLIPS)
    assert "it cannot be told whether the units were found with them" in finding.summary()[0]


def test_one_can_keep_clips_of_ones_own(dissection: Dissection, measurer: Measurer) -> None:
    more = [*DATA, "no.wav"]
    finding = accuracy_by_word_type(dissection, "model", more, shares=(0.1,), keep=lambda clip: clip.path != "no.wav")
    assert finding.facts["clips"] == CLIPS


def test_the_order_of_rows_makes_no_difference_and_the_seed_settles_the_rest(
    dissection: Dissection, measurer: Measurer
) -> None:
    before = measured(dissection, seed=5)
    shuffled(dissection)
    after = measured(dissection, seed=5)
    assert (after.table, after.facts) == (before.table, before.facts)
    assert measured(dissection, seed=6).table != before.table


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shares": (0.0, 0.1)}, "shares are of all units, between 0 and 1"),
        ({"shares": (1.0,)}, "shares are of all units"),
        ({"shares": ()}, "shares are of all units"),
        ({"parts": ("noun", "adverb")}, "types of words are adjective, noun, verb, .*, length, not noun, adverb"),
        ({"parts": ()}, "not none"),
        ({"draws": 0}, "draws must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(
    dissection: Dissection, measurer: Measurer, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        measured(dissection, **options)
    assert measurer.choices == []


def test_without_explanations_it_names_the_command(tmp_path: Path, measurer: Measurer) -> None:
    bare = written_dissection(tmp_path / "bare", SITES, ["A bell."] * 6)
    with pytest.raises(DissectionError, match="run `and-nnsight explain"):
        measured(bare)


@pytest.mark.slow
def test_the_figure_has_a_panel_for_each_type_of_word(
    dissection: Dissection, measurer: Measurer, tmp_path: Path
) -> None:
    finding = measured(dissection)
    figure = finding.figure()
    assert [axes.get_title(loc="left").split(" (")[0] for axes in figure.axes] == [
        "Acoustic adjectives", "Nouns", "Verbs", "Prepositions", "Basic acoustic adjectives",
        "High-level acoustic adjectives",
    ]  # fmt: skip
    axes = figure.axes[1]
    assert "(6 units, 30 %)" in axes.get_title(loc="left")
    rows = finding.rows("noun")
    rich, random = axes.containers[0].lines[0], axes.lines[0]
    np.testing.assert_allclose(rich.get_xdata(orig=False), [0, 10, 20])
    np.testing.assert_allclose(rich.get_ydata(orig=False), [90, *(100 * row.result.accuracy.value for row in rows)])
    np.testing.assert_allclose(random.get_ydata(orig=False), [90, *(100 * row.result.control.value for row in rows)])
    assert (rich.get_linestyle(), random.get_linestyle()) == ("-", "--")
    assert figure.axes[4].get_xlabel() == "Units pruned (% of all)" and figure.axes[0].get_ylabel() == "Accuracy (%)"
    assert "40 held-out clips, 90.0 % right with nothing pruned" in " ".join(texts(figure))
    finding.write(tmp_path / "out")
    finding.write_figure(tmp_path / "out")
    assert len(measured(dissection, parts=("noun", "verb", "adjective")).figure().axes) == 4, "one of them hidden"
    assert len(measured(dissection, parts=("noun",)).figure().axes) == 1


def test_intervals_are_over_clips_and_draws() -> None:
    generator = np.random.default_rng(0)
    right = (generator.random((1, 400)) < 0.7).astype(np.float64)
    low, high = Bootstrap(400, 1, seed=1, resamples=4_000).interval(right)
    half = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert (low, high) == pytest.approx((right.mean() - half, right.mean() + half), abs=0.006)
    apart = np.concatenate([np.zeros((3, 50)), np.ones((3, 50))])
    low, high = Bootstrap(50, 6, seed=1).interval(apart)
    assert low < 0.2 and high > 0.8, "draws that differ make the interval wide, though clips do not"
    assert Bootstrap(50, 6, seed=1).interval(np.ones((6, 50))) == pytest.approx((1.0, 1.0))


def _hooked_accuracy(model: Any, inputs: list[Any], labels: list[str], prune: Callable[[Any], list[Any]]) -> float:
    handles = prune(model)
    try:
        with torch.no_grad():
            said = [model.config.id2label[int(model(**one).logits.argmax())] for one in inputs]
    finally:
        for handle in handles:
            handle.remove()
    return float(np.mean([a == b for a, b in zip(said, labels, strict=True)]))


@pytest.mark.slow
def test_with_a_real_model_it_is_what_hooks_of_ones_own_give(tmp_path: Path) -> None:
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

    from and_nnsight import dissect
    from and_nnsight.demo import make_sounds, tiny_ast_path
    from and_nnsight.explain import explain

    sounds = list(make_sounds(4))
    held_out = sounds[3::4]
    site = "blocks.2.mlp.hook_post"
    dissection = dissect(str(tiny_ast_path()), [s for i, s in enumerate(sounds) if i % 4 != 3], site, 6,
                    out=tmp_path / "run", device="cpu", progress=False)  # fmt: skip
    explain(dissection, progress=False)
    finding = accuracy_by_word_type(
        dissection,
        str(tiny_ast_path()),
        held_out,
        shares=(0.3,),
        parts=("noun",),
        draws=2,
        device="cpu",
        progress=False,
    )
    (row,) = finding.rows("noun")
    model = ASTForAudioClassification.from_pretrained(tiny_ast_path()).eval()
    extractor = ASTFeatureExtractor.from_pretrained(tiny_ast_path())
    inputs = [extractor(one.waveform, sampling_rate=one.sampling_rate, return_tensors="pt") for one in held_out]
    labels = [one.label for one in held_out]
    module = model.get_submodule(dissection.manifest.sites[0].path)

    def pruning(choice: UnitChoice) -> Callable[[Any], list[Any]]:
        def zero(_: Any, arguments: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            changed = arguments[0].clone()
            changed[..., list(choice.units[site])] = 0
            return (changed,)

        return lambda _: [module.register_forward_pre_hook(zero)]

    assert finding.facts["baseline"] == pytest.approx(_hooked_accuracy(model, inputs, labels, lambda _: []))
    (one,) = rich_units(dissection, read_explanations(dissection), "noun", (0.3,), draws=2, seed=0)
    assert row.result is not None
    for side, accuracy in ((0, row.result.accuracy.value), (1, row.result.control.value)):
        ours = np.mean([_hooked_accuracy(model, inputs, labels, pruning(pair[side])) for pair in one.pairs])
        assert accuracy == pytest.approx(ours)
