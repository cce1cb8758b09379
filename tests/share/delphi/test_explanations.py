"""delphi's explanations come back into the tables that all else reads, and put ours aside without losing them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from and_nnsight import Dissection, DissectionError
from and_nnsight.explain import card, explain, read_table, score, search
from and_nnsight.share.delphi import export_delphi, import_explanations
from tests.share.conftest import SITES, dissected_sounds


@pytest.fixture
def copied(explained: Dissection, tmp_path: Path) -> Dissection:
    return Dissection.load(shutil.copytree(explained.folder, tmp_path / "copied"))


def write(folder: Path, **texts: object) -> Path:
    (folder / "explanations").mkdir(parents=True)
    for name, text in texts.items():
        (folder / "explanations" / f"{SITES[0]}_latent{name[1:]}.txt").write_text(json.dumps(text))
    return folder


def test_they_are_shown_searched_and_scored(copied: Dissection, explained: Dissection, tmp_path: Path) -> None:
    before = {(row.site, row.unit): row.explanation for row in copied.units()}
    run = write(tmp_path / "run", _3="Falling sweeps.", _200="A giraffe\nspeaks to a bell.")
    imported = import_explanations(copied, run)
    assert (imported.units, imported.failed) == (2, 0)
    assert card(copied, SITES[0], 3).calibrated == "Falling sweeps."
    assert [(match.unit, match.explanation) for match in search(copied, "giraffe", most=1)] == [
        (200, "A giraffe speaks to a bell.")
    ]
    words = {row.word for row in read_table(copied, "concepts")}
    assert "giraffe" in words and "sweep" in words, "its words are of what is said now"
    after = {(row.site, row.unit): row.explanation for row in copied.units()}
    changed = {at for at in after if after[at] != before[at]}
    assert changed == {(SITES[0], 3), (SITES[0], 200)}, "units that delphi does not speak of keep what was said"
    held_out = Dissection.load(explained.folder.parent / "held")
    scored = score(copied, held_out, data=dissected_sounds(), progress=False, sources=["explanation"])
    assert {(row.unit, row.text) for row in scored if row.source == "explanation"} == {
        (3, "Falling sweeps."),
        (200, "A giraffe speaks to a bell."),
    }


def test_ours_come_back_with_the_same_explain(copied: Dissection, tmp_path: Path) -> None:
    before = list(read_table(copied, "calibrated"))
    import_explanations(copied, write(tmp_path / "run", _3="Falling sweeps."))
    assert list(read_table(copied, "calibrated")) != before
    explain(copied, units=range(12), progress=False)
    assert list(read_table(copied, "calibrated")) == before


def test_what_was_exported_is_read_as_it_was(copied: Dissection, tmp_path: Path) -> None:
    before = {(row.site, row.unit): row.explanation for row in copied.units()}
    written = export_delphi(copied, tmp_path / "run")
    assert import_explanations(copied, tmp_path / "run").units == written.explanations
    assert {(row.site, row.unit): row.explanation for row in copied.units()} == before
    assert import_explanations(copied, tmp_path / "run" / "explanations").units == written.explanations


def test_where_delphi_has_none_that_is_said(copied: Dissection, tmp_path: Path) -> None:
    run = write(tmp_path / "run", _3="Explanation could not be parsed.", _4="")
    assert (import_explanations(copied, run).units, import_explanations(copied, run).failed) == (0, 2)
    shown = card(copied, SITES[0], 3)
    assert shown.calibrated is None and "could not be parsed" in str(shown.failures)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (f"{SITES[0]}_latent9999.txt", '"x"', "is of no unit of"),
        ("elsewhere_latent1.txt", '"x"', "another dissection"),
        (f"{SITES[0]}_latent1.txt", '{"text": "x"}', "it holds dict, not a text"),
        (f"{SITES[0]}_latent1.txt", "plain", "is damaged"),
        (f"{SITES[0]}_latent1.txt", b"\xff\xfe", "is damaged"),
        ("readme.txt", '"x"', "has no explanation of delphi's"),
    ],
)
def test_what_is_no_explanation_of_its_units_is_refused_and_changes_nothing(
    copied: Dissection, tmp_path: Path, name: str, content: str | bytes, reason: str
) -> None:
    before = list(read_table(copied, "summaries"))
    (write(tmp_path / "run") / "explanations" / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(DissectionError, match=reason):
        import_explanations(copied, tmp_path / "run")
    assert list(read_table(copied, "summaries")) == before
