"""A dissection of which nothing is read: for the table of requests, which belongs to one."""

from __future__ import annotations

from pathlib import Path

from and_nnsight.dissection.dissection import Dissection
from and_nnsight.dissection.manifest import Manifest


def bare_dissection(folder: Path) -> Dissection:
    """The dissection that a folder would be, without sites."""
    return Dissection(folder, Manifest(()))
