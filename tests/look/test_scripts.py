"""The pages' scripts: types by TypeScript, and a linter that knows no warnings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from and_nnsight.look.rendering import static_text
from and_nnsight.look.report_page import SCRIPTS, page_script
from tests.look.node import FOLDER, run_tool

STATIC = Path(__file__).parents[2] / "and_nnsight" / "look" / "static"


@pytest.mark.parametrize("config", ["tsconfig.json", "tsconfig.explore.json"])
def test_scripts_have_types(config: str) -> None:
    done = run_tool("tsc", "-p", str(FOLDER / config))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("broken", "complaint"), [("byId('x').vaIue", "TS2339"), ("fits(1, null)", "TS2345")])
def test_wrong_types_are_found(tmp_path: Path, broken: str, complaint: str) -> None:
    for name in SCRIPTS:
        shutil.copy(STATIC / name, tmp_path)
    (tmp_path / "broken.js").write_text(f"{broken};\n")
    config = (FOLDER / "tsconfig.json").read_text().replace("../../../and_nnsight/look/static/", "")
    (tmp_path / "tsconfig.json").write_text(config)
    assert complaint in run_tool("tsc", "-p", str(tmp_path / "tsconfig.json")).stdout


def test_what_is_shipped_is_without_lint(tmp_path: Path) -> None:
    """As the page has it: there what no one calls shows as well."""
    (tmp_path / "report.js").write_text(page_script())
    done = run_tool(
        "oxlint",
        "--deny-warnings",
        "-D",
        "suspicious",
        "-A",
        "consistent-function-scoping",
        str(tmp_path / "report.js"),
    )
    assert done.returncode == 0, done.stdout


def test_what_the_live_page_is_sent_is_without_lint(tmp_path: Path) -> None:
    shutil.copytree(STATIC / "explore", tmp_path / "explore")
    done = run_tool(
        "oxlint", "--deny-warnings", "-D", "suspicious", "-A", "consistent-function-scoping", str(tmp_path / "explore")
    )
    assert done.returncode == 0, done.stdout


def test_lint_is_found(tmp_path: Path) -> None:
    (tmp_path / "report.js").write_text(page_script().replace("shownUnits, start", "[], start"))
    assert run_tool("oxlint", "--deny-warnings", str(tmp_path / "report.js")).returncode != 0


def test_scripts_ask_for_nothing_and_make_no_markup() -> None:
    script = static_text(*SCRIPTS)
    for word in (
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "http",
    ):
        assert word not in script, word
