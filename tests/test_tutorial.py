"""The plugin of docs/plugins.md, installed as a real distribution into a venv of its own, summarizes a dissection there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from and_nnsight import dissect
from and_nnsight.cli import main as command_line
from and_nnsight.demo import make_sounds, tiny_ast_path
from and_nnsight.explain import read_table

# Commands one after another, `then` between them, in a process that imports what they need once.
COMMANDS = """
import itertools, sys
from and_nnsight.cli import main
for is_word, words in itertools.groupby(sys.argv[1:], lambda word: word != "then"):
    if is_word:
        sys.argv = ["and-nnsight", *words]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
"""
GUIDE = Path(__file__).parents[1] / "docs" / "plugins.md"


def run(*command: str | Path, cwd: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "COLUMNS": "200"}
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    found = re.findall(r"<!-- plugin: (\S+) -->\s*```\w+\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert {name for name, _ in found} == {"pyproject.toml", "shared_words.py"}
    return dict(found)


def test_the_plugin_of_the_tutorial_is_short(files: dict[str, str]) -> None:
    code = [line for line in files["shared_words.py"].splitlines() if line.strip()]
    assert len(code) <= 22


@pytest.mark.slow
def test_the_tutorial_ends_in_a_working_plugin(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hatchling", reason="building a distribution without a network needs hatchling")
    plugin = tmp_path / "shared-words"
    plugin.mkdir()
    for name, content in files.items():
        (plugin / name).write_text(content, encoding="utf-8")

    # A venv that has nothing of its own and sees what is installed here: a copy of torch would weigh gigabytes.
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    theirs = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    here = sysconfig.get_path("purelib")
    # `addsitedir` reads the .pth files of an editable install too, which a bare path would not.
    (theirs / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--no-deps", "--no-build-isolation", "--quiet", plugin, cwd=tmp_path)

    dissection = dissect(
        str(tiny_ast_path()), list(make_sounds(2)), "blocks.3.mlp.hook_post", 5, out=tmp_path / "run", progress=False
    )
    explain = ("explain", str(dissection.folder), "--units", "0:40", "--quiet", "--summarizer")
    (tmp_path / "commands.py").write_text(COMMANDS, encoding="utf-8")
    listed = run(python, "commands.py", "plugins", "then", *explain, "shared-words:2", cwd=tmp_path)
    assert re.search(r"shared-words +Words that a unit's highly clips share", listed)
    rows = read_table(dissection, "summaries")
    assert len(rows) == 40
    said = [row.highly for row in rows if row.highly]
    assert len(said) > 20
    assert all(text.startswith("Most of the captions say ") for text in said)
    # Here the plugin is not installed: the message says what is.
    monkeypatch.setattr(sys, "argv", ["and-nnsight", *explain, "shared-words"])
    with pytest.raises(SystemExit, match="2"):
        command_line()
    assert "unknown summarizer 'shared-words': installed are keywords, llm" in capsys.readouterr().err
