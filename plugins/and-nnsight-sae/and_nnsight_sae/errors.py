"""The error of the package."""

from __future__ import annotations


class TrainingError(ValueError):
    """A dictionary that cannot be trained as asked for, or a folder that holds something else."""
