"""Everything that README and the guides show runs, in the order in which it stands, and prints what they say."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from and_nnsight import plugins
from and_nnsight.cli import main as command_line
from tests.docs.pages import NOT_RUN, PAGES, ROOT, Block, blocks

BLOCKS = [block for page in PAGES for block in blocks(page)]
MARKED = [block for block in BLOCKS if block.code.startswith(NOT_RUN)]


def test_every_guide_is_tested_and_in_the_table_of_contents() -> None:
    guides = set((ROOT / "docs").glob("*.md"))
    assert guides <= set(PAGES)
    listed = set(re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert listed == {guide.name for guide in guides} - {"README.md", "index.md"}


def test_there_is_no_block_that_nothing_looks_at() -> None:
    assert {block.language for block in BLOCKS} == {"python", "sh", "toml", "text"}
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for block in BLOCKS:
        if block.language == "sh" and block.name is not None:
            assert f'readme {block.name})"' in ci, block.place


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    assert (ROOT / "docs" / "pictures" / "gallery.png").stat().st_size < 200_000


@pytest.mark.slow
def test_everything_runs_in_order(tmp_path: Path) -> None:
    environment = {
        **os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "160", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.docs.session"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = {(run["page"], run["line"]): run for run in map(json.loads, done.stdout.splitlines())}
    for block in BLOCKS:
        if block.runs:
            run = told.get((block.page, block.line))
            assert run is not None, f"{block.place} was not reached"
            assert run["failure"] is None, f"{block.place}: {run['failure']}\n{run['printed']}"
            if block.printed is not None:
                assert same(run["printed"], block.printed), f"{block.place} prints\n{run['printed']}"


@pytest.mark.parametrize("block", MARKED, ids=lambda block: block.place)
def test_what_cannot_run_here_names_what_exists(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    assert block.code.splitlines()[0].removeprefix(NOT_RUN).strip()
    if block.language == "python":
        check_names(ast.parse(block.code))
    for line in block.commands if block.language == "sh" else ():
        words = shlex.split(line, comments=True)
        if words[0] == "and-nnsight":
            known = options(words[1], capsys)
            assert {word for word in words if re.match("--?[a-z]", word)} <= known, line


def same(printed: str, shown: str) -> bool:
    """Whether the words are equal, and numbers within a twentieth: another processor rounds otherwise; … is anything."""
    number = r"-?\d+\.\d+"
    pieces = re.split(rf"({number}|…)", shown.strip())
    values = [float(piece) for piece in pieces if re.fullmatch(number, piece)]
    pattern = "".join(
        f"({number})" if re.fullmatch(number, piece) else r"\S*" if piece == "…" else re.escape(piece)
        for piece in pieces
    )
    met = re.fullmatch(pattern, printed.strip())
    return met is not None and [float(value) for value in met.groups()] == pytest.approx(values, rel=0.05, abs=0.02)


def options(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """What a command's help lists."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["and-nnsight", command, "--help"])
        patch.setenv("COLUMNS", "200")
        have_our_plugins_commands(patch)
        command_line()
    assert not ended.value.code, command
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", capsys.readouterr().out))


def have_our_plugins_commands(patch: pytest.MonkeyPatch) -> None:
    """As if our own plugins were installed: the help of their commands needs nothing else."""
    group, entries = plugins.ROLES["command"].group, list(plugins._scan())
    for file in ROOT.glob("plugins/*/pyproject.toml"):
        declared = tomllib.loads(file.read_text(encoding="utf-8"))["project"].get("entry-points", {}).get(group, {})
        if declared:
            patch.syspath_prepend(str(file.parent))
        entries += [EntryPoint(name, value, group) for name, value in declared.items()]
    patch.setattr(plugins, "_scan", lambda: tuple(entries))


def check_names(tree: ast.Module) -> None:
    """Imports of ours exist, and calls of what is imported use keywords that it has."""
    ours = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "and_nnsight":
            module = importlib.import_module(node.module or "")
            ours |= {name.asname or name.name: getattr(module, name.name) for name in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ours:
            known = inspect.signature(ours[node.func.id]).parameters
            takes_any = any(one.kind is one.VAR_KEYWORD for one in known.values())
            used = {keyword.arg for keyword in node.keywords}
            assert takes_any or used <= set(known), f"{node.func.id}: {used - set(known)}"
