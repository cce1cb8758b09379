"""The notebooks, which are scripts: each runs as it stands, without a network, and has cells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.warm_python import WarmPython

NOTEBOOKS = {
    "meet_a_neuron": "A tone that falls",
    "whisper": r"Report\('whisper.html': 12 units",
    "unlearn": r"without these units the siren's logit falls by \d",
    "dictionary": r"other sounds: \d\d% of the variance explained",
    "audio_language_model": r"deviations, place 1 of its list",
}
"""What each prints, among the rest."""
FOLDER = ROOT / "docs" / "notebooks"


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_begins_with_a_title_and_links_to_what_is_there(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert text.count("\n# %%\n") >= 5 and text.count("\n# %% [markdown]\n") >= 4
    assert re.search(r"^# %% \[markdown\]\n# # \w", text, re.MULTILINE)
    for address in re.findall(r"\]\((\.\./[^)#]+)", text):
        assert (FOLDER / address).exists(), address


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name: str, warm_python: WarmPython, tmp_path: Path) -> None:
    before = "import torch; torch.set_num_threads(1); os.environ['MPLBACKEND'] = 'agg'"
    done = warm_python.run(FOLDER / f"{name}.py", cwd=tmp_path, before=before)
    assert re.search(NOTEBOOKS[name], done.stdout), done.stdout
