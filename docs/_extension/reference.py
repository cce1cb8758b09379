"""Pages of the reference, out of the public names of the package and of the commands."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from . import commands

ROOMS = {
    "and_nnsight": "the package",
    "and_nnsight.explain": "what a unit listens for",
    "and_nnsight.unlearn": "what becomes of a model without units",
    "and_nnsight.findings": "the paper's figures",
    "and_nnsight.look": "pages and pictures",
    "and_nnsight.demo": "the embedded model and its sounds",
    "and_nnsight.kernels": "tensor functions",
}
"""Rooms whose `__all__` is public."""

GIVEN = {
    "and_nnsight.dissection.exemplars": ("Unit", "Exemplar"),
    "and_nnsight.dissection.site_statistics": ("SiteStatistics",),
    "and_nnsight.dissection.exemplar_store": ("ExemplarStore",),
    "and_nnsight.dissection.rows": ("Rows", "Tables"),
    "and_nnsight.dissection.clips": ("ClipRow",),
    "and_nnsight.share.unit_row": ("UnitRow",),
}
"""Classes that nobody makes by name, and everybody is given."""


def write(folder: Path) -> None:
    """All pages, each only if it changed; what is none of them goes."""
    pages = {f"{number}_{room.rpartition('.')[2]}": room_page(room) for number, room in enumerate(ROOMS)}
    pages["1_given"] = given_page()
    pages["9_commands"] = commands.page()
    folder.mkdir(exist_ok=True)
    for stale in {path.stem for path in folder.glob("*.rst")} - set(pages):
        (folder / f"{stale}.rst").unlink()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def heading(title: str, rule: str = "=") -> str:
    """A title and the line below it."""
    return f"{title}\n{rule * len(title)}\n"


def room_page(room: str) -> str:
    """Every public name of a room: functions first, then classes, errors and values."""
    module = importlib.import_module(room)
    names = sorted(module.__all__, key=lambda name: (_kind(getattr(module, name)), name.lower()))
    pieces = [heading(f"{room}: {ROOMS[room]}")]
    pieces += [_entry(room, name, getattr(module, name)) for name in names if not name.startswith("_")]
    return "\n".join(pieces)


def given_page() -> str:
    """Classes of what calls return."""
    pieces = [heading("What a dissection gives")]
    for module, names in GIVEN.items():
        pieces += [_entry(module, name, getattr(importlib.import_module(module), name)) for name in names]
    return "\n".join(pieces)


def _kind(value: object) -> int:
    if inspect.isclass(value):
        return 2 if issubclass(value, Exception) else 1
    return 0 if callable(value) else 3


def _entry(module: str, name: str, value: object) -> str:
    if inspect.isclass(value):
        return f".. autoclass:: {module}.{name}\n   :members:\n"
    return f".. {'autofunction' if callable(value) else 'autodata'}:: {module}.{name}\n"
