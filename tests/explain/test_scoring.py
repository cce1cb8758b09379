"""Scores: what is true of a unit beats its nulls on clips it has not seen; what is not, or says no more, is marked."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.explain import card, label, read_table, score, search
from and_nnsight.explain.embeddings import cosines
from and_nnsight.explain.encoders.words import Words
from and_nnsight.explain.roles import ChatOptions, Conversation, Failure
from and_nnsight.explain.tables import Row, Table
from and_nnsight.explain.verdicts import Verdicts
from tests.explain.scored_dissection import KINDS, MODEL, OTHER, SITE, UNITS, written
from tests.explain.small_dissection import with_summaries
from tests.explain.test_agreement import plain_average_precision

SAID = {
    "dog": "Dog barking (5 of 5).",
    "bell": "Church bell (4 of 5). Rain falling (1 of 5).",
    "rain": "Rain falling (5 of 5).",
    "siren": "Dog barking (5 of 5).",  # not true
    "engine": "Engine humming (5 of 5).",
    "loud": "Church bell (3 of 5).",  # neither
    "bright": "Siren wailing (3 of 5).",
    "chance": "Rain falling (3 of 5).",
    "constant": "Dog barking (2 of 5).",
    "broken": "Dog barking (3 of 5).",
    "half": "Dog barking (4 of 5).",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    found = written(folder / "found", seed=1)
    written(folder / "held", seed=2, clips=200)
    said = {(SITE, UNITS.index(name)): (text, None) for name, text in SAID.items()}
    with_summaries(found, said | {(OTHER, 0): ("Dog barking.", None), (OTHER, 1): ("Church bell.", None)})
    return folder


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> tuple[Dissection, Dissection]:
    shutil.copytree(made, tmp_path / "two")
    return Dissection.load(tmp_path / "two" / "found"), Dissection.load(tmp_path / "two" / "held")


def rows_of(pair: tuple[Dissection, Dissection], **options: object) -> dict[tuple[str, str], Row]:
    rows = score(*pair, progress=False, **options)  # type: ignore[arg-type]
    return {(UNITS[row["unit"]] if row["site"] == SITE else f"other {row['unit']}", row["source"]): row for row in rows}


def explained(pair: tuple[Dissection, Dissection], **options: object) -> dict[str, Row]:
    return {name: row for (name, source), row in rows_of(pair, **options).items() if source == "explanation"}


def test_true_explanations_beat_their_nulls_and_false_ones_do_not(pair) -> None:
    rows = explained(pair)
    assert {name for name, row in rows.items() if row["beats_null"]} >= {"dog", "bell", "rain", "engine", "half"}
    assert not any(rows[name]["beats_null"] for name in ("siren", "loud", "bright", "constant"))
    dog = rows["dog"]
    assert dog["p"] == pytest.approx(1 / 6), "five other things are said of units of this site"
    assert (dog["clips"], dog["positives"], dog["base_rate"]) == (200, 10, 0.05)
    assert rows["half"]["auprc"] == pytest.approx(1), "it fires on all dogs alike, and nothing else"


def test_the_numbers_are_those_of_the_definitions(pair) -> None:
    found, held_out = pair
    rows, words = explained(pair), Words()
    captions = [row["caption"] for row in held_out.clips.values()]
    values = np.asarray(held_out.activations(SITE))
    for name, statements in (("dog", [("Dog barking.", 1)]), ("bell", [("Church bell.", 0.8), ("Rain falling.", 0.2)])):
        near = cosines(words.encode(captions), words.encode([text for text, _ in statements]))
        predicted = (near.astype(np.float64) * [weight for _, weight in statements]).sum(1).round(6)
        unit = values[:, UNITS.index(name)]
        fires = unit >= np.sort(unit)[-10]
        assert rows[name]["pearson"] == pytest.approx(np.corrcoef(predicted, unit)[0, 1], abs=1e-4)
        assert rows[name]["auprc"] == pytest.approx(plain_average_precision(predicted, fires), abs=5e-3)
    levels = [row["level_dbfs"] for row in read_table(held_out, "acoustics")]
    unit = values[:, UNITS.index("loud")]
    assert rows["loud"]["loudness_pearson"] == pytest.approx(np.corrcoef(levels, unit)[0, 1], abs=1e-5)
    assert rows["loud"]["loudness_auprc"] == pytest.approx(1.0)
    assert found.folder != held_out.folder


def test_the_null_that_makes_a_unit_is_found_with_its_direction(pair) -> None:
    rows = explained(pair)
    assert (rows["loud"]["null"], rows["loud"]["null_sign"]) == ("loudness", 1)
    assert (rows["bright"]["null"], rows["bright"]["null_sign"]) == ("brightness", 1)
    assert rows["loud"]["null_pearson"] == pytest.approx(1, abs=1e-5)
    assert rows["bright"]["null_auprc"] == pytest.approx(1)


@pytest.mark.parametrize("text", ["Loud.", "Church bell. Loud."])
def test_a_unit_of_loudness_beats_no_null_even_if_the_captions_tell_how_loud(pair, text: str) -> None:
    found, held_out = pair
    words = {name: ("Very loud" if level > -20 else "Quiet") for name, level in enumerate(_levels(held_out))}
    _caption_anew(held_out, words)
    with_summaries(found, {(SITE, UNITS.index("loud")): (text, None)}, made_by="another")
    _add_summary(found, {(SITE, UNITS.index("dog")): "Quiet."})
    row = explained(pair)["loud"]
    assert row["auprc"] > row["shuffled_auprc"]
    assert row["p"] == pytest.approx(1 / 2), "the explanation is true as far as it goes"
    assert not row["beats_null"]


def _levels(found: Dissection) -> list[float]:
    return [row["level_dbfs"] for row in read_table(found, "acoustics")]


def _caption_anew(found: Dissection, captions: dict[int, str]) -> None:
    from and_nnsight.explain.captions import KEY, SCHEMA

    with Table(found, "captions", SCHEMA, KEY, {"captioner": "test"}) as table:
        empty = dict.fromkeys(SCHEMA.names)
        table.add(empty | {"clip": clip, "caption": caption} for clip, caption in captions.items())


def test_captions_by_another_captioner_are_warned_of(pair) -> None:
    found = pair[0]
    said = {(SITE, UNITS.index("dog")): "Dog barking.", (SITE, UNITS.index("rain")): "Rain falling."}
    _add_summary(found, said, {"captions": {"captioner": "acoustic"}})
    with pytest.warns(UserWarning, match="explained from captions by acoustic, and .* captions by column:caption"):
        explained(pair)
    _add_summary(found, said, {"captions": {"captioner": "column:text"}})
    assert explained(pair)["dog"]["pearson"] > 0.5, "captions of the data on either side need no warning"


def _add_summary(found: Dissection, said: dict[tuple[str, int], str], settings: Any = None) -> None:
    from tests.explain.small_dissection import SUMMARIES

    with Table(found, "summaries", SUMMARIES, ("site", "unit"), settings or {"summarizer": "another"}) as table:
        table.add(
            {"site": s, "unit": u, "highly": text, "lowly": None, "failure": None} for (s, u), text in said.items()
        )


def test_nulls_are_fitted_on_the_explained_clips_alone(pair, made: Path, tmp_path: Path) -> None:
    """Among the held-out clips the loud unit is turned round: the null that was settled before must fail there."""
    found, held_out = pair
    kept = np.load(held_out.folder / "activations" / f"{SITE}.npy")
    kept[:, UNITS.index("loud")] *= -1
    np.save(held_out.folder / "activations" / f"{SITE}.npy", kept)
    row = explained((found, Dissection.load(held_out.folder)))["loud"]
    assert (row["null"], row["null_sign"]) == ("loudness", 1)
    assert row["null_pearson"] == pytest.approx(-1, abs=1e-5)


def test_of_units_that_mean_nothing_few_are_said_to_mean_something(tmp_path: Path) -> None:
    found = written(tmp_path / "found", seed=1, others=302)
    held_out = written(tmp_path / "held", seed=2, others=302)
    with_summaries(found, {(OTHER, unit): (f"{KINDS[unit % len(KINDS)]}.", None) for unit in range(302)})
    rows = [row for row in score(found, held_out, sites=OTHER, progress=False) if row["unit"] >= 2]
    assert len(rows) == 300
    assert 0.1 < np.mean([row["p"] < 0.5 for row in rows]) < 0.5
    assert np.mean([row["beats_null"] for row in rows]) < 0.08


def test_without_kept_activations_the_nulls_are_fitted_on_each_units_top_clips(pair, tmp_path: Path) -> None:
    found = written(tmp_path / "top", seed=1, kept=False)
    with_summaries(found, {(SITE, UNITS.index(name)): (text, None) for name, text in SAID.items()} | {
        (SITE, UNITS.index("dark")): ("Rain falling.", None)
    })  # fmt: skip
    rows = explained((found, pair[1]))
    assert (rows["loud"]["null"], rows["loud"]["null_sign"]) == ("loudness", 1)
    assert (rows["dark"]["null"], rows["dark"]["null_sign"]) == ("brightness", -1)
    assert rows["dog"]["beats_null"]


def test_a_unit_that_cannot_be_judged_says_why(pair) -> None:
    rows = explained(pair)
    assert rows["constant"]["failure"] == "the unit is the same on all held-out clips"
    assert rows["constant"]["auprc"] is None
    assert rows["broken"]["clips"] == 195, "where it is not finite it has no part"
    assert rows["broken"]["beats_null"]


def test_shuffled_claims_say_something_else(pair) -> None:
    found, _ = pair
    with_summaries(
        found, {(SITE, 0): ("Dog barking (5 of 5).", None), (SITE, 11): ("dog barking (3 of 5)", None)}, "few"
    )
    rows = explained(pair)
    assert {name: row["failure"] for name, row in rows.items()} == dict.fromkeys(
        ("dog", "half"), "no other claim was made to compare with"
    )
    assert not any(row["beats_null"] for row in rows.values())
    assert rows["half"]["auprc"] == pytest.approx(1)
    assert rows["half"]["p"] is None


def test_seed_and_units_asked_for_make_no_difference_to_others(pair, made: Path) -> None:
    some = explained(pair, sites=SITE, units=[0, 1, 8])
    assert set(some) == {"dog", "bell", "chance"}
    every = explained(pair)
    assert all(every[name] == row for name, row in some.items())
    other = explained(pair, seed=5)
    assert [other[name]["auprc"] for name in SAID] == [every[name]["auprc"] for name in SAID]
    assert [other[name]["shuffled_auprc"] for name in SAID] != [every[name]["shuffled_auprc"] for name in SAID]


class Counting(Words):
    """`words`, counting the texts that it is asked for."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return super().encode(texts)


