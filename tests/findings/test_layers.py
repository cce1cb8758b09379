"""Adjectives per layer, over dissections whose words are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.explain.records.claim_rows import ScoreRow
from and_nnsight.explain.records.description_rows import SummaryRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.findings import adjectives_per_layer
from and_nnsight.findings.layers import ALL, EVERY, FULL, SUMMARISED, TRUE
from tests.findings.hand_made import adjectives, shuffled, texts, with_words, written_dissection

WORDS = ("loud", "soft", "bright", "noisy")
KINDS = ("hook_attn_out", "mlp.hook_pre")
SITES = [(f"blocks.{layer}.{kind}", layer, 3) for layer in range(3) for kind in KINDS] + [("unembed.hook_out", None, 2)]
COUNTS = {  # adjectives of each unit; None: no summary; -1: nothing left; absent: never explained
    ("blocks.0.hook_attn_out", 0): 4, ("blocks.0.hook_attn_out", 1): 3, ("blocks.0.hook_attn_out", 2): None,
    ("blocks.0.mlp.hook_pre", 0): 2, ("blocks.0.mlp.hook_pre", 1): 3, ("blocks.0.mlp.hook_pre", 2): 2,
    ("blocks.1.hook_attn_out", 0): 1, ("blocks.1.hook_attn_out", 1): -1, ("blocks.1.hook_attn_out", 2): 2,
    ("blocks.1.mlp.hook_pre", 0): 0, ("blocks.1.mlp.hook_pre", 1): 2,
    ("blocks.2.hook_attn_out", 0): 0, ("blocks.2.hook_attn_out", 1): None, ("blocks.2.hook_attn_out", 2): 1,
    ("blocks.2.mlp.hook_pre", 0): 0, ("blocks.2.mlp.hook_pre", 1): 0, ("blocks.2.mlp.hook_pre", 2): 1,
    ("unembed.hook_out", 0): 4,
}  # fmt: skip


def made(folder: Path, counts: dict[tuple[str, int], int | None], sites=SITES) -> Dissection:
    words = {
        at: None if count is None else "" if count < 0 else adjectives(*WORDS[:count]) for at, count in counts.items()
    }
    return with_words(written_dissection(folder, sites, ["A bell."] * 6), words)


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    return made(tmp_path / "run", COUNTS)


def naive(layer: int, kind: str = "", zero: bool = False) -> list[int]:
    """The counts of the units of a layer that have a summary; with `zero`, of every unit that was asked about."""
    own = [count for (site, _), count in COUNTS.items() if site.startswith(f"blocks.{layer}.") and site.endswith(kind)]
    return [max(count or 0, 0) for count in own if zero or count is not None]


def test_means_are_over_the_units_with_a_summary_by_layer_and_site(dissection: Dissection) -> None:
    table = adjectives_per_layer(dissection).table
    assert [(row.site, row.layer) for row in table] == [(kind, layer) for kind in (*KINDS, ALL) for layer in range(3)]
    for row in table:
        values = naive(row.layer, "" if row.site == ALL else row.site)
        assert row.mean == np.mean(values) and row.with_summary == len(values)
        assert row.mean_of_every_unit == np.mean(naive(row.layer, "" if row.site == ALL else row.site, True))
        assert row.low <= row.mean <= row.high
        assert row.units == row.with_summary + row.no_summary + row.never_explained
    layer_1 = next(row for row in table if (row.site, row.layer) == (ALL, 1))
    assert (layer_1.units, layer_1.nothing_left, layer_1.never_explained) == (6, 1, 1)


def test_the_lines_are_scipys_over_units(dissection: Dissection) -> None:
    from scipy import stats

    finding = adjectives_per_layer(dissection)
    for site, over in [(ALL, SUMMARISED), (ALL, EVERY), (KINDS[0], SUMMARISED), (KINDS[1], EVERY)]:
        pairs = [
            (layer, value) for layer in range(3) for value in naive(layer, "" if site == ALL else site, over == EVERY)
        ]
        truth, line = stats.linregress(*zip(*pairs, strict=True)), finding.line(site, over)
        assert line is not None
        assert (line.slope, line.intercept, line.p_units) == pytest.approx((truth.slope, truth.intercept, truth.pvalue))
        assert (line.units, line.arrangements, line.exact) == (len(pairs), 6, True)


def test_units_outside_the_blocks_are_counted_and_said_to_be_left_out(dissection: Dissection) -> None:
    finding = adjectives_per_layer(dissection)
    assert finding.facts["outside_layers"] == 2 and finding.facts["units"] == 20
    assert "units outside the blocks, not shown: 2" in texts(finding.figure())


def test_the_order_of_rows_makes_no_difference(dissection: Dissection) -> None:
    before = adjectives_per_layer(dissection)
    shuffled(dissection)
    after = adjectives_per_layer(dissection)
    assert (after.table, after.lines, after.facts) == (before.table, before.lines, before.facts)


def test_a_neuron_counts_once_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    sites = [
        (f"blocks.0.{name}", 0, 2) for name in ("hook_attn_out", "mlp.hook_pre", "mlp.hook_post", "hook_resid_post")
    ]
    dissection = made(tmp_path / "run", {("blocks.0.mlp.hook_pre", 0): 1, ("blocks.0.mlp.hook_post", 0): 1}, sites)
    finding = adjectives_per_layer(dissection)
    assert finding.facts["sites"] == ["blocks.0.hook_attn_out", "blocks.0.mlp.hook_pre"]
    said = "left out: hook_post, whose neurons are those of hook_pre; hook_resid_post, the sum of the others"
    assert finding.facts["left_out"] == said and said in texts(finding.figure())
    everything = adjectives_per_layer(dissection, sites="*")
    assert len(everything.facts["sites"]) == 4 and everything.facts["left_out"] is None


@pytest.mark.parametrize("name", ["hook_resid_post", "mlp.hook_post"])
def test_the_only_sites_there_are_are_not_left_out(tmp_path: Path, name: str) -> None:
    sites = [(f"blocks.{layer}.{name}", layer, 2) for layer in range(2)] + [("unembed.hook_out", None, 1)]
    finding = adjectives_per_layer(made(tmp_path / "run", {(sites[0][0], 0): 1}, sites))
    assert finding.facts["left_out"] is None and len(finding.facts["sites"]) == 3


def test_sites_named_by_module_keep_their_names_but_for_the_layer(tmp_path: Path) -> None:
    sites = [(f"module:encoder.layers.{layer}.fc1", layer, 2) for layer in range(2)]
    finding = adjectives_per_layer(made(tmp_path / "run", {(sites[0][0], 0): 1, (sites[1][0], 1): 0}, sites))
    assert finding.table[0].site == "module:encoder.layers.*.fc1"


def test_units_that_beat_their_null_have_a_line_of_their_own(dissection: Dissection) -> None:
    assert adjectives_per_layer(dissection).line(over=TRUE) is None, "nothing was scored"
    with Table(dissection, ScoreRow, {}) as table:
        table.add(
            ScoreRow(f"blocks.{layer}.mlp.hook_pre", unit, "explanation", "Something.", predicts=True,
                     beyond_acoustics=unit < 2)
            for layer in range(3) for unit in range(3)
        )  # fmt: skip
    finding = adjectives_per_layer(dissection)
    line = finding.line(over=TRUE)
    assert line is not None and line.units == 6
    assert line.slope == pytest.approx(np.polyfit([0, 0, 1, 1, 2, 2], [2, 3, 0, 2, 0, 0], 1)[0])
    assert [row.mean_of_those for row in finding.table if row.site == ALL] == [2.5, 1.0, 0.0]


def test_units_of_fewer_clips_are_counted_and_the_others_have_a_line_of_their_own(tmp_path: Path) -> None:
    """Of a unit that fires on two clips, the summary is of two: its adjectives may be others for that alone."""
    counts = {(f"blocks.{layer}.x", unit): 3 - layer for layer in range(3) for unit in range(3)}
    sites = [(f"blocks.{layer}.x", layer, 3) for layer in range(3)]
    few = {("blocks.2.x", 0): [9, 8, 0, 0, 0], ("blocks.1.x", 1): [9.0, 8, 7, 6, 0.5]}
    for values, fewer in (({}, 0), (few, 2)):
        run = written_dissection(tmp_path / str(fewer), sites, ["A bell."] * 6, values=values)
        dissection = with_words(run, {at: adjectives(*WORDS[:count]) for at, count in counts.items()})
        with Table(dissection, SummaryRow, {"k": 5}) as table:
            table.add([])
        finding = adjectives_per_layer(dissection)
        assert [row.of_fewer_clips for row in finding.table if row.site == ALL] == ([0, 1, 1] if fewer else [0] * 3)
        line = finding.line(over=FULL)
        assert (line is None) == (fewer == 0) and (line is None or line.units == 7)
        assert ("(of them 2 from fewer than 5 clips)" in finding.summary()[0]) == bool(fewer)
        assert any(said.startswith(FULL) for said in finding.summary()) == bool(fewer)


def test_one_layer_has_a_mean_but_no_line(tmp_path: Path) -> None:
    finding = adjectives_per_layer(made(tmp_path / "run", {("one", 0): 1, ("one", 1): 3}, [("one", 0, 2)]))
    assert [(row.site, row.mean) for row in finding.table] == [("one", 2.0), (ALL, 2.0)]
    assert finding.lines == [] and finding.line() is None
    assert finding.summary()[1] == "units with a summary: too few layers or units for a line"
    finding.write(tmp_path / "out")
    finding.write_figure(tmp_path / "out")


@pytest.mark.parametrize("counts", [{("one", 0): None, ("one", 1): None}, {("one", 0): -1, ("one", 1): 0}])
def test_units_without_adjectives_or_summaries_are_no_error(
    tmp_path: Path, counts: dict[tuple[str, int], int | None]
) -> None:
    sites = [("one", 0, 2), ("two", 1, 2)]
    finding = adjectives_per_layer(made(tmp_path / "run", counts, sites))
    nothing = counts["one", 0] is None
    assert [row.mean for row in finding.table if row.site == ALL] == [None if nothing else 0.0, None]
    assert ("no unit of any layer has a summary" in texts(finding.figure())) == nothing
    finding.write(tmp_path / "out")
    finding.write_figure(tmp_path / "out")


def test_the_figure_shows_the_means_of_each_site_and_the_line(dissection: Dissection) -> None:
    finding = adjectives_per_layer(dissection)
    figure = finding.figure()
    (axes,) = figure.axes
    drawn = {container.get_label(): container for container in axes.containers}
    assert set(drawn) == {ALL, *KINDS}
    np.testing.assert_allclose(drawn[ALL].lines[0].get_ydata(), [np.mean(naive(layer)) for layer in range(3)])
    looks = {(c.lines[0].get_color(), c.lines[0].get_marker()) for c in drawn.values()}
    assert len(looks) == 3 and len({marker for _, marker in looks}) == 3, "told apart by colour and by marker"
    line, straight = finding.line(), next(line for line in axes.lines if line.get_label().startswith("least squares"))
    assert line is not None
    np.testing.assert_allclose(straight.get_ydata(), line.intercept + line.slope * np.array([0, 2]))
    assert axes.get_ylabel() == "Acoustic adjectives per unit\n(mean, 95 % interval)"
    assert axes.get_xlabel().startswith("Layer")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0\nn = 5", "1\nn = 5", "2\nn = 5"] or (
        "n = 5 units each" in axes.get_xlabel()
    )
    said = " ".join(texts(figure))
    assert "by permutation of the 3 layers (all 6 orders; it cannot be below 0.33)" in said
    assert said.index("by permutation") < said.index("t test, as if units of a layer were independent")
    assert finding.summary()[1].startswith("units with a summary: slope")
    assert finding.summary()[1].index("by permutation") < finding.summary()[1].index("t test")


def test_many_layers_are_drawn_with_fewer_ticks(tmp_path: Path) -> None:
    sites = [(f"blocks.{layer}.mlp.hook_post", layer, 1 + layer % 2) for layer in range(40)]
    counts: dict[tuple[str, int], int | None] = {(name, 0): layer % 3 for name, layer, _ in sites}
    finding = adjectives_per_layer(made(tmp_path / "run", counts, sites))
    figure = finding.figure()
    assert len(figure.axes[0].get_xticklabels()) <= 16
    line = finding.line()
    assert line is not None and not line.exact and line.arrangements == 10_000


def test_the_lines_are_written_too(dissection: Dissection, tmp_path: Path) -> None:
    names = {path.name for path in adjectives_per_layer(dissection).write(tmp_path / "out")}
    assert {"adjectives_per_layer_lines.csv", "adjectives_per_layer_lines.parquet"} <= names


def test_without_explanations_it_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DissectionError, match="run `and-nnsight explain"):
        adjectives_per_layer(written_dissection(tmp_path / "run", SITES, ["A bell."] * 6))
