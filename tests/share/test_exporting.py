"""Tables that others read: the same values in pyarrow, pandas and a spreadsheet, and no cell that is a formula."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas
import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pyarrow import parquet

from and_nnsight import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.dissection.table_files import plain, write_csv
from and_nnsight.explain import read_table
from and_nnsight.share.exemplar_rows import ExemplarRow, exemplar_table
from and_nnsight.share.exporting import export
from and_nnsight.share.unit_row import UnitRow
from tests.share.conftest import SITES


def test_every_place_in_a_units_lists_is_a_row(explained: Dissection) -> None:
    rows = exemplar_table(explained)
    for site, unit in ((SITES[0], 3), (SITES[1], 40)):
        shown = explained.unit(site, unit)
        for side in ("top", "bottom"):
            exemplars = getattr(shown, side)
            of_side = [row for row in rows if (row.site, row.unit, row.side) == (site, unit, side)]
            assert [row.rank for row in of_side] == list(range(len(exemplars)))
            for row, exemplar in zip(of_side, exemplars, strict=True):
                assert (row.clip, row.activation, row.evidence) == (
                    exemplar.clip,
                    exemplar.activation,
                    exemplar.telling,
                )
                assert (row.start, row.end, row.label) == (exemplar.start, exemplar.end, exemplar.label)


def test_parquet_comes_back_as_it_was(explained: Dissection, tmp_path: Path) -> None:
    written = export(explained, "parquet", tmp_path / "out")
    names = {path.stem for path in written}
    assert {"units", "exemplars", "clips", "summaries", "labels", "scores"} <= names
    units = parquet.read_table(tmp_path / "out" / "units.parquet")
    assert UnitRow.of_arrow(units) == list(explained.units()) and units.schema.types[2] == arrow.float32()
    exemplars = parquet.read_table(tmp_path / "out" / "exemplars.parquet")
    assert ExemplarRow.of_arrow(exemplars) == list(exemplar_table(explained))


def test_a_table_of_explanations_is_cut_to_the_sites(explained: Dissection, tmp_path: Path) -> None:
    export(explained, "parquet", tmp_path, sites=SITES[0])
    labels = parquet.read_table(tmp_path / "labels.parquet")["site"].to_pylist()
    assert set(labels) == {SITES[0]}
    assert len(labels) == sum(row.site == SITES[0] for row in read_table(explained, "labels"))


def test_csv_reads_in_pandas(explained: Dissection, tmp_path: Path) -> None:
    export(explained, "csv", tmp_path)
    frame = pandas.read_csv(tmp_path / "units.csv")
    rows = explained.units()
    assert frame["highest"].tolist() == [row.highest for row in rows]
    assert frame["site"].tolist() == [row.site for row in rows]
    assert (frame["lowest"] < 0).any(), "numbers below zero stay numbers"


def test_what_is_no_format_is_refused_before_anything_is_written(explained: Dissection, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'xlsx': one of parquet, csv"):
        export(explained, "xlsx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    cells=some.lists(some.none() | TEXT | some.sampled_from(["=1+1", "+A1", "-2", "@x", "\t=1", "\r=1"]), min_size=1)
)
def test_no_cell_becomes_a_formula(cells: list[str | None], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("csv") / "cells.csv"
    table = arrow.table({"=name": arrow.array(cells, arrow.string()), "number": [-1.5] * len(cells)})
    write_csv(table, path)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["'=name", "number"]
    assert [row[1] for row in rows] == ["-1.5"] * len(cells)
    for cell, (text, _) in zip(cells, rows, strict=True):
        assert not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert text.removeprefix("'") == (cell or "").removeprefix("'")


def test_what_json_has_no_word_for_is_null() -> None:
    assert plain({"a": [float("nan"), (float("-inf"), 1)], 2: "x"}) == {"a": [None, [None, 1]], "2": "x"}


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_tables_never_replace_files_of_a_dissection(explained: Dissection, to: str) -> None:
    before = {path: path.read_bytes() for path in explained.folder.rglob("*") if path.is_file()}
    with pytest.raises(DissectionError, match="holds a dissection"):
        export(explained, to, explained.folder)
    assert {path: path.read_bytes() for path in explained.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_tables_replace_those_of_an_earlier_export_and_no_other_file(
    explained: Dissection, to: str, tmp_path: Path
) -> None:
    assert export(explained, to, tmp_path / "tables") == export(explained, to, tmp_path / "tables")
    mine = tmp_path / "mine" / f"captions.{to}"
    mine.parent.mkdir()
    mine.write_bytes(b"file_name,caption\n1.wav,a bell\n")
    with pytest.raises(DissectionError, match=f"captions.{to} is there, and is no such table"):
        export(explained, to, mine.parent)
    assert [path.read_bytes() for path in mine.parent.iterdir()] == [b"file_name,caption\n1.wav,a bell\n"]
