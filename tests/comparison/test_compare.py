"""Units are matched by what they answer to; what has no like is lost or gained; and chance is not called either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from and_nnsight import Comparison, Dissection, DissectionError, compare
from and_nnsight.comparison import matching
from and_nnsight.comparison.responses import ExemplarResponses
from and_nnsight.comparison.rows import ComparedUnitRow
from and_nnsight.comparison.sides import Side
from tests.explain.activations_dissection import SITE, activations_dissection

CLIPS, UNITS = 150, 40
BY = pytest.mark.parametrize("by", ["activations", "exemplars"])


def values(seed: int, clips: int = CLIPS, units: int = UNITS) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(clips, units)).astype(np.float32)


def written(folder: Path, activations: np.ndarray, *, k: int = 10, kept: bool = True) -> Dissection:
    activations = np.ascontiguousarray(activations)
    return activations_dissection(folder, activations, k=k, kept=kept, labels=labels_of(len(activations)))


def labels_of(clips: int) -> list[str]:
    return [f"label_{clip % 6}" for clip in range(clips)]


def compared(folder: Path, first: np.ndarray, second: np.ndarray, **options: object) -> Comparison:
    return compare(written(folder / "a", first), written(folder / "b", second), **options)  # pyright: ignore


@BY
def test_a_permuted_copy_is_matched_exactly(tmp_path: Path, by: str) -> None:
    first, order = values(0), np.random.default_rng(1).permutation(UNITS)
    second = 3 * first[:, order] + 2
    second = np.exp(second) if by == "activations" else second  # another scale, the same order of clips
    comparison = compared(tmp_path, first, second, by=by)
    rows = comparison.units("second")
    assert [row.standing for row in rows] == ["matched"] * UNITS
    assert {row.unit: row.other_unit for row in rows} == dict(enumerate(order.tolist()))
    assert all(row.correlation == 1.0 and row.shared_clips == row.evidence for row in rows)
    back = {row.unit: row.other_unit for row in comparison.units("first")}
    assert {unit: order[other] for unit, other in back.items() if other is not None} == {u: u for u in range(UNITS)}


@BY
def test_what_was_planted_is_lost_and_gained(tmp_path: Path, by: str) -> None:
    clips = 400
    first, labels = values(2, clips), np.array(labels_of(clips))
    second = first + 0.02 * values(3, clips)
    planted = [7, 8, 9]
    first[:, planted] += 6 * (labels == "label_4")[:, None]  # units answer to a label, and after fine-tuning to another
    second[:, planted] = values(4, clips)[:, :3] + 6 * (labels == "label_1")[:, None]
    comparison = compare(written(tmp_path / "a", first, k=30), written(tmp_path / "b", second, k=30), by=by)
    assert {row.unit for row in comparison.lost()} == {row.unit for row in comparison.gained()} == set(planted)
    in_place = {row.unit: row.in_place or 0.0 for row in comparison.units("first")}
    assert max(in_place[unit] for unit in planted) < 0.3
    assert min(value for unit, value in in_place.items() if unit not in planted) > 0.5
    assert comparison.lost()[
        0
    ].words == f"label_4 in {comparison.lost()[0].evidence} of {comparison.lost()[0].evidence} clips" and (
        comparison.gained()[0].words or ""
    ).startswith("label_1 in ")
    assert [row.concept for row in comparison.changed_concepts("lost")] == ["label_4"]
    (gained,) = comparison.changed_concepts("gained")
    assert (gained.concept, gained.second_count, gained.second_hold) == ("label_1", gained.second_of, 3)
    assert gained.second_alone == 3 and gained.first_hold == 0 and (gained.second_q or 1.0) < 1e-3
    assert gained.difference == 3 / UNITS and (gained.low or 0.0) > 0 and (gained.q or 1.0) <= 0.05
    assert len(comparison.units("first", "matched")) == UNITS - 3


@BY
def test_on_noise_p_is_uniform_and_nothing_is_matched(tmp_path: Path, by: str) -> None:
    p: list[float] = []
    for seed in range(4):
        comparison = compared(tmp_path / str(seed), values(10 + seed), values(30 + seed), by=by)
        assert not comparison.units(standing="matched") and not comparison.units(standing="shared")
        assert not [row for row in comparison.concepts if row.change]
        p += [row.p for row in comparison.table if row.p is not None]
    assert len(p) == 4 * 2 * UNITS
    for share in (0.05, 0.2, 0.5):
        below = np.mean([each <= share for each in p])
        error = (share * (1 - share) / len(p)) ** 0.5
        assert below <= share + 4 * error
        assert by == "exemplars" or below >= share - 4 * error  # overlaps are whole numbers: p may be too large


def test_on_sparse_noise_no_chance_overlap_is_called_a_match(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    first, second = (np.where(random.random((CLIPS, 300)) < 0.01, random.random((CLIPS, 300)), 0.0) for _ in range(2))
    rows = compared(tmp_path, first, second).table
    tested = [row for row in rows if row.p is not None]
    assert any(row.correlation == 1.0 for row in tested), "units of one clip meet by chance"
    assert np.mean([row.q is not None and row.q <= 0.05 for row in tested]) < 0.02
    assert np.mean([row.p is not None and row.p <= 0.05 for row in tested]) < 0.1


def test_units_that_cannot_be_told_are_not_tested(tmp_path: Path) -> None:
    first = values(6)
    first[:, 0], first[:, 1], first[0, 2] = 3.0, 0.0, np.inf
    second = values(6)
    second[:, 5] = np.repeat(np.arange(CLIPS // 5), 5)[:CLIPS]
    first[:, 5] = second[:, 5]
    comparison = compared(tmp_path, first, second)
    reasons = {row.unit: row.reason for row in comparison.units("first", "untested")}
    assert reasons == {
        0: "it is the same on all clips",
        1: "it is the same on all clips",
        2: "it is not finite on some clip",
    }
    assert sorted(row.unit for row in comparison.gained()) == [0, 1, 2]
    tied = next(row for row in comparison.table if row.side == "first" and row.unit == 5)
    assert (tied.standing, tied.other_unit, tied.correlation) == ("matched", 5, 1.0)
    dead = compared(tmp_path / "dead", np.zeros((CLIPS, 3), np.float32), values(7))
    assert {row.standing for row in dead.table} == {"untested"}
    assert {row.reason for row in dead.units("second")} == {"no unit of the first dissection can be compared"}
    assert dead.figure() is not None and dead.summary()


def test_lists_may_be_shorter_than_k_and_of_other_lengths(tmp_path: Path) -> None:
    few = values(8, clips=6, units=5)
    comparison = compare(
        written(tmp_path / "a", few, k=16, kept=False), written(tmp_path / "b", few, k=2, kept=False), by="exemplars"
    )
    assert comparison.facts["by"] == "exemplars" and len(comparison.table) == 10
    long = written(tmp_path / "c", values(9), k=20), written(tmp_path / "d", values(9), k=12, kept=False)
    rows = compare(*long).units("first")
    assert all(row.other_unit == row.unit for row in rows)
    assert compare(*long).facts["by"] == "exemplars"


def test_blocks_do_not_show_in_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = written(tmp_path / "a", values(11)), written(tmp_path / "b", values(11) + 2 * values(12))
    whole = compare(first, second).table
    monkeypatch.setattr(matching, "_BLOCK", 7)
    monkeypatch.setattr(matching, "_BYTES", 1)
    monkeypatch.setattr(matching, "_FEWEST_DRAWS", 50)
    monkeypatch.setattr(matching, "_MOST_DRAWS", 50)
    for one, other in zip(whole, compare(first, second).table, strict=True):
        assert (one.other_unit, one.correlation) == (other.other_unit, pytest.approx(other.correlation, abs=2e-6))


def test_a_pair_is_held_against_every_pair(tmp_path: Path) -> None:
    """Against a matrix of all correlations, stored and sorted."""
    first, second = values(13), 0.6 * values(13)[:, ::-1] + values(14)
    rows: list[ComparedUnitRow] = [row for row in compared(tmp_path, first, second).table if row.side == "first"]
    scores = 1 / np.arange(CLIPS, 0, -1)
    savage = [np.cumsum(scores)[side.argsort(0).argsort(0)] for side in (first, second)]
    table = np.corrcoef(savage[0].T, savage[1].T)[:UNITS, UNITS:]
    assert [row.other_unit for row in rows] == table.argmax(1).tolist()
    assert [row.correlation for row in rows] == pytest.approx(table.max(1).tolist(), abs=2e-6)
    mutual = table.argmax(0)[table.argmax(1)] == np.arange(UNITS)
    standings = {row.unit: row.standing for row in rows}
    assert all(mutual[unit] for unit, standing in standings.items() if standing == "matched")


def test_other_clips_are_refused(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", values(15)), written(tmp_path / "b", values(15, clips=CLIPS - 2))
    with pytest.raises(
        DissectionError, match=r"the clips are not the same: .*b has not 2 clips of .*a \(the first is 148"
    ):
        compare(first, second)
    with pytest.raises(DissectionError, match=r"b has not 2 clips"):
        compare(second, first)


def test_errors_of_use(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a", values(16)), written(tmp_path / "b", values(16), kept=False)
    with pytest.raises(DissectionError, match="keeps only each unit's extreme clips"):
        compare(first, second, by="activations")
    with pytest.raises(ValueError, match="by is activations or exemplars, not 'ear'"):
        compare(first, second, by="ear")
    with pytest.raises(ValueError, match="least must be between 0 and 1"):
        compare(first, second, least=1.0)
    with pytest.raises(DissectionError, match="no dissected site matches 'x'"):
        compare(first, second, second_sites="x")
    with pytest.raises(ValueError, match="'third' is none of first, second"):
        compare(first, second).units("third")


def test_what_is_no_evidence_and_what_is_only_evidence_are_told_apart(tmp_path: Path) -> None:
    activations = values(3, clips=40, units=3)
    activations[:, 1] = 0.0
    dissection = written(tmp_path / "a", activations, k=16)
    two = Side("first", dissection, (SITE,), (0, 1), {clip: clip % 2 for clip in range(40)})
    assert ExemplarResponses(two).untested == {
        (SITE, 0): "all clips are its evidence",
        (SITE, 1): "none of its clips is evidence",
        (SITE, 2): "all clips are its evidence",
    }
