"""Units per adjective, over dissections whose words are given."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.dissection.table_files import plain
from and_nnsight.explain.records.claim_rows import ScoreRow
from and_nnsight.explain.records.description_rows import CalibratedRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.findings import AdjectiveRow, units_per_adjective
from and_nnsight.findings.statistics import wilson
from tests.findings.hand_made import adjectives, shuffled, texts, with_words, written_dissection

CAPTIONS = ["A loud bell.", "A loud drum. A soft drum.", "A bright bell.", "A loud bell.", "", "A dog."]
SITES = [("blocks.0.mlp.hook_post", 0, 4), ("unembed.hook_out", None, 2)]
FIRST, HEAD = SITES[0][0], SITES[1][0]


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    return with_words(
        written_dissection(tmp_path / "run", SITES, CAPTIONS),
        {
            (FIRST, 0): adjectives("loud", "wooden"),
            (FIRST, 1): adjectives("loud", "soft"),
            (FIRST, 2): "",
            (FIRST, 3): None,
            (HEAD, 0): adjectives("soft", "loud"),
        },
    )


def test_every_unit_counts_once_for_each_of_its_acoustic_adjectives(dissection: Dissection) -> None:
    table = units_per_adjective(dissection).table
    assert [(row.word, row.units) for row in table] == [("loud", 3), ("soft", 2)]
    assert [row.share.value for row in table] == [3 / 4, 2 / 4], "of the units with a summary"
    assert (table[0].share.low, table[0].share.high) == wilson(3, 4)


def test_no_unit_is_dropped_silently(dissection: Dissection) -> None:
    finding = units_per_adjective(dissection)
    counts = {
        name: finding.facts[name] for name in ("units", "with_summary", "nothing_left", "no_summary", "never_explained")
    }
    assert counts == {"units": 6, "with_summary": 4, "nothing_left": 1, "no_summary": 1, "never_explained": 1}
    said = "4 of 6 units have a summary (of them 1 with nothing left after calibration); without one: 1; never explained: 1"
    assert finding.summary()[0] == said
    assert said in texts(finding.figure())


def test_beside_it_stands_how_common_the_word_is_in_captions(dissection: Dissection) -> None:
    rows = {row.word: row for row in units_per_adjective(dissection).table}
    assert (rows["loud"].captions, rows["soft"].captions) == (3, 1)
    assert rows["loud"].caption_share == 3 / 5, "an empty caption is none"


def test_a_caption_has_a_word_in_any_form_and_only_as_an_adjective(tmp_path: Path) -> None:
    captions = ["The LOUDEST bell.", "A louder dog.", "A soft, loud horn.", "He speaks loudly.", "Soft-spoken men."]
    run = written_dissection(tmp_path / "run", SITES, captions)
    given = with_words(run, {(FIRST, 0): adjectives("loud", "soft")})
    assert {row.word: row.captions for row in units_per_adjective(given).table} == {"loud": 3, "soft": 1}


def test_the_order_of_rows_makes_no_difference(dissection: Dissection) -> None:
    before = units_per_adjective(dissection)
    shuffled(dissection)
    after = units_per_adjective(dissection)
    assert (after.table, after.facts) == (before.table, before.facts)


def test_sites_are_chosen_by_name_or_glob(dissection: Dissection) -> None:
    assert [(row.word, row.units) for row in units_per_adjective(dissection, sites="blocks.*").table] == [
        ("loud", 2),
        ("soft", 1),
    ]
    with pytest.raises(DissectionError, match="no dissected site matches 'blocks.9"):
        units_per_adjective(dissection, sites="blocks.9.*")


def test_words_of_units_whose_explanation_does_not_hold_are_told_apart(dissection: Dissection) -> None:
    with Table(dissection, ScoreRow, {}) as table:
        for unit, holds, failure in ((0, True, None), (1, False, None), (3, False, "the unit is the same")):
            row = ScoreRow(FIRST, unit, "explanation", "Something.", failure=failure)
            table.add([replace(row, predicts=True, beyond_acoustics=holds)])
        table.add([ScoreRow(HEAD, 0, "label", "", predicts=True, beyond_acoustics=True)])
    finding = units_per_adjective(dissection)
    assert [(row.word, row.scored, row.hold) for row in finding.table] == [("loud", 2, 1), ("soft", 1, 0)]
    assert finding.summary()[0].endswith("1 of the 2 that were scored hold")
    assert [row.hold_share for row in finding.table] == [(1 / 2, *wilson(1, 2)), (0, *wilson(0, 1))]


def test_the_figure_says_of_how_many_scored_units_an_explanation_holds(dissection: Dissection) -> None:
    with Table(dissection, ScoreRow, {}) as table:
        for site, unit, holds in ((FIRST, 0, True), (HEAD, 0, False)):
            row = ScoreRow(site, unit, "explanation", "Something.", predicts=True, beyond_acoustics=holds)
            table.add([row])
    figure = units_per_adjective(dissection, sites=SITES[0][0]).figure()
    held = figure.axes[1]
    assert [bar.get_width() for bar in _bars(held)] == [100, 0]
    assert {"1 of 1", "none scored"} <= set(texts(figure)), "soft is of two units, of which none was scored"
    assert np.asarray(held.lines[-1].get_xdata())[0] == 100, "all that were scored"


def test_without_verdicts_there_is_no_panel_of_them(dissection: Dissection) -> None:
    assert [axes.get_visible() for axes in units_per_adjective(dissection).figure().axes] == [True, False, True]


def test_a_verdict_on_what_a_unit_was_once_said_to_hear_does_not_count(dissection: Dissection) -> None:
    with Table(dissection, ScoreRow, {}) as table:
        for unit, text in ((0, "Something."), (1, "Something else.")):
            table.add([ScoreRow(FIRST, unit, "explanation", text, predicts=True, beyond_acoustics=True)])
    finding = units_per_adjective(dissection)
    assert (finding.facts["scored"], finding.facts["hold"]) == (1, 1)


def test_the_figure_shows_the_table(dissection: Dissection) -> None:
    figure = units_per_adjective(dissection).figure()
    axes, _, beside = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["loud", "soft"]
    assert [bar.get_width() for bar in _bars(axes)] == [75, 50]
    assert "% of those with a summary" in axes.get_xlabel() and "of 5" in beside.get_xlabel()
    np.testing.assert_allclose(np.asarray(beside.lines[0].get_xdata()), [60, 20])
    assert {"3", "2"} <= set(texts(figure)), "how many units stands at each bar"


def test_only_the_commonest_are_drawn(dissection: Dissection) -> None:
    assert len(units_per_adjective(dissection).figure(most=1).axes[0].get_yticklabels()) == 1


@pytest.mark.slow
def test_units_without_adjectives_make_an_empty_table_and_a_figure_that_says_so(tmp_path: Path) -> None:
    dissection = written_dissection(tmp_path / "run", SITES, CAPTIONS)
    finding = units_per_adjective(with_words(dissection, {(FIRST, 0): {"noun": ["bell"]}, (FIRST, 1): None}))
    assert finding.table == [] and finding.summary()[1] == "no unit has an acoustic adjective"
    assert "no unit has an acoustic adjective" in texts(finding.figure())
    finding.write(tmp_path / "out")
    finding.write_figure(tmp_path / "out")
    assert parquet.read_schema(tmp_path / "out" / "units_per_adjective.parquet").names == AdjectiveRow.schema().names
    assert (tmp_path / "out" / "units_per_adjective.csv").read_text().startswith("word,units,share,")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"units_per_adjective.{kind}" for kind in ("json", "csv", "parquet", "png", "pdf")
    }


def test_without_explanations_it_names_the_command(tmp_path: Path) -> None:
    dissection = written_dissection(tmp_path / "run", SITES, CAPTIONS)
    with pytest.raises(DissectionError, match=r"has no calibrated yet: run `and-nnsight explain .*` first"):
        units_per_adjective(dissection)


def test_concepts_of_earlier_summaries_are_refused(dissection: Dissection) -> None:
    with Table(dissection, CalibratedRow, {"threshold": 0.9}) as table:
        table.add([])
    with pytest.raises(DissectionError, match="of earlier summaries: run `and-nnsight explain .* --step concepts`"):
        units_per_adjective(dissection)


def test_tables_are_written_as_they_are_with_the_facts_beside_them(dissection: Dissection, tmp_path: Path) -> None:
    finding = units_per_adjective(dissection)
    written = finding.write(tmp_path / "deep" / "out")
    assert [path.name for path in written] == [f"units_per_adjective.{kind}" for kind in ("json", "parquet", "csv")]
    table = parquet.read_table(written[1])
    assert AdjectiveRow.of_arrow(table) == finding.table
    assert table.to_pandas().equals(finding.to_pandas())
    assert json.loads(table.schema.metadata[b"and_nnsight.facts"]) == finding.facts
    assert json.loads(finding.to_json())["tables"] == {"units_per_adjective": plain(table.to_pylist())}
    lines = written[2].read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("word,units,share,") and lines[1].startswith("loud,3,0.75,")


@pytest.mark.slow
def test_the_same_finding_gives_the_same_files(dissection: Dissection, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        units_per_adjective(dissection).write_figure(tmp_path / folder)
    for kind in ("png", "pdf"):
        one, two = ((tmp_path / folder / f"units_per_adjective.{kind}").read_bytes() for folder in ("one", "two"))
        assert one == two


def test_a_word_with_dollars_is_no_formula(tmp_path: Path) -> None:
    from and_nnsight.findings import UnitsPerAdjective

    dissection = with_words(written_dissection(tmp_path / "run", SITES, CAPTIONS), {(FIRST, 0): adjectives("loud")})
    finding = units_per_adjective(dissection)
    odd = UnitsPerAdjective([replace(finding.table[0], word=r"$\frac{")], finding.facts)
    odd.write_figure(tmp_path / "out")


@pytest.mark.slow
def test_tables_need_no_matplotlib_and_figures_no_global_state(dissection: Dissection) -> None:
    code = f"""
import beartype, sys
from and_nnsight import Dissection
from and_nnsight.findings import AdjectiveRow, units_per_adjective
finding = units_per_adjective(Dissection.load({str(dissection.folder)!r}))
finding.to_json()
assert not any(name.split(".")[0] == "matplotlib" for name in sys.modules)
import matplotlib
before = matplotlib.rcParams.copy()
finding.figure()
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def _bars(axes: Any) -> Any:
    return next(one for one in axes.containers if hasattr(one, "patches"))
