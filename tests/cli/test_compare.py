"""`compare`: a table a reader understands, JSON for programs, files, and refusals in a sentence."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import run_command
from tests.explain.activations_dissection import SITE, activations_dissection

HOSTILE = "[bold]=cmd[/bold]\x1b[2J"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of the second, unit 3 answers to the clips of another label than in the first."""
    place = tmp_path_factory.mktemp("compared")
    values = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32)
    labels = [HOSTILE if clip % 4 == 0 else f"label_{clip % 4}" for clip in range(200)]
    for name, label in (("a", HOSTILE), ("b", "label_1")):
        mine = values.copy()
        mine[:, 3] += 6 * np.array([each == label for each in labels])
        activations_dissection(place / name, mine, k=16, kept=True, labels=labels)
    return place / "a", place / "b"


def test_it_says_what_is_lost_and_gained(folders: tuple[Path, Path]) -> None:
    code, out, _ = run_command("compare", *folders)
    assert code == 0 and "\x1b" not in out
    assert "first (a): 12 units: 11 matched, 0 shared, 1 lost, 0 undecided" in out
    assert "concepts lost: [bold]=cmd[/bold]" in out and "concepts gained: label_1" in out
    assert "lost: 1 of 1 units" in out and f"{SITE}:3" in out


def test_for_programs_and_spreadsheets(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, _ = run_command("compare", *folders, "--json", "--out", out, "--sites", "blocks.*")
    told = json.loads(printed)
    assert code == 0 and told == json.loads((out / "comparison.json").read_text())
    (lost,) = [row for row in told["tables"]["compared_units"] if (row["side"], row["standing"]) == ("first", "alone")]
    assert (lost["site"], lost["unit"], lost["words_from"]) == (SITE, 3, "clips") and lost["q_alone"] < 0.05
    with (out / "compared_units.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + 24
    files = {
        "compared_units.parquet",
        "compared_concepts.csv",
        "compared_sites.csv",
        "comparison.png",
        "comparison.pdf",
    }
    assert files <= {path.name for path in out.iterdir()}


def test_refusals_are_a_sentence(folders: tuple[Path, Path], tmp_path: Path) -> None:
    activations_dissection(tmp_path / "c", np.zeros((7, 2), np.float32), k=2)
    code, _, error = run_command("compare", folders[0], tmp_path / "c")
    assert code == 2 and error.startswith("error: the clips are not the same") and error.count("\n") == 1
    assert run_command("compare", *folders, "--least", 2)[2] == "error: least must be between 0 and 1, it is 2.0\n"


def test_pages_and_json_go_together(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, int]] = []

    def pages(
        _comparison: object, _first: object, _second: object, out: Path, *, most: int, **_: object
    ) -> list[object]:
        asked.append((out, most))
        return []

    monkeypatch.setattr("and_nnsight.look.lost_and_gained.write_lost_and_gained", pages)
    out = tmp_path / "out"
    code, printed, error = run_command("compare", *folders, "--json", "--out", out, "--report", 2)
    assert code == 0 and asked == [(out, 2)]
    assert json.loads(printed)["tables"] and "no page" in error
