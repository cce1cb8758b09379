"""The house: data flows one way, read from the imports themselves (those in functions and for types included)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "and_nnsight"
# From the ground up: a room imports only rooms that stand before it.
ROOMS = (
    "nnsight_save redaction wording storage progress plugins portable audio kernels data dictionaries sites speech statistics "
    "model dissection remote run maps explain.roles explain.conversations explain.text explain.records explain.acoustics "
    "explain.providers explain.describe explain.labels explain.evaluate explain.read explain.pipeline explain unlearn "
    "findings share comparison look demo cli __main__"
).split()
MOST_AT_THE_ROOT = 9
LONGEST_FILE = 400
WRITTEN = ("and_nnsight", "tests", "benchmarks", "docs", "plugins")


def modules() -> dict[str, Path]:
    return {_name(path): path for path in PACKAGE.rglob("*.py")}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    """The room that a module stands in: the longest listed name that its own begins with; "" for the facade."""
    inner = module.split(".")[1:]
    names = (".".join(inner[:length]) for length in range(len(inner), 0, -1))
    return next((name for name in names if name in ROOMS), inner[0] if inner else "")


def _imports(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Every module of ours that a file imports, wherever in the file."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            parents = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                if whole in known or base in known:
                    yield whole if whole in known else base


@cache
def imports() -> list[tuple[str, str]]:
    known = modules()
    pairs = ((name, other) for name, path in known.items() for other in _imports(name, path, known))
    return sorted({(name, other) for name, other in pairs if name != other})


def test_every_module_stands_in_a_room() -> None:
    homeless = {name for name in modules() if _room(name) not in ("", *ROOMS)}
    assert not homeless, f"no room in ROOMS for {sorted(homeless)}"


def test_a_room_imports_only_rooms_below_it() -> None:
    order = {room: floor for floor, room in enumerate(ROOMS)}
    facade = "and_nnsight"  # what it names is imported when it is asked for
    upward = [
        f"{name} imports {other}"
        for name, other in imports()
        if facade not in (name, other) and order[_room(name)] < order[_room(other)]
    ]
    assert not upward, "\n".join(upward)


def test_no_imports_go_in_a_circle() -> None:
    below: dict[str, set[str]] = {name: set() for name in modules()}
    for name, other in imports():
        if name != "and_nnsight" and other != "and_nnsight":
            below[name].add(other)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        for other in sorted(below[name]):
            visit(other, (*path, name))
        done.add(name)

    for name in below:
        visit(name, ())


@pytest.mark.parametrize("upper", ["unlearn", "findings"])
def test_the_rooms_beside_explain_do_not_reach_into_how_it_works(upper: str) -> None:
    inner = ("explain.pipeline", "explain.read")
    reached = [
        f"{name} imports {other}"
        for name, other in imports()
        if _room(name) == upper and _room(other).startswith(inner)
    ]
    assert not reached, "\n".join(reached)


def test_the_root_is_a_facade_and_what_every_room_needs() -> None:
    root = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(root) <= MOST_AT_THE_ROOT, root


def lengths() -> dict[str, int]:
    """The lines of every Python file: the package's, its tests', its benchmarks' and its plugins'."""
    root = PACKAGE.parent
    files = (path for folder in WRITTEN for path in (root / folder).rglob("*.py"))
    return {path.relative_to(root).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in files}


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    every = lengths()
    assert all(any(name.startswith(f"{folder}/") for name in every) for folder in WRITTEN)
    long = {name: count for name, count in every.items() if count > LONGEST_FILE}
    assert not long


def test_nnsight_is_touched_in_few_files() -> None:
    def touches(path: Path) -> bool:
        names = []
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module or "")
        return any(name.split(".")[0] == "nnsight" for name in names)

    rooms = {_room(name) for name, path in modules().items() if touches(path)}
    assert rooms <= {"nnsight_save", "model", "remote"}, rooms


def test_no_module_has_the_name_of_a_public_function_beside_it() -> None:
    import and_nnsight
    from and_nnsight import explain, findings, unlearn

    for package in (and_nnsight, explain, findings, unlearn):
        folder = Path(str(package.__file__)).parent
        beside = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
        assert not beside & set(package.__all__), f"importing it would hide {package.__name__}'s function"
