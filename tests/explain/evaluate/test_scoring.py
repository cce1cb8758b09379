"""Scores: what is true of a unit holds on clips it has not seen; what is not, or says no more, is marked."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.explain import card, label, read_table, score, search
from and_nnsight.explain.evaluate.false_discovery import false_discovery_rates
from and_nnsight.explain.evaluate.held_out import clips_held_out
from and_nnsight.explain.evaluate.verdicts import Verdicts, verdict
from and_nnsight.explain.providers.embeddings import cosines
from and_nnsight.explain.providers.encoders.words import Words
from and_nnsight.explain.records.claim_rows import ScoreRow
from and_nnsight.explain.records.description_rows import CaptionRow, SummaryRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure
from tests.explain.evaluate.test_metrics import plain_average_precision
from tests.explain.scored_dissection import KINDS, MODEL, OTHER, SITE, UNITS, written
from tests.explain.small_dissection import with_summaries

SAID = {
    "dog": "Dog barking (5 of 5).",
    "bell": "Church bell (4 of 5). Rain falling (1 of 5).",
    "rain": "Rain falling (5 of 5).",
    "siren": "Church bell (5 of 5).",  # not true
    "engine": "Engine humming (5 of 5).",
    "loud": "Church bell (3 of 5).",  # neither
    "bright": "Siren wailing (3 of 5).",
    "chance": "Dog barking (3 of 5).",
    "constant": "Dog barking (2 of 5).",
    "broken": "Dog barking (3 of 5).",
    "half": "Dog barking (4 of 5).",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    dissection = written(folder / "found", seed=1)
    written(folder / "held", seed=2, clips=200)
    said = {(SITE, UNITS.index(name)): (text, None) for name, text in SAID.items()}
    with_summaries(dissection, said | {(OTHER, 0): ("Dog barking.", None), (OTHER, 1): ("Church bell.", None)})
    return folder


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> tuple[Dissection, Dissection]:
    shutil.copytree(made, tmp_path / "two")
    return Dissection.load(tmp_path / "two" / "found"), Dissection.load(tmp_path / "two" / "held")


def rows_of(pair: tuple[Dissection, Dissection], **options: object) -> dict[tuple[str, str], ScoreRow]:
    rows = score(*pair, progress=False, **options)  # type: ignore[arg-type]
    return {(UNITS[row.unit] if row.site == SITE else f"other {row.unit}", row.source): row for row in rows}


def explained(pair: tuple[Dissection, Dissection], **options: object) -> dict[str, ScoreRow]:
    return {name: row for (name, source), row in rows_of(pair, **options).items() if source == "explanation"}


def holds(row: ScoreRow) -> bool:
    return verdict(row).holds


def test_true_explanations_hold_and_false_ones_do_not(pair) -> None:
    rows = explained(pair)
    assert {name for name, row in rows.items() if holds(row)} >= {"dog", "bell", "rain", "engine", "broken", "half"}
    assert not any(rows[name].predicts for name in ("siren", "loud", "bright", "chance", "constant"))
    dog = rows["dog"]
    assert dog.p == dog.p_beyond == 0.001, "no order of 999 comes near"
    assert (dog.clips, dog.positives, dog.base_rate) == (200, 10, 0.05)
    assert (dog.others, dog.others_as_good) == (10, 4 / 10), "four others say as much of dogs"
    assert verdict(rows["engine"]).distinctive
    assert not verdict(rows["siren"]).distinctive
    assert rows["half"].auprc == pytest.approx(1), "it fires on all dogs alike, and nothing else"


def test_the_numbers_are_those_of_the_definitions(pair) -> None:
    dissection, held_out = pair
    rows, words = explained(pair), Words()
    captions = [row.caption for row in held_out.clips.values()]
    values = np.asarray(held_out.activations(SITE))
    for name, statements in (("dog", [("Dog barking.", 1)]), ("bell", [("Church bell.", 0.8), ("Rain falling.", 0.2)])):
        near = cosines(words.encode(captions), words.encode([text for text, _ in statements]))
        near = np.where(near > words.chance, near.astype(np.float64), 0)
        predicted = (near * [weight for _, weight in statements]).sum(1).round(6)
        unit = values[:, UNITS.index(name)]
        fires = unit >= np.sort(unit)[-10]
        assert rows[name].pearson == pytest.approx(np.corrcoef(predicted, unit)[0, 1], abs=1e-4)
        assert rows[name].auprc == pytest.approx(plain_average_precision(predicted, fires), abs=5e-3)
    levels = [row.measured.level_dbfs for row in read_table(held_out, "acoustics")]
    unit = values[:, UNITS.index("loud")]
    assert rows["loud"].loudness_pearson == pytest.approx(np.corrcoef(levels, unit)[0, 1], abs=1e-5)
    assert rows["loud"].loudness_auprc == pytest.approx(1.0)
    assert dissection.folder != held_out.folder


def test_the_null_that_makes_a_unit_is_found_with_its_direction(pair) -> None:
    rows = explained(pair)
    assert (rows["loud"].null, rows["loud"].null_sign) == ("loudness", 1)
    assert (rows["bright"].null, rows["bright"].null_sign) == ("brightness", 1)
    assert rows["loud"].null_pearson == pytest.approx(1, abs=1e-5)
    assert rows["bright"].null_auprc == pytest.approx(1)


@pytest.mark.parametrize("text", ["Loud.", "Church bell. Loud."])
def test_what_is_said_of_a_unit_of_loudness_predicts_but_not_more_than_loudness_does(pair, text: str) -> None:
    dissection, held_out = pair
    words = {name: ("Very loud" if level > -20 else "Quiet") for name, level in enumerate(_levels(held_out))}
    _caption_anew(held_out, words)
    with_summaries(dissection, {(SITE, UNITS.index("loud")): (text, None)}, made_by="another")
    _add_summary(dissection, {(SITE, UNITS.index("dog")): "Quiet."})
    row = explained(pair)["loud"]
    assert row.predicts, "the explanation is true as far as it goes"
    assert not row.beyond_acoustics
    assert row.p_beyond > 0.05
    assert "but not more than loudness, duration, silence and brightness do (q" in str(verdict(row))


def _levels(dissection: Dissection) -> list[float]:
    return [row.measured.level_dbfs for row in read_table(dissection, "acoustics")]


def _caption_anew(dissection: Dissection, captions: dict[int, str]) -> None:
    with Table(dissection, CaptionRow, {"captioner": "test"}) as table:
        table.add(CaptionRow(clip, caption=caption) for clip, caption in captions.items())


def test_captions_by_another_captioner_are_warned_of(pair) -> None:
    dissection = pair[0]
    said = {(SITE, UNITS.index("dog")): "Dog barking.", (SITE, UNITS.index("rain")): "Rain falling."}
    _add_summary(dissection, said, {"captions": {"captioner": "acoustic"}})
    with pytest.warns(UserWarning, match="explained from captions by acoustic, and .* captions by column:caption"):
        explained(pair)
    _add_summary(dissection, said, {"captions": {"captioner": "column:text"}})
    assert explained(pair)["dog"].pearson > 0.5, "captions of the data on either side need no warning"


def _add_summary(dissection: Dissection, said: dict[tuple[str, int], str], settings: Any = None) -> None:
    with Table(dissection, SummaryRow, settings or {"summarizer": "another"}) as table:
        table.add(SummaryRow(site, unit, text) for (site, unit), text in said.items())


def test_nulls_are_fitted_on_the_explained_clips_alone(pair, made: Path, tmp_path: Path) -> None:
    """Among the held-out clips the loud unit is turned round: the null that was settled before must fail there."""
    dissection, held_out = pair
    kept = np.load(held_out.folder / "activations" / f"{SITE}.npy")
    kept[:, UNITS.index("loud")] *= -1
    np.save(held_out.folder / "activations" / f"{SITE}.npy", kept)
    row = explained((dissection, Dissection.load(held_out.folder)))["loud"]
    assert (row.null, row.null_sign) == ("loudness", 1)
    assert row.null_pearson == pytest.approx(-1, abs=1e-5)


def test_of_units_that_mean_nothing_few_are_said_to_mean_something(tmp_path: Path) -> None:
    dissection = written(tmp_path / "found", seed=1, others=302)
    held_out = written(tmp_path / "held", seed=2, others=302)
    with_summaries(dissection, {(OTHER, unit): (f"{KINDS[unit % len(KINDS)]}.", None) for unit in range(302)})
    rows = [row for row in score(dissection, held_out, sites=OTHER, progress=False) if row.unit >= 2]
    assert len(rows) == 300
    assert 0.4 < np.mean([row.p <= 0.5 for row in rows]) < 0.6
    assert np.mean([row.p <= 0.05 for row in rows]) < 0.09
    assert not any(row.predicts or row.beyond_acoustics for row in rows), "of 300 false claims none is discovered"


def test_without_kept_activations_the_nulls_are_fitted_on_each_units_top_clips(pair, tmp_path: Path) -> None:
    dissection = written(tmp_path / "top", seed=1, kept=False)
    with_summaries(dissection, {(SITE, UNITS.index(name)): (text, None) for name, text in SAID.items()} | {
        (SITE, UNITS.index("dark")): ("Rain falling.", None)
    })  # fmt: skip
    rows = explained((dissection, pair[1]))
    assert (rows["loud"].null, rows["loud"].null_sign) == ("loudness", 1)
    assert (rows["dark"].null, rows["dark"].null_sign) == ("brightness", -1)
    assert holds(rows["dog"])


def test_a_unit_that_cannot_be_judged_says_why(pair) -> None:
    rows = explained(pair)
    assert rows["constant"].failure == "the unit is the same on all held-out clips"
    assert rows["constant"].auprc is None
    assert rows["broken"].clips == 195, "where it is not finite it has no part"
    assert holds(rows["broken"])


def test_a_unit_that_is_finite_on_few_clips_is_not_judged(pair) -> None:
    dissection, held_out = pair
    path = held_out.folder / "activations" / f"{SITE}.npy"
    whole = np.load(path)
    for finite, judged in ((20, True), (19, False)):
        kept = whole.copy()
        kept[finite:, UNITS.index("dog")] = np.nan
        np.save(path, kept)
        (dissection.folder / "explanations" / "scores.parquet").unlink(missing_ok=True)
        row = explained((dissection, Dissection.load(held_out.folder)))["dog"]
        assert row.clips == finite
        assert (row.failure is None, row.p is not None) == (judged, judged)
    assert row.failure == "the unit is finite on 19 held-out clips, fewer than 20"


def test_where_nothing_else_is_said_of_the_site_a_claim_can_still_be_judged(pair) -> None:
    dissection, _ = pair
    with_summaries(
        dissection, {(SITE, 0): ("Dog barking (5 of 5).", None), (SITE, 11): ("dog barking (3 of 5)", None)}, "few"
    )
    rows = explained(pair)
    assert set(rows) == {"dog", "half"}
    assert all(holds(row) for row in rows.values())
    assert {(row.others, row.others_as_good) for row in rows.values()} == {(1, 1.0)}, "the other says the same"


def test_one_in_twenty_is_few_enough_to_be_distinctive(pair) -> None:
    row = explained(pair)["dog"]
    assert verdict(replace(row, others_as_good=1 / 20)).distinctive
    assert not verdict(replace(row, others_as_good=1 / 20 + 1e-9)).distinctive
    assert not verdict(replace(row, others_as_good=None)).distinctive


def test_seed_and_units_asked_for_make_no_difference_to_others(pair, made: Path) -> None:
    some = explained(pair, sites=SITE, units=[0, 1, 8])
    assert set(some) == {"dog", "bell", "chance"}
    every = explained(pair)
    assert all(without_rates(every[name]) == without_rates(row) for name, row in some.items())
    other = explained(pair, seed=5)
    assert [other[name].auprc for name in SAID] == [every[name].auprc for name in SAID]
    assert [other[name].p for name in SAID] != [every[name].p for name in SAID]


def without_rates(row: ScoreRow) -> ScoreRow:
    """Without what hangs on how many claims there are."""
    return replace(row, q=None, q_beyond=None, predicts=False, beyond_acoustics=False)


def test_rates_are_over_all_standing_claims_of_a_source_and_follow_them(pair) -> None:
    some = explained(pair, sites=SITE, units=[0, 8])
    assert [some[name].q for name in ("dog", "chance")] == [0.002, some["chance"].p]
    every = explained(pair)
    tested = [row for row in every.values() if row.p is not None]
    assert len(tested) == len(SAID) + 1, "the constant unit has no p, and counts for nothing"
    for p, q in (("p", "q"), ("p_beyond", "q_beyond")):
        expected = false_discovery_rates(np.array([getattr(row, p) for row in tested]))
        assert [getattr(row, q) for row in tested] == pytest.approx(expected)
    assert every["dog"].q != some["dog"].q, "there are other claims beside it"
    label(pair[0], KINDS, similarity="pearson", progress=False)
    with_labels = rows_of(pair)
    assert with_labels["dog", "explanation"] == every["dog"], "labels are a family of their own"
    table = read_table(pair[0], "scores")
    assert explained(pair) == every
    assert read_table(pair[0], "scores") == table


def test_another_level_changes_the_answers_and_measures_nothing_again(pair) -> None:
    every = explained(pair)
    encoder = Counting()
    explained(pair, text_encoder=encoder)
    encoder.asked.clear()
    every = explained(pair, text_encoder=encoder)
    edge = max(row.q for row in every.values() if row.predicts)
    at_the_edge = explained(pair, text_encoder=encoder, level=edge)
    below = explained(pair, text_encoder=encoder, level=edge - 1e-9)
    assert encoder.asked == []
    lost = {name for name, row in at_the_edge.items() if row.predicts} - {
        name for name, row in below.items() if row.predicts
    }
    assert lost == {name for name, row in every.items() if row.q == edge}, "a q that equals the level holds"
    assert all(below[name].q == row.q for name, row in every.items())


class Counting(Words):
    """`words`, counting the texts that it is asked for."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return super().encode(texts)


