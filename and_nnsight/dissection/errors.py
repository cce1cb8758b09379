"""What is raised where a folder does not hold what it should."""

from __future__ import annotations


class DissectionError(ValueError):
    """A folder that is not a dissection, is another one, or does not hold what was asked for."""


REMEDY = "put a whole copy in its place, or dissect again into a new folder"
