"""docs/models.md: a line for each architecture, written by `python -m tests.architectures.table`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import transformers

from .catalogue import architectures
from .proving import Row, proven

PATH = Path(__file__).parents[2] / "docs" / "models.md"
_HEADER = """# Models

What is proven of each architecture of transformers {version} that takes or makes sound. This page is written by
`python -m tests.architectures.table`, which builds a small random model of each and tries it; the tests hold the page
against that. Models of other libraries come by plugins ([plugins](plugins.md)).

A composite model opens as the part that hears; `AudioModel(id).parts()` lists the others.
"""
_PROVEN = """## Proven: {count} architectures

Sites hold what plain hooks see, in forward order; a click moves the frame whose seconds hold it; a short clip has the
same frames beside a long one as alone; `dissect` over three clips of different lengths equals storing and sorting
everything. "Measured" seconds are those of the sound that reaches a frame before the first attention, found by gradient
through the front end and by clicks through the feature extractor; frames overlap where that is longer than the step.

| architecture | class | part that hears | a frame every | input |
|---|---|---|---|---|
"""
_OTHERS = """
## The others: {count}, and why

| architecture | class | why |
|---|---|---|
"""


def page(rows: Sequence[Row]) -> str:
    """The whole page."""
    right = [row for row in rows if row.is_right]
    others = [row for row in rows if not row.is_right]
    lines = [
        _HEADER.format(version=transformers.__version__),
        _PROVEN.format(count=len(right)) + "\n".join(map(line, right)),
        _OTHERS.format(count=len(others)) + "\n".join(map(line, others)),
        "\nSites of an architecture's first block:\n",
        *sorted(f"- {sites}: {names}" for sites, names in _by_sites(right).items()),
    ]
    return "\n".join(lines) + "\n"


def line(row: Row) -> str:
    """A row of one of the two tables."""
    cells = [row.model_type, f"`{row.class_name}`"]
    cells += [row.part, row.seconds, f"`{row.inputs}`"] if row.is_right else [row.verdict.replace("|", "\\|")]
    return f"| {' | '.join(cells)} |"


def _by_sites(rows: Iterable[Row]) -> dict[str, str]:
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row.sites, []).append(row.model_type)
    return {sites: ", ".join(types) for sites, types in names.items()}


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PATH)
    rows = []
    for architecture in architectures():
        rows.append(proven(architecture))
        print(rows[-1].model_type, rows[-1].verdict, flush=True)
    parser.parse_args().out.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