def test_what_has_been_scored_is_not_scored_again_and_what_has_changed_is(pair) -> None:
    dissection, _ = pair
    encoder = Counting()
    first = explained(pair, text_encoder=encoder)
    encoder.asked.clear()
    assert explained(pair, text_encoder=encoder) == first
    assert encoder.asked == []
    with_summaries(dissection, {(SITE, 0): ("Siren wailing.", None), (OTHER, 0): ("Dog barking.", None),
                           (OTHER, 1): ("Church bell.", None)}, "other")  # fmt: skip
    again = explained(pair, text_encoder=encoder)
    assert set(again) == {"dog", "other 0", "other 1"}, "what is no longer claimed is gone"
    assert again["dog"].text == "Siren wailing."
    assert without_rates(again["other 0"]) == without_rates(first["other 0"]), "of a site where all is as it was"


def test_interrupted_it_goes_on(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_nnsight.explain.evaluate import unit_scores

    whole = explained(pair)
    (pair[0].folder / "explanations" / "scores.parquet").unlink()
    measured = unit_scores.SiteScores.rows

    def breaking(self, due):
        if self.held_out.site == OTHER:
            raise KeyboardInterrupt
        return measured(self, due)

    monkeypatch.setattr(unit_scores.SiteScores, "rows", breaking)
    with pytest.raises(KeyboardInterrupt):
        score(*pair, progress=False)
    begun = read_table(pair[0], "scores")
    assert {row.site for row in begun} == {SITE}
    assert any(holds(row) for row in begun), "what was scored is judged as well"
    monkeypatch.setattr(unit_scores.SiteScores, "rows", measured)
    assert explained(pair) == whole


def test_labels_and_open_concepts_are_scored_too(pair) -> None:
    dissection, _ = pair
    label(dissection, KINDS, similarity="pearson", progress=False)
    sources = {source for _, source in rows_of(pair)}
    (labelled,) = sources - {"explanation"}
    assert labelled.startswith("label db pearson ")
    assert labelled.endswith(" words")
    rows = rows_of(pair)
    assert holds(rows["siren", labelled])
    assert rows["siren", labelled].text == "siren wailing"
    assert not holds(rows["loud", labelled])
    with pytest.raises(DissectionError, match="has no concepts yet: run `and-nnsight explain"):
        rows_of(pair, sources=["concepts"])


def test_the_card_and_search_mark_what_does_not_hold(pair) -> None:
    dissection, _ = pair
    assert card(dissection, SITE, 3).verdicts == {}
    assert search(dissection, "dog barking")[0].verdict is None
    score(*pair, progress=False)
    siren = card(dissection, SITE, UNITS.index("siren")).verdicts["explanation"]
    assert not siren.holds
    assert str(siren).startswith("Does not predict its clips (q ")
    dog = card(dissection, SITE, 0).verdicts["explanation"]
    assert dog.holds
    assert re.match(r"Predicts its clips \(q 0\.00\d+\), more than loudness, duration, silence and brightness do "
                    r"\(q 0\.00\d+\)\. AUPRC 0\.\d+ \(chance 0\.05\), Pearson", str(dog))  # fmt: skip
    constant = card(dissection, SITE, UNITS.index("constant")).verdicts["explanation"]
    assert str(constant) == "Not judged: the unit is the same on all held-out clips."
    marks = {UNITS[match.unit]: match.verdict for match in search(dissection, "dog barking", sites=SITE)}
    assert marks["dog"] is not None and marks["dog"].holds
    assert marks["chance"] is not None and not marks["chance"].holds


def test_a_verdict_does_not_outlive_what_was_said(pair) -> None:
    dissection, _ = pair
    score(*pair, progress=False)
    with_summaries(dissection, {(SITE, 0): ("Siren wailing.", None)}, "other")
    assert card(dissection, SITE, 0).verdicts == {}
    assert Verdicts.read(dissection)(SITE, 0, "explanation", SAID["dog"]) is not None


# Which clips may judge


def test_clips_of_the_explained_dissection_do_not_judge(pair, tmp_path: Path) -> None:
    dissection, _ = pair
    with pytest.raises(DissectionError, match="cannot judge itself"):
        score(dissection, dissection, progress=False)
    copied = Dissection.load(shutil.copytree(dissection.folder, tmp_path / "copy"))
    with pytest.raises(DissectionError, match="only 0 clips .* 150 are clips of the dissection that was explained"):
        score(dissection, copied, progress=False)


def test_the_same_sounds_under_other_names_do_not_judge(pair, tmp_path: Path) -> None:
    renamed = written(
        tmp_path / "renamed", seed=1, dataset={**pair[0].manifest.dataset.to_json(), "fingerprint": "renamed"}
    )
    with pytest.raises(DissectionError, match="150 are clips of the dissection that was explained"):
        score(pair[0], renamed, progress=False)


def _with_rows(dissection: Dissection, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Dissection:
    path = dissection.folder / "clips.parquet"
    parquet.write_table(arrow.Table.from_pylist([change(row) for row in parquet.read_table(path).to_pylist()]), path)
    return Dissection.load(dissection.folder)


def test_the_same_place_in_the_same_data_does_not_judge_though_its_samples_were_changed(pair, tmp_path: Path) -> None:
    dataset = pair[0].manifest.dataset.to_json()
    for fingerprint, split, judging in (
        (dataset["fingerprint"], None, 50), (dataset["fingerprint"], "test", 200), ("another", None, 200),
    ):  # fmt: skip
        other = written(
            tmp_path / f"{fingerprint} {split}", seed=2, clips=200,
            dataset={**dataset, "fingerprint": fingerprint, "split": split},
        )  # fmt: skip
        judges = clips_held_out(pair[0], other, None, 0)
        assert (len(judges.clips), judges.overlap) == (judging, 200 - judging)


def test_copies_among_the_held_out_clips_count_once(pair) -> None:
    dissection, held_out = pair
    whole = clips_held_out(dissection, held_out, None, 0)
    doubled = _with_rows(held_out, lambda row: row | {"content": f"{row['clip'] // 2:016x}"})
    judges = clips_held_out(dissection, doubled, None, 0)
    assert (len(whole.clips), whole.copies) == (200, 0)
    assert judges.clips == tuple(range(0, 200, 2))
    assert judges.copies == 100
    unhashed = _with_rows(held_out, lambda row: row | {"content": ""})
    assert len(clips_held_out(dissection, unhashed, None, 0).clips) == 200, "clips without a hash are like no other"


def test_files_of_the_same_path_do_not_judge(pair, tmp_path: Path) -> None:
    for dissection, shift in zip(pair, (0, 140), strict=True):
        path = dissection.folder / "clips.parquet"
        rows = [
            row | {"path": str(tmp_path / f"{row['clip'] + shift}.wav")} for row in parquet.read_table(path).to_pylist()
        ]
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    fresh = Dissection.load(pair[0].folder), Dissection.load(pair[1].folder)
    assert explained(fresh)["dog"].clips == 190


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"model": {**MODEL, "weights": "others"}}, r"is of another model than .* \(other weights\)"),
        ({"model": {**MODEL, "edits": 1}}, r"\(other edits\)"),
        ({"pool": "mean"}, "was pooled by mean"),
        ({"keep_activations": False}, "keep_activations=True"),
    ],
)
def test_another_model_or_run_is_refused(pair, tmp_path: Path, manifest: dict[str, Any], said: str) -> None:
    with pytest.raises(DissectionError, match=said):
        score(pair[0], written(tmp_path / "x", seed=3, **manifest), progress=False)


