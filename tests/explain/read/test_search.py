"""Search: units by what was said of them, nearest first, and the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.explain import calibrate, search
from and_nnsight.explain.providers.embeddings import Embeddings
from and_nnsight.explain.providers.encoders.words import Words
from and_nnsight.explain.records.claim_rows import LabelRow
from and_nnsight.explain.records.description_rows import ConceptRow
from and_nnsight.explain.records.tables import Table
from tests.explain.small_dissection import small_dissection, with_summaries

CONCEPTS = arrow.schema(
    [("site", arrow.string()), ("unit", arrow.int64()), ("word", arrow.string()), ("part", arrow.string())]
)
LABELS = arrow.schema(
    [
        (name, arrow.int64() if name in ("unit", "rank") else arrow.string())
        for name in ("site", "unit", "method", "similarity", "rank", "concept")
    ]
)


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    summaries = {
        ("first", 0): ("Telephone ring (3 of 5). Loud noise (2 of 5).", "Strings are plucked (3 of 5)."),
        ("first", 1): ("Telephone ring (5 of 5). Hum of engines (2 of 5).", "Strings are plucked (3 of 5)."),
        ("first", 2): ("Strings are plucked (5 of 5).", "Strings are plucked (5 of 5)."),
        ("second", 0): ("Dogs barking loudly (4 of 5).", None),
        ("second", 1): (None, "Telephone ring (5 of 5)."),
    }
    return with_summaries(small_dissection(tmp_path / "run"), summaries)


def units(matches: Sequence[object]) -> list[tuple[str, int]]:
    return [(match.site, match.unit) for match in matches]


def test_units_are_found_by_their_calibrated_summaries(dissection: Dissection) -> None:
    calibrate(dissection, progress=False)
    matches = search(dissection, "a telephone that rings")
    assert units(matches) == [("first", 1), ("first", 0)], "of equal sentences the one said of more clips is first"
    best = matches[0]
    assert best.score == pytest.approx(1, abs=1e-4)
    assert (best.source, best.matched) == ("explanation", "Telephone ring (5 of 5).")
    assert best.explanation == "Telephone ring (5 of 5). Hum of engines (2 of 5)."
    assert [exemplar.clip for exemplar in best.exemplars] == [0, 1]
    assert units(search(dissection, "barking dog")) == [("second", 0)]
    assert search(dissection, "plucked strings") == [], "it was dropped: the lowly clips have it as well"


def test_summaries_are_searched_until_they_are_calibrated(dissection: Dissection) -> None:
    assert units(search(dissection, "plucked strings")) == [("first", 2)]


def test_most_and_sites_narrow_what_is_found(dissection: Dissection) -> None:
    assert units(search(dissection, "telephone", most=1)) == [("first", 1)]
    assert search(dissection, "telephone", sites="second") == []
    assert units(search(dissection, "telephone", sites=["fir*"])) == [("first", 1), ("first", 0)]
    with pytest.raises(DissectionError, match="no dissected site matches 'third'"):
        search(dissection, "telephone", sites="third")


def test_labels_and_concepts_are_sources_of_their_own(dissection: Dissection) -> None:
    with Table(dissection, LabelRow, {}) as table:
        labels = (("church_bells", 1), ("water_drops", 2), (None, 3))
        table.add(LabelRow("second", 2, "db", "cos_cubed", "", rank, concept) for concept, rank in labels)
    with Table(dissection, ConceptRow, {}) as table:
        table.add(ConceptRow("first", 0, word, "adjective", 1) for word in ("shrill", "metallic"))
    (bells,) = search(dissection, "church bells")
    assert (bells.site, bells.unit, bells.source, bells.matched) == ("second", 2, "label", "church bells")
    assert bells.explanation is None
    assert search(dissection, "water drops") == [], "only the first label of a method is the unit's"
    (shrill,) = search(dissection, "shrill")
    assert (shrill.site, shrill.unit, shrill.source, shrill.matched) == ("first", 0, "concepts", "metallic, shrill")
    assert set(shrill.scores) == {"explanation", "concepts"}
    assert shrill.score == shrill.scores["concepts"] == max(shrill.scores.values())


def test_what_nobody_said_is_not_found(dissection: Dissection) -> None:
    assert search(dissection, "giraffe") == []
    assert search(dissection, "the of and") == []


def test_it_is_the_same_every_time(dissection: Dissection) -> None:
    assert search(dissection, "loud telephone") == search(dissection, "loud telephone")


@pytest.mark.parametrize(("text", "most"), [("", 10), ("  \n", 10), ("dog", 0)])
def test_a_search_for_nothing_is_refused(dissection: Dissection, text: str, most: int) -> None:
    with pytest.raises(ValueError, match="nothing to search for|must be 1 or more"):
        search(dissection, text, most=most)


def test_without_explanations_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="no explanations to search yet: run `and-nnsight explain"):
        search(small_dissection(tmp_path), "dog")


class Counting(Words):
    """`words` under another name that counts what it is asked."""

    name = "counting"
    asked: list[str] = []  # noqa: RUF012

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        Counting.asked += texts
        return super().encode(texts)


def test_vectors_are_kept_in_the_folder_and_not_made_again(
    dissection: Dissection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from and_nnsight import plugins

    monkeypatch.setattr(plugins, "make", lambda role, chosen, **offered: Counting())
    Counting.asked.clear()
    first = search(dissection, "telephone", text_encoder="counting:x")
    assert len(Counting.asked) == len(set(Counting.asked)) > 3
    Counting.asked.clear()
    assert search(dissection, "telephone", text_encoder="counting:x") == first
    assert Counting.asked == ["telephone"]
    (kept,) = (dissection.folder / "explanations").glob("embeddings-*.safetensors")
    kept.write_bytes(b"damaged")
    assert search(dissection, "telephone", text_encoder="counting:x") == first


def test_an_object_and_words_leave_no_file(dissection: Dissection) -> None:
    assert search(dissection, "telephone", text_encoder=Counting()) == search(dissection, "telephone")
    assert not list((dissection.folder / "explanations").glob("embeddings-*"))


def test_vectors_of_another_width_are_not_taken_from_a_file(tmp_path: Path) -> None:
    class Narrow:
        name = "narrow"

        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return np.ones((len(texts), 3), np.float32)

    wide = Embeddings(Words(), "words")
    wide(["dog", "cat"])
    wide.write(tmp_path / "kept.safetensors")
    narrow = Embeddings(Narrow(), "narrow")
    narrow(["bird"])
    narrow.read(tmp_path / "kept.safetensors", ["dog", "cat"])
    assert narrow(["dog"]).shape == (1, 3)
    again = Embeddings(Words(), "words")
    again.read(tmp_path / "kept.safetensors", ["dog", "fish"])
    assert np.array_equal(again(["dog", "fish"]), wide(["dog", "fish"]))
    assert again.encoded == 1
