"""The packages' front doors: light to import, every name there, the stubs true."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import and_nnsight

HEAVY = ("torch", "transformers", "nnsight", "datasets", "numpy", "scipy", "pyarrow")
DOORS = ("and_nnsight", "and_nnsight.explain", "and_nnsight.unlearn", "and_nnsight.findings")


@pytest.mark.parametrize("module", [*DOORS, "and_nnsight.cli"])
def test_importing_a_door_is_light(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("door", DOORS)
def test_every_public_name_is_there_and_one_that_is_not_is_an_error_that_names_it(door: str) -> None:
    package = import_module(door)
    assert package.__all__
    for name in package.__all__:
        assert name in dir(package)
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="nope"):
        _ = package.nope
    with pytest.raises(ImportError, match="'nope' from"):
        exec(f"from {door} import nope")


@pytest.mark.parametrize("door", DOORS)
def test_a_public_name_never_hides_behind_a_module_of_the_same_name(door: str) -> None:
    package = import_module(door)
    assert package.__file__ is not None
    rooms = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert not rooms & set(package.__all__)


def test_the_stubs_are_part_of_the_package() -> None:
    assert and_nnsight.__file__ is not None
    for door in DOORS:
        assert (Path(and_nnsight.__file__).parents[1] / door.replace(".", "/") / "__init__.pyi").is_file()