def test_a_site_that_was_not_dissected_there_is_refused_unless_it_is_not_asked_for(pair, tmp_path: Path) -> None:
    sites = pair[1].manifest.sites
    fewer = written(tmp_path / "x", seed=3, sites=[sites[0].to_json()])
    with pytest.raises(DissectionError, match=f"site '{OTHER}' has 2 units .* not dissected it"):
        score(pair[0], fewer, progress=False)
    assert score(pair[0], fewer, sites=SITE, progress=False)


def test_clips_without_captions_and_without_audio_say_what_to_run(pair, tmp_path: Path) -> None:
    dissection, held_out = pair
    _caption_anew(held_out, dict.fromkeys(range(10), "dog"))
    with pytest.raises(
        DissectionError, match="190 of the 200 held-out clips have no caption: run `and-nnsight explain"
    ):
        score(dissection, held_out, progress=False)
    bare = written(tmp_path / "bare", seed=3)
    (bare.folder / "explanations" / "acoustics.parquet").unlink()
    with pytest.raises(
        DissectionError, match=r"null models need the acoustics .* pass held_out_data= \(--held-out-data\)"
    ):
        score(dissection, bare, progress=False)


def test_nothing_explained_and_senseless_numbers_are_errors(pair, tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="no summaries yet: run `and-nnsight explain"):
        score(written(tmp_path / "x", seed=7), pair[1], progress=False)
    assert score(*pair, shuffles=19, progress=False), "1 in 20 is as small as 0.05"
    for options in (
        {"share": 0.0}, {"share": 1.0}, {"shuffles": 0}, {"shuffles": 18}, {"level": 0.0}, {"level": 1.0},
        {"most_clips": 0}, {"sources": ["gossip"]},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="share|shuffles|level|most_clips|unknown source"):
            score(*pair, progress=False, **options)  # type: ignore[arg-type]