def test_what_has_been_scored_is_not_scored_again_and_what_has_changed_is(pair) -> None:
    found, _ = pair
    encoder = Counting()
    first = explained(pair, text_encoder=encoder)
    encoder.asked.clear()
    assert explained(pair, text_encoder=encoder) == first
    assert encoder.asked == []
    with_summaries(found, {(SITE, 0): ("Siren wailing.", None), (OTHER, 0): ("Dog barking.", None),
                           (OTHER, 1): ("Church bell.", None)}, "other")  # fmt: skip
    again = explained(pair, text_encoder=encoder)
    assert set(again) == {"dog", "other 0", "other 1"}, "what is no longer claimed is gone"
    assert again["dog"]["text"] == "Siren wailing."
    assert again["other 0"] == first["other 0"], "of a site where all is as it was"


def test_interrupted_it_goes_on(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_nnsight.explain import unit_scores

    whole = explained(pair)
    (pair[0].folder / "explanations" / "scores.parquet").unlink()
    measured = unit_scores.SiteScores.rows

    def breaking(self, due):
        if self.judge.site == OTHER:
            raise KeyboardInterrupt
        return measured(self, due)

    monkeypatch.setattr(unit_scores.SiteScores, "rows", breaking)
    with pytest.raises(KeyboardInterrupt):
        score(*pair, progress=False)
    assert {row["site"] for row in read_table(pair[0], "scores")} == {SITE}
    monkeypatch.setattr(unit_scores.SiteScores, "rows", measured)
    assert explained(pair) == whole


def test_labels_and_open_concepts_are_scored_too(pair) -> None:
    found, _ = pair
    label(found, KINDS, similarity="pearson", progress=False)
    sources = {source for _, source in rows_of(pair)}
    (labelled,) = sources - {"explanation"}
    assert labelled.startswith("label db pearson ")
    assert labelled.endswith(" words")
    rows = rows_of(pair)
    assert rows["siren", labelled]["beats_null"]
    assert rows["siren", labelled]["text"] == "siren wailing"
    assert not rows["loud", labelled]["beats_null"]
    with pytest.raises(DissectionError, match="has no concepts yet: run `and-nnsight explain"):
        rows_of(pair, sources=["concepts"])


def test_the_card_and_search_mark_what_does_not_beat_its_null(pair) -> None:
    found, _ = pair
    assert card(found, SITE, 3).verdicts == {}
    assert search(found, "dog barking")[0].verdict is None
    score(*pair, progress=False)
    siren = card(found, SITE, UNITS.index("siren")).verdicts["explanation"]
    assert not siren.beats_null
    assert str(siren).startswith("Does not beat its null. AUPRC 0.")
    assert card(found, SITE, 0).verdicts["explanation"].beats_null
    constant = card(found, SITE, UNITS.index("constant")).verdicts["explanation"]
    assert str(constant) == "Not judged: the unit is the same on all held-out clips."
    marks = {UNITS[match.unit]: match.verdict for match in search(found, "dog barking", sites=SITE)}
    assert marks["dog"] is not None and marks["dog"].beats_null
    assert marks["siren"] is not None and not marks["siren"].beats_null


def test_a_verdict_does_not_outlive_what_was_said(pair) -> None:
    found, _ = pair
    score(*pair, progress=False)
    with_summaries(found, {(SITE, 0): ("Siren wailing.", None)}, "other")
    assert card(found, SITE, 0).verdicts == {}
    assert Verdicts.read(found)(SITE, 0, "explanation", SAID["dog"]) is not None


# Which clips may judge


def test_clips_of_the_explained_dissection_do_not_judge(pair, tmp_path: Path) -> None:
    found, _ = pair
    with pytest.raises(DissectionError, match="cannot judge itself"):
        score(found, found, progress=False)
    copied = Dissection.load(shutil.copytree(found.folder, tmp_path / "copy"))
    with pytest.raises(DissectionError, match="only 0 clips .* 150 are clips of the dissection that was explained"):
        score(found, copied, progress=False)


def test_the_same_sounds_under_other_names_do_not_judge(pair, tmp_path: Path) -> None:
    renamed = written(tmp_path / "renamed", seed=1, dataset={**pair[0].manifest["dataset"], "fingerprint": "renamed"})
    with pytest.raises(DissectionError, match="150 are clips of the dissection that was explained"):
        score(pair[0], renamed, progress=False)


def test_files_of_the_same_path_do_not_judge(pair, tmp_path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    for found, shift in zip(pair, (0, 140), strict=True):
        path = found.folder / "clips.parquet"
        rows = [
            row | {"path": str(tmp_path / f"{row['clip'] + shift}.wav")} for row in parquet.read_table(path).to_pylist()
        ]
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    fresh = Dissection.load(pair[0].folder), Dissection.load(pair[1].folder)
    assert explained(fresh)["dog"]["clips"] == 190


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
    sites = pair[1].manifest["sites"]
    fewer = written(tmp_path / "x", seed=3, sites=sites[:1])
    with pytest.raises(DissectionError, match=f"site '{OTHER}' has 2 units .* not dissected it"):
        score(pair[0], fewer, progress=False)
    assert score(pair[0], fewer, sites=SITE, progress=False)


def test_clips_without_captions_and_without_audio_say_what_to_run(pair, tmp_path: Path) -> None:
    found, held_out = pair
    _caption_anew(held_out, dict.fromkeys(range(10), "dog"))
    with pytest.raises(
        DissectionError, match="190 of the 200 held-out clips have no caption: run `and-nnsight explain"
    ):
        score(found, held_out, progress=False)
    bare = written(tmp_path / "bare", seed=3)
    (bare.folder / "explanations" / "acoustics.parquet").unlink()
    with pytest.raises(
        DissectionError, match=r"null models need the acoustics .* pass held_out_data= \(--held-out-data\)"
    ):
        score(found, bare, progress=False)


def test_nothing_explained_and_senseless_numbers_are_errors(pair, tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="no summaries yet: run `and-nnsight explain"):
        score(written(tmp_path / "x", seed=7), pair[1], progress=False)
    for options in ({"share": 0.0}, {"share": 1.0}, {"shuffles": 0}, {"most_clips": 0}, {"sources": ["gossip"]}):
        with pytest.raises(ValueError, match="share|shuffles|unknown source"):
            score(*pair, progress=False, **options)  # type: ignore[arg-type]


def test_of_many_clips_some_are_drawn(pair) -> None:
    rows = explained(pair, most_clips=60)
    assert rows["dog"]["clips"] == 60
    assert rows["dog"]["beats_null"]


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
    assert rows["half"]["detection"] == 1.0
    assert rows["half"]["detection_clips"] == 10
    assert rows["half"]["detection_shuffled"] < 0.8
    assert rows["siren"]["detection"] < 0.8
    assert rows["loud"]["detection_null"] == 1.0
    assert rows["constant"]["detection"] is None
    assert len(rows["dog"]["requests"]) == 2
    asked = {row["id"] for row in read_table(pair[0], "requests")}
    assert set(rows["dog"]["requests"]) <= asked
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
    assert row["detection"] is None
    assert reason in row["detection_failure"]
    assert row["auprc"] > row["base_rate"]


def test_answers_are_read_as_they_come() -> None:
    from and_nnsight.explain.detecting import numbers_in

    assert numbers_in("[1, 3]", 5) == {1, 3}
    assert numbers_in("Of [1, 2, 3] only these: [2]", 5) == {2}
    assert numbers_in("Clips 2 and 4.", 5) == {2, 4}
    assert numbers_in("[]", 5) == set()
    assert numbers_in("None of them.", 5) == set()
    assert isinstance(numbers_in("0", 5), Failure)
