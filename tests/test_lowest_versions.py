"""The lower bounds that are declared and the versions that were resolved and tested belong together."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
RESOLVED = ROOT / ".ci" / "lowest-versions.txt"
if not RESOLVED.exists():
    pytest.skip("not in a source distribution", allow_module_level=True)

APART = {"and-nnsight-sae": RESOLVED.with_name("lowest-versions-sae.txt")}
"""Plugins that cannot be installed beside the others, and what was resolved for them."""


def resolved(project: Path) -> dict[str, str]:
    """The versions that a project was tested with, by name."""
    lines = APART.get(project.parent.name, RESOLVED).read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def requirements(path: Path) -> list[Requirement]:
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {}).values()
    every = [*project["dependencies"], *(each for extra in extras for each in extra)]
    return [each for each in map(Requirement, every) if not each.name.startswith("and-nnsight")]


@pytest.mark.parametrize("path", [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))], ids=str)
def test_what_was_resolved_is_what_is_declared(path: Path) -> None:
    versions = resolved(path)
    for each in requirements(path):
        assert versions[canonicalize_name(each.name)] in each.specifier, f"{each}: run .ci/lowest resolve"


def test_the_bounds_are_the_versions_that_were_tested() -> None:
    """A bound that was lowered without a resolution would not be noticed above."""
    every = [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]
    for path, each in [(project, one) for project in every for one in requirements(project)]:
        lowest = [one.version for one in each.specifier if one.operator == ">="]
        version = resolved(path)[canonicalize_name(each.name)]
        if lowest:
            parts, bound = version.split("."), lowest[0].split(".")
            assert parts[: len(bound)] == bound, f"{each} was resolved to {version}"
