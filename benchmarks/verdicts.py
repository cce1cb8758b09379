"""Do verdicts have power, and are they calibrated? True claims, claims of other units, claims of nothing.

Every dissection is scored three times (`explain.score`): with the claims that were made, with the same claims dealt out
anew among the units of each site (`shuffled`), and with clips dealt out anew among the rows of its held-out activations
(`noise`), so that no claim can be true. Planted units (see `planted`) say which claims are right.

    python -m benchmarks.verdicts [--seeds 0 1 2] [--per-class 12] [--real NAME=DIR,HELD_OUT_DIR ...]

`--real` adds dissections of real models that have been explained, with another over held-out, captioned clips
(--keep-activations). Nothing in their folders is changed. The rule before this one is computed beside it (`old_rule`):
a claim had to have a higher Pearson and AUPRC than the null that goes best with its unit, and than 19 of 20 claims of
other units.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import torch
from rich.console import Console
from rich.table import Table

from and_nnsight import Dissection, dissect
from and_nnsight.demo import make_sounds
from and_nnsight.dissection import activation_file
from and_nnsight.explain import caption, explain, label, score, score_concepts
from and_nnsight.explain.acoustics.measuring import measure_acoustics
from and_nnsight.explain.claims import Claim, claims
from and_nnsight.explain.concept_scoring import concept_text
from and_nnsight.explain.embeddings import Embeddings
from and_nnsight.explain.encoders.words import Words
from and_nnsight.explain.unit_scores import Judge, SiteScores
from and_nnsight.explain.verdicts import verdict
from benchmarks._report import write_report
from benchmarks.planted import CAPTIONERS, HELD_OUT_SEED, SITES, says_rightly
from benchmarks.planted_model import Planted, PlantedModel

TARGETS = {"rightly_named_hold": 0.9, "shuffled_hold_at_most": 0.05, "noise_holds_at_most": 0.05}
_K = 16
At = tuple[str, int]
Row = dict[str, Any]
