"""The arithmetic by which latents are compared with neurons."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.latents import at_one_moment, difference, purities
from benchmarks.retrieval import wilson


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """56 of 70 against 48 of 80: 0.0524 to 0.3339 (Newcombe 1998, method 10)."""
    rows = []
    for right, of in ((56, 70), (48, 80)):
        lowest, highest = wilson(right / of, of)
        rows.append({"traced": right / of, "lowest": lowest, "highest": highest})
    between = difference(*rows)
    assert between["difference"] == pytest.approx(0.2)
    assert (between["lowest"], between["highest"]) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_purity_is_the_share_of_the_most_common_class() -> None:
    clips = {clip: SimpleNamespace(label=label) for clip, label in enumerate("aabbc")}
    dissection = cast("Any", SimpleNamespace(clips=clips))
    assert purities(dissection, np.array([[0, 1, 0, 1, 0], [0, 1, 2, 3, 4]])).tolist() == [1.0, 0.4]


def test_a_moment_is_neither_an_onset_nor_a_stretch() -> None:
    rows = [[50, 51, 52, 53, 55], [50, 51, 52, 53, 56], [0, 1, 1, 2, 2], [11, 11, 11, 11, 16]]
    assert at_one_moment(np.array(rows)) == 0.5
