"""What surrounds the code says the same in all places."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import yaml

from and_nnsight import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_version_has_one_home() -> None:
    assert "version" not in PROJECT
    assert "version" in PROJECT["dynamic"]
    assert metadata("and-nnsight")["Version"] == __version__
    assert "version" not in read("CITATION.cff")
    for plugin in ROOT.glob("plugins/*/*/__init__.py"):
        assert "__version__" not in plugin.read_text(encoding="utf-8")


def test_ci_runs_on_every_python_that_is_promised() -> None:
    workflow = read(".github/workflows/ci.yml")
    pythons = workflow["jobs"]["run"]["strategy"]["matrix"]["python"]
    classified = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert pythons == classified
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    assert workflow["jobs"]["run"]["steps"][-1] == {"run": ".ci/run"}


def test_pre_commit_runs_what_ci_runs() -> None:
    hooks = [hook for repository in read(".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]]
    assert [hook["entry"].split(" --")[0] for hook in hooks] == ["ruff check", "ruff format", "pyright"]
    # They take the tools of the environment: the versions that the extra `test` pins.
    assert {hook["language"] for hook in hooks} == {"system"}
    pinned = PROJECT["optional-dependencies"]["test"]
    assert all(any(line.startswith(f"{tool}==") for line in pinned) for tool in ("ruff", "pyright"))


def test_whom_to_cite() -> None:
    citation = read("CITATION.cff")
    assert citation["repository-code"] == PROJECT["urls"]["Source"]
    assert citation["license"] == PROJECT["license"]
    assert citation["preferred-citation"]["url"] == PROJECT["urls"]["Paper"] == citation["references"][0]["url"]


def test_templates_are_forms_that_github_takes() -> None:
    for form in ("bug", "feature"):
        body = read(f".github/ISSUE_TEMPLATE/{form}.yml")
        assert {"name", "description", "body"} <= set(body)
        assert all(part["attributes"]["label"] for part in body["body"])
    assert read(".github/ISSUE_TEMPLATE/config.yml")["blank_issues_enabled"] is False
