"""What the steps after a run cost on the paper's number of units: `python -m benchmarks.upper_half`.

Every command of explaining and reading, in a process of its own, on a dissection of 55,346 units over 100,000 captioned
clips in which it is known which of 500 concepts a unit goes with; and what comparing units with concepts takes while a
run streams by.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from and_nnsight.cli import main as command_line
from and_nnsight.dissection.dissection import Dissection
from and_nnsight.explain import read_table
from and_nnsight.explain.labels.concept_lists import concept_text
from and_nnsight.run.concept_memory import bytes_of_checkpoint
from and_nnsight.statistics.concept_scores import ConceptScores
from and_nnsight.statistics.concepts import ConceptAccumulator
from and_nnsight.storage import write_tensors
from benchmarks._planted_at_scale import Scale, activations, write_dissection, write_held_out
from benchmarks._report import MEGABYTE, PeakMemory, fresh_process, timed, write_report

CPU = torch.device("cpu")
TARGETS = {"seconds of a command": 600, "peak memory in MB": 3_000}
QUERY = "wooden drum"


def commands(dissection: Path, held_out: Path, concepts: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """The commands in their order, as they are typed. `score` is of one site in twelve: its cost goes by the unit."""
    score = ["score", str(dissection), "--held-out", str(held_out), "--quiet", "--shuffles", str(options.shuffles)]
    every = {
        "explain": ["explain", str(dissection), "--quiet"],
        "label": ["label", str(dissection), "--concepts", str(concepts), "--quiet"],
        "score": score + [part for site in options.scored for part in ("--sites", site)],
        "search": ["search", str(dissection), QUERY],
        "findings": ["findings", str(dissection)],
    }
    return {name: every[name] for name in every if name in options.only}
