"""The script that builds the gallery, over the embedded model: the page has what the guide says of it."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from and_nnsight import Dissection
from and_nnsight.demo import make_sounds, tiny_ast_path
from tests.docs.pages import ROOT
from tests.warm_python import WarmPython

GALLERY = ROOT / "docs" / "gallery"
SITE = "blocks.2.mlp.hook_post"


@pytest.mark.slow
def test_the_script_builds_a_page_of_units_that_are_named_tested_and_credited(
    warm_python: WarmPython, tmp_path: Path
) -> None:
    for name, per_class, seed in (("sounds", 4, 0), ("others", 2, 1)):
        write_sounds(tmp_path / name, per_class, seed)
    (tmp_path / "sources.csv").write_text("label,credit\n*,Somebody <b>else</b>\nrain,The rain itself\n")
    (tmp_path / "note.txt").write_text("A note.\n\nAnother.")
    options = ["--model", str(tiny_ast_path()), "--sounds", "sounds", "--held-out", "others", "--sites", SITE]
    options += ["--best", "5", "--sources", "sources.csv", "--note", "note.txt", "--readings", "readings.csv"]
    build(warm_python, tmp_path, options)
    dissection = Dissection.load(tmp_path / "runs" / "gallery" / "dissection")
    page = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    units = [int(unit) for unit in re.findall(rf'<article class="unit" id="{SITE}:(\d+)"', page)]
    best = [row for row in dissection.best(256) if row.evidence >= 8]
    assert units == [row.unit for row in best[:5]]
    first, second, *_ = named = [row for row in best[:5] if row.explanation]  # of some nothing is left to say
    assert all(row.explanation_verdict for row in named) and all(row.label_verdict for row in best[:5])
    assert "A note." in page and "Somebody &lt;b&gt;else" in page and "were read" not in page

    with (tmp_path / "readings.csv").open("w", encoding="utf-8", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["site", "unit", "words", "reading", "why"])
        rows.writerow([SITE, first.unit, first.explanation, "wrong", "It is not so."])
        rows.writerow([SITE, second.unit, "other words than it has", "right", "Of old words."])
    build(warm_python, tmp_path, options)
    page = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert "The words of 1 were read" in page and "1 wrong" in page
    assert "Read beside its clips: wrong. It is not so." in page and "Of old words." not in page


def test_the_guide_counts_what_was_read() -> None:
    with (GALLERY / "readings.csv").open(encoding="utf-8", newline="") as table:
        readings = Counter(row["reading"] for row in csv.DictReader(table))
    told = dict(re.findall(r"^\| (right|partly right|wrong)\b[^|]*\| (\d+) \|$", guide(), re.MULTILINE))
    assert {kind: int(count) for kind, count in told.items()} == readings


def guide() -> str:
    return (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


def build(python: WarmPython, folder: Path, options: list[str]) -> None:
    python.run(GALLERY / "build.py", *options, cwd=folder, before="import torch; torch.set_num_threads(1)")


def write_sounds(folder: Path, per_class: int, seed: int) -> None:
    folder.mkdir()
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["file_name", "label", "caption"])
        for number, sound in enumerate(make_sounds(per_class, seed)):
            soundfile.write(folder / f"{number:03}.wav", sound.waveform, sound.sampling_rate)
            rows.writerow([f"{number:03}.wav", sound.label, sound.caption])
