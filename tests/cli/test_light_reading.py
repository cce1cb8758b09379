"""What is read of a dissection, and what is installed, is shown without torch and without model code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from and_nnsight import Dissection
from tests.explain.small_dissection import small_dissection

HEAVY = ("torch", "torchaudio", "transformers", "nnsight", "datasets", "pandas", "scipy", "sklearn", "matplotlib")
SAYS = f"""
import sys
{{}}
print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
COMMAND = """
from and_nnsight.cli import app
app({arguments!r}, prog_name="and-nnsight", standalone_mode=False)
"""


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    """Of generated numbers, explained offline."""
    from and_nnsight.explain import explain, label, score_concepts

    dissection = small_dissection(tmp_path_factory.mktemp("light") / "run")
    explain(dissection, captioner="column:caption", text_encoder="words", progress=False)
    label(dissection, score_concepts(dissection, "labels", progress=False))
    return dissection


def imported(code: str) -> tuple[list[str], str]:
    """The heavy packages that a process has imported after some code, and what it printed."""
    done = subprocess.run([sys.executable, "-c", SAYS.format(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.split(), done.stdout


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("show", "{folder}", "{site}", "0"), "Responds most to"),
        (("show", "{folder}", "{site}", "0", "--json"), '"top"'),
        (("search", "{folder}", "dog"), "dog"),
        (("best", "{folder}"), "selectivity"),
        (("best", "{folder}", "--json"), '"selectivity"'),
        (("plugins",), "acoustic"),
        (("--help",), "dissect"),
    ],
)
def test_what_is_only_read_takes_no_torch(explained: Dissection, arguments: tuple[str, ...], shown: str) -> None:
    given = [each.format(folder=explained.folder, site=explained.sites[0]) for each in arguments]
    heavy, out = imported(COMMAND.format(arguments=given))
    assert heavy == []
    assert shown in out


def test_opening_a_folder_takes_no_torch_and_its_tensors_do(explained: Dissection) -> None:
    code = f"""
from and_nnsight import Dissection
dissection = Dissection.load({str(explained.folder)!r})
site = dissection.sites[0]
rows, unit, clips = dissection.units(), dissection.unit(site, 0), dissection.clips
assert len(rows) and len(clips) and unit.top and dissection.arrays(site).mean.shape
assert "torch" not in sys.modules
assert float(dissection[site].mean[0]) == dissection.arrays(site).mean[0] == rows[0].mean
assert dissection.evidence(site, "top").telling.tolist() == dissection.evidence_arrays(site, "top").telling.tolist()
"""
    heavy, _ = imported(code)
    assert "torch" in heavy and "transformers" not in heavy and "nnsight" not in heavy


def test_a_plugin_whose_source_does_not_tell_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line and what it requires are read; what only an import can tell is left to one."""
    from importlib.metadata import EntryPoint

    from and_nnsight.cli._plugin_source import about

    (tmp_path / "light_base.py").write_text(
        'class Base:\n    """Of others."""\n\n    requires = {"nowhere": "the-package"}\n', encoding="utf-8"
    )
    (tmp_path / "light_plugin.py").write_text(
        "from light_base import Base\n\n\n"
        'class Told(Base):\n    """Says it.\n\n    More.\n    """\n\n\n'
        'class Plain:\n    """Needs nothing."""\n\n\n'
        "class Silent:\n    pass\n\n\n"
        "made = Silent\n",
        encoding="utf-8",
    )
    (tmp_path / "light_lacking.py").write_text(
        'import not_there_at_all\n\n\nclass Thing:\n    """Says it."""\n', encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def told(value: str) -> object:
        return about(EntryPoint("one", value, "and_nnsight.captioners"))

    assert told("light_plugin:Told") == ("Says it.", {"nowhere": "the-package"})
    assert told("light_plugin:Plain") == ("Needs nothing.", {})
    assert told("light_plugin:Silent") is told("light_plugin:made") is told("light_plugin:Nothing") is None
    assert told("light_lacking:Thing") is told("no_such_module_here:Thing") is None
    assert "light_plugin" not in sys.modules