def test_of_many_clips_some_are_drawn(pair) -> None:
    rows = explained(pair, most_clips=60)
    assert rows["dog"].clips == 60
    assert holds(rows["dog"])


# Detection by a chat model


class Knowing:
    """Chooses the clips that share a word with the statement; counts its requests."""

    name = "knowing"

    def __init__(self, answer: str | None = None) -> None:
        self.requests, self.answer = 0, answer

    def chat(self, conversations: Sequence[Conversation], options: ChatOptions):
        import json

        for conversation in conversations:
            self.requests += 1
            said, clips = conversation[1].content.removeprefix("Statement:\n").split("\nClips:\n")
            words = set(json.loads(said).casefold().replace(".", "").split()) & {kind.split()[0] for kind in KINDS}
            fit = [
                int(number) for number, caption in json.loads(clips).items() if words & set(caption.casefold().split())
            ]
            yield self.answer if self.answer is not None else f"They are {fit}."


def test_a_chat_model_detects_what_is_true_and_not_what_is_shuffled(pair) -> None:
    chat = Knowing()
    rows = explained(pair, chat=chat)
    assert rows["half"].detection == 1.0
    assert rows["half"].detection_clips == 10
    assert rows["half"].detection_shuffled < 0.8
    assert rows["siren"].detection < 0.8
    assert rows["loud"].detection_null == 1.0
    assert rows["constant"].detection is None
    assert len(rows["dog"].requests) == 2
    asked = {row.id for row in read_table(pair[0], "requests")}
    assert set(rows["dog"].requests) <= asked
    before = chat.requests
    explained(pair, chat=chat)
    (pair[0].folder / "explanations" / "scores.parquet").unlink()
    assert explained(pair, chat=chat) == rows
    assert chat.requests == before, "every request is on record, and sent once"


@pytest.mark.parametrize(
    ("answer", "reason"), [("I cannot say", "names no clip"), ("[3, 44]", "names clip 44, where there are 10")]
)
def test_an_answer_that_says_nothing_is_a_failure_on_record(pair, answer: str, reason: str) -> None:
    row = explained(pair, chat=Knowing(answer), sites=SITE, units=[0])["dog"]
    assert row.detection is None
    assert reason in row.detection_failure
    assert row.auprc > row.base_rate


def test_answers_are_read_as_they_come() -> None:
    from and_nnsight.explain.evaluate.detection import numbers_in

    assert numbers_in("[1, 3]", 5) == {1, 3}
    assert numbers_in("Of [1, 2, 3] only these: [2]", 5) == {2}
    assert numbers_in("Clips 2 and 4.", 5) == {2, 4}
    assert numbers_in("[]", 5) == set()
    assert numbers_in("None of them.", 5) == set()
    assert isinstance(numbers_in("0", 5), Failure)
