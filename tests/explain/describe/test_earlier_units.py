"""Units that were explained with other settings are kept aside, and are still found and shown."""

from __future__ import annotations

from pathlib import Path

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.explain.describe.calibration import calibrate
from and_nnsight.explain.describe.concepts import find_concepts
from and_nnsight.explain.read.search import search
from and_nnsight.explain.read.unit_card import card
from and_nnsight.explain.records.description_rows import ConceptRow, SummaryRow
from and_nnsight.explain.records.reading import read_table, rows_of_every_unit, unit_rows, units_aside

from ..small_dissection import small_dissection, with_summaries

DOG, BELL, ENGINE = "Dogs bark in 5 of 5 clips.", "A shrill bell in 5 of 5 clips.", "Engines in 5 of 5 clips."


def explained(folder: Path) -> Dissection:
    """Two units explained one way; then one of them, and a third, another way."""
    dissection = small_dissection(folder)
    for made_by, said in (
        ("first", {("first", 0): (DOG, None), ("first", 1): (BELL, None)}),
        ("second", {("first", 0): (ENGINE, None), ("second", 2): (None, None)}),
    ):
        with_summaries(dissection, said, made_by)
        calibrate(dissection, progress=False)
        find_concepts(dissection, progress=False)
    return dissection


def test_the_tables_themselves_are_of_one_kind_and_what_is_shown_is_of_every_unit(tmp_path: Path) -> None:
    dissection = explained(tmp_path / "run")
    assert [(row.site, row.unit) for row in read_table(dissection, "summaries")] == [("first", 0), ("second", 2)]
    said = {(row.site, row.unit): row.highly for row in rows_of_every_unit(dissection, SummaryRow)}
    assert said == {("first", 0): ENGINE, ("first", 1): BELL, ("second", 2): None}
    assert units_aside(dissection, "summaries") == units_aside(dissection, "calibrated") == 1
    assert card(dissection, "first", 0).summary == ENGINE
    assert card(dissection, "first", 1).summary == BELL
    assert "shrill" in {concept.word for concept in card(dissection, "first", 1).concepts}
    assert [match.unit for match in search(dissection, "bell")] == [1]
    assert search(dissection, "dog") == [], "what is said of a unit now counts"


def test_a_unit_without_words_now_has_none_of_earlier(tmp_path: Path) -> None:
    dissection = explained(tmp_path / "run")
    with_summaries(dissection, {("first", 0): (None, None), ("first", 1): (None, None)}, "third")
    calibrate(dissection, progress=False)
    find_concepts(dissection, progress=False)
    assert card(dissection, "first", 1).concepts == ()
    assert unit_rows(dissection, ConceptRow, "first", 1) == []
    assert not any(row.unit == 1 for row in rows_of_every_unit(dissection, ConceptRow))


def test_where_nothing_was_put_aside_nothing_is_added(tmp_path: Path) -> None:
    dissection = with_summaries(small_dissection(tmp_path / "run"), {("first", 0): (DOG, None)})
    assert rows_of_every_unit(dissection, SummaryRow) == read_table(dissection, "summaries")
    assert units_aside(dissection, "summaries") == 0
    assert rows_of_every_unit(dissection, ConceptRow) == []
