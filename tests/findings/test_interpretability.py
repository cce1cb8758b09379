"""Uninterpretable units, over captions whose clusters can be told by looking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.errors import DissectionError
from and_nnsight.explain.records.captions import captions_of
from and_nnsight.explain.records.description_rows import CaptionRow
from and_nnsight.explain.records.tables import Table
from and_nnsight.explain.text.sentences import idea, telling_sentences
from and_nnsight.findings import uninterpretable_units
from and_nnsight.findings.shared_clusters import ALL
from and_nnsight.findings.statistics import wilson
from and_nnsight.plugins import PluginError
from tests.findings.hand_made import TIED, shuffled, texts, written_dissection

TOPICS = ("dog", "bell", "rain")
CAPTIONS = [
    "A small dog barks.", "The dog growls low. Rain falls outside.", "One dog whines on.", "That dog howls loud.",
    "A church bell rings.", "The bell tolls twice. A dog barks too.", "One bell chimes on.",
    "Heavy rain falls down.", "Light rain drips slow.", "The rain pours hard.", "The old dog barks. The bell tolls once.",
]  # fmt: skip
CLUSTERS = [{"dog"}, {"dog", "rain"}, {"dog"}, {"dog"}, {"bell"}, {"bell", "dog"}, {"bell"}, {"rain"}, {"rain"}, {"rain"},
            {"dog", "bell"}]  # fmt: skip
SITES = [("blocks.0.a", 0, 3), ("blocks.0.b", 0, 1), ("blocks.1.a", 1, 3), ("head", None, 1)]
TOP = {
    ("blocks.0.a", 0): [0, 1, 2, 3, 10], ("blocks.0.a", 1): [0, 1, 2, 4, 8], ("blocks.0.a", 2): [0, 4, 7, 6, 9],
    ("blocks.0.b", 0): [0, 1, 2, 5, 7], ("blocks.1.a", 0): [4, 5, 6, 10, 7], ("blocks.1.a", 1): TIED,
    ("blocks.1.a", 2): [0, 6, 7, 8, 4], ("head", 0): [0, 1, 2, 3, 5],
}  # fmt: skip


class Topics:
    """A text encoder that hears only what a sentence is about."""

    name = "topics"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[float(topic in text.lower()) for topic in TOPICS] for text in texts], dtype=np.float32)


@pytest.fixture
def dissection(tmp_path: Path) -> Dissection:
    return written_dissection(tmp_path / "run", SITES, CAPTIONS, TOP)


def agreeing(clips: Sequence[int]) -> int:
    return max(Counter(topic for clip in clips for topic in CLUSTERS[clip]).values())


def naive(shared: int, layer: int, kind: str = "") -> tuple[int, int]:
    """How many units of a layer are uninterpretable, of how many that can be judged."""
    units = [top for (site, _), top in TOP.items() if site.startswith(f"blocks.{layer}.{kind}") and top != TIED]
    return sum(agreeing(top) < shared for top in units), len(units)


def test_a_unit_is_uninterpretable_if_too_few_of_its_clips_share_a_cluster(dissection: Dissection) -> None:
    finding = uninterpretable_units(dissection, clusters=3, text_encoder=Topics())
    assert [(row.shared, row.site, row.layer) for row in finding.table] == [
        (shared, kind, layer)
        for shared in (3, 4, 5) for kind, layers in (("a", (0, 1)), ("b", (0,)), (ALL, (0, 1))) for layer in layers
    ]  # fmt: skip
    for row in finding.table:
        hits, count = naive(row.shared, row.layer, "" if row.site == ALL else row.site)
        assert (row.uninterpretable.share, row.units) == (hits / count, count)
        assert (row.uninterpretable.least, row.uninterpretable.most) == (hits / count, hits / count), (
            "these clusters leave nothing to chance"
        )
        assert (row.uninterpretable.low, row.uninterpretable.high) == wilson(hits, count)


def test_chance_is_what_random_clips_would_give(dissection: Dissection) -> None:
    finding = uninterpretable_units(dissection, clusters=3, text_encoder=Topics())
    fives = [agreeing(five) for five in combinations(range(len(CAPTIONS)), 5)]
    for shared in (3, 4, 5):
        exact = np.mean([one < shared for one in fives])
        assert finding.rows(shared)[0].by_chance == pytest.approx(exact, abs=0.02)


def test_units_that_cannot_be_judged_are_counted(dissection: Dissection) -> None:
    finding = uninterpretable_units(dissection, clusters=3, text_encoder=Topics())
    facts = finding.facts
    assert (facts["units"], facts["judged"], facts["undecided"], facts["uncaptioned"]) == (8, 7, 1, 0)
    said = "7 of 8 units are judged; undecided, fewer than 5 clips that are evidence: 1; outside the blocks, in no layer: 1"
    assert finding.summary()[0] == said
    assert said in " ".join(texts(finding.figure()))
    assert [(row.undecided, row.uncaptioned) for row in finding.rows(3)] == [(0, 0), (1, 0)]


FEWER = {  # units of which only so many of the highest clips are evidence
    "a tie to the border": ([9, 8, 7, 0, 0], 3),
    "a tie above the border": ([9, 9, 9, 8, 7], 5),
    "a tie of all but one": ([9, 0, 0, 0, 0], 1),
    "one is weak": ([9, 8, 7, 6, 1.5], 4),
    "two are weak, and as far below the mean as the first is above": ([9, 8, 7, -3, -9], 3),
}


@pytest.mark.parametrize("values", FEWER.values(), ids=list(FEWER))
def test_a_unit_of_fewer_than_k_clips_that_are_evidence_is_undecided_and_in_no_share(
    tmp_path: Path, values: tuple[list[float], int]
) -> None:
    at, (activations, evidence) = ("blocks.0.a", 0), values
    made = written_dissection(tmp_path / "run", SITES, CAPTIONS, TOP, values={at: activations})
    assert int(made.evidence(*at[:1], "top", 5).counts()[0]) == evidence
    finding = uninterpretable_units(made, clusters=3, text_encoder=Topics())
    for row in (row for row in finding.table if (row.site, row.layer) == ("a", 0)):
        judged = [unit for unit in range(3) if evidence == 5 or unit != at[1]]
        hits = sum(agreeing(TOP["blocks.0.a", unit]) < row.shared for unit in judged)
        assert (row.units, row.undecided) == (len(judged), 3 - len(judged))
        assert row.uninterpretable.share == hits / len(judged)
        agree = evidence < 5 and evidence >= row.shared and agreeing(TOP[at][:evidence]) >= row.shared
        assert row.agree == agree
        assert row.of_all_least == hits / 3
        assert row.of_all_most == (hits + 3 - len(judged) - agree) / 3
    assert "with the undecided ones at least" in " ".join(finding.summary())


def test_what_the_undecided_would_have_been_lies_between_the_least_and_the_most(tmp_path: Path) -> None:
    """Units whose clips are known, some of which are made weak: their share with those clips is within the bounds."""
    generator = np.random.default_rng(0)
    sites = [("blocks.0.a", 0, 30)]
    top = {("blocks.0.a", unit): generator.permutation(len(CAPTIONS))[:5].tolist() for unit in range(30)}
    cut = {at: [9.0 - place if place < generator.integers(1, 6) else 1.0 for place in range(5)] for at in top}
    cut = {at: sorted(values, reverse=True) for at, values in cut.items()}
    whole, partly = (
        uninterpretable_units(written_dissection(tmp_path / name, sites, CAPTIONS, top, values=values), clusters=3,
                              text_encoder=Topics(), sites="blocks.*")
        for name, values in (("whole", {}), ("partly", cut))
    )  # fmt: skip
    assert 5 < partly.facts["undecided"] < 30 and whole.facts["undecided"] == 0
    for all_known, some in zip(whole.table, partly.table, strict=True):
        share = all_known.uninterpretable.share
        assert some.of_all_least <= share <= some.of_all_most
        assert all_known.of_all_least == share == all_known.of_all_most


def test_the_clusters_and_chance_are_of_every_clip_where_captions_are_the_datasets_own(tmp_path: Path) -> None:
    """Not of those alone that some unit happens to have among its highest."""
    sites, top = [("blocks.0.a", 0, 1)], {("blocks.0.a", 0): [0, 1, 2, 3, 10]}
    for captioner, clips in (("column:caption", len(CAPTIONS)), ("acoustic", 5)):
        dissection = written_dissection(tmp_path / captioner, sites, CAPTIONS, top)
        (dissection.folder / "explanations" / "captions.parquet").unlink()
        with Table(dissection, CaptionRow, {"captioner": captioner}) as table:
            table.add(CaptionRow(clip, caption=CAPTIONS[clip], raw=CAPTIONS[clip]) for clip in top["blocks.0.a", 0])
        finding = uninterpretable_units(dissection, clusters=2, text_encoder=Topics())
        assert finding.facts["captions"] == clips
        assert finding.facts["judged"] == 1


def test_a_unit_with_a_clip_without_a_caption_is_not_judged(tmp_path: Path) -> None:
    captions = ["", *CAPTIONS[1:]]
    finding = uninterpretable_units(
        written_dissection(tmp_path / "run", SITES, captions, TOP), clusters=3, text_encoder=Topics()
    )
    having = [at for at, top in TOP.items() if top != TIED and 0 in top]
    assert finding.facts["uncaptioned"] == len(having)
    assert finding.facts["undecided"] == 1
    assert finding.facts["captions"] == len(CAPTIONS) - 1


def test_the_clusters_are_described_by_what_is_nearest_to_their_middles(dissection: Dissection) -> None:
    clusters = uninterpretable_units(dissection, clusters=3, text_encoder=Topics()).clusters
    assert [row.captions for row in clusters] == [6, 4, 4]
    assert sum(row.sentences for row in clusters) == len(_sentences(dissection))
    about = [{topic for topic in TOPICS for one in row.nearest if topic in one.lower()} for row in clusters]
    assert about[0] == {"dog"} and sorted(map(sorted, about[1:])) == [["bell"], ["rain"]]


def _sentences(dissection: Dissection) -> set[str]:
    return {idea(one) for text in captions_of(dissection).values() for one in telling_sentences(text)}


def test_the_order_of_rows_makes_no_difference_and_the_seed_settles_the_rest(dissection: Dissection) -> None:
    before = uninterpretable_units(dissection, clusters=5)
    shuffled(dissection)
    after = uninterpretable_units(dissection, clusters=5)
    assert (after.table, after.clusters, after.facts) == (before.table, before.clusters, before.facts)
    assert uninterpretable_units(dissection, clusters=5, seed=9).facts["seed"] == 9


def test_a_share_is_the_mean_over_clusterings_and_their_range_is_told(dissection: Dissection) -> None:
    several = uninterpretable_units(dissection, clusters=5, clusterings=4, seed=3)
    alone = [uninterpretable_units(dissection, clusters=5, clusterings=1, seed=3 + turn) for turn in range(4)]
    for place, row in enumerate(several.table):
        shares = [one.table[place].uninterpretable.share for one in alone]
        assert row.uninterpretable.share == pytest.approx(np.mean(shares))
        assert (row.uninterpretable.least, row.uninterpretable.most) == (min(shares), max(shares))


def test_one_cluster_makes_every_unit_interpretable_and_one_a_sentence_hardly_any(dissection: Dissection) -> None:
    assert {row.uninterpretable.share for row in uninterpretable_units(dissection, clusters=1).table} == {0.0}
    most = uninterpretable_units(dissection, clusters=len(_sentences(dissection)))
    assert {row.uninterpretable.share for row in most.rows(3)} == {1.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clusters": 99}, "different sentences, which cannot be put in 99 clusters: ask for fewer"),
        ({"clusters": 0}, "clusters must be at least 1, it is 0"),
        ({"clusterings": 0}, "clusterings must be at least 1"),
        ({"shared": (3, 6)}, r"shared holds numbers from 1 to k = 5, not \[3, 6\]"),
        ({"shared": ()}, "shared holds numbers"),
        ({"k": 6}, "keeps 5 clips a unit: k = 6 is too many"),
        ({"sites": "blocks.7.*"}, "no dissected site matches"),
    ],
)
def test_impossible_settings_are_refused(dissection: Dissection, options: Mapping[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        uninterpretable_units(dissection, **{"clusters": 3, **options})


def test_an_unknown_encoder_is_refused(dissection: Dissection) -> None:
    with pytest.raises(PluginError, match="unknown text encoder 'nonsense'"):
        uninterpretable_units(dissection, clusters=3, text_encoder="nonsense")


def test_without_captions_it_names_the_command(dissection: Dissection) -> None:
    (dissection.folder / "explanations" / "captions.parquet").unlink()
    with pytest.raises(DissectionError, match=r"has no captions yet: run `and-nnsight explain .*` first"):
        uninterpretable_units(dissection, clusters=3)


@pytest.mark.parametrize("top", [TIED, [0, 4, 7, 6, 9]], ids=["none can be judged", "all uninterpretable"])
def test_degenerate_dissections_are_no_error(tmp_path: Path, top: object) -> None:
    dissection = written_dissection(
        tmp_path / "run", [("one", 0, 2)], CAPTIONS, {("one", unit): top for unit in range(2)}
    )
    finding = uninterpretable_units(dissection, clusters=3, text_encoder=Topics(), shared=(4,))
    judged = top != TIED
    assert [row.columns()["share"] for row in finding.table] == [1.0 if judged else None] * 2
    assert ("no unit of any layer can be judged" in texts(finding.figure())) == (not judged)
    finding.write(tmp_path / "out")
    finding.write_figure(tmp_path / "out")


def test_the_figure_shows_a_line_for_each_number_of_clips_and_what_chance_gives(dissection: Dissection) -> None:
    finding = uninterpretable_units(dissection, clusters=3, text_encoder=Topics())
    figure = finding.figure()
    (axes,) = figure.axes
    lines = {container.get_label(): container.lines[0] for container in axes.containers}
    assert set(lines) == {f"K′ = {shared} of 5" for shared in (3, 4, 5)}
    for shared in (3, 4, 5):
        rows = finding.rows(shared)
        np.testing.assert_allclose(
            lines[f"K′ = {shared} of 5"].get_ydata(), [100 * row.uninterpretable.share for row in rows]
        )
        flat = next(line for line in axes.lines if line.get_label() == f"K′ = {shared}, clips drawn at random")
        assert set(flat.get_ydata()) == {100 * rows[0].by_chance}
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines.values()}
    assert len(looks) == 3 and len({look[1] for look in looks}) == 3 and len({look[2] for look in looks}) == 3
    assert "Uninterpretable units (%)" in axes.get_ylabel() and axes.get_xlabel().startswith("Layer")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:2] == ["K′ = 3 of 5", "K′ = 3, clips drawn at random"]
    assert "3 clusters of" in " ".join(texts(figure)) and "topics" in " ".join(texts(figure))
    assert "blocks" not in finding.figure("a").axes[0].get_title()
