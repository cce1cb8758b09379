"""Student's t: as scipy has it, and as the package computed it by hand before."""

from __future__ import annotations

import numpy as np
import pytest

from and_nnsight.statistics.student_t import student_p_above, student_quantile

BY_HAND = {  # (t, df): p, by the continued fraction of the incomplete beta function
    (0.0, 1): 1.0,
    (0.5, 1): 0.7048327646991337,
    (0.5, 4): 0.6433299631818633,
    (0.5, 19): 0.622816491286443,
    (0.5, 99): 0.6181846440244058,
    (1.96, 1): 0.30034289177603324,
    (1.96, 4): 0.12155463985018362,
    (1.96, 19): 0.06482897928896907,
    (1.96, 99): 0.052807113750971656,
    (-2.5, 1): 0.2422378831816866,
    (-2.5, 4): 0.06676654481198813,
    (-2.5, 19): 0.021740411168397377,
    (-2.5, 99): 0.014062596921149318,
    (12.0, 1): 0.05292935211917973,
    (12.0, 4): 0.0002764285485029728,
    (12.0, 19): 2.5908946372221836e-10,
    (12.0, 99): 5.130629687897556e-21,
}
QUANTILES_BY_HAND = {
    1: 12.706204736174687,
    2: 4.302652729749459,
    4: 2.7764451051977934,
    19: 2.093024054408308,
    30: 2.0422724563012338,
    99: 1.9842169515864239,
}


def above(t: float, df: int) -> float:
    return student_p_above(np.array([[t]]), np.array([df])).item()


@pytest.mark.parametrize(("t", "df"), BY_HAND)
def test_p_is_what_it_was_by_hand(t: float, df: int) -> None:
    assert 2 * above(abs(t), df) == pytest.approx(BY_HAND[t, df], rel=1e-12)


@pytest.mark.parametrize("df", QUANTILES_BY_HAND)
def test_the_quantile_is_what_it_was_by_hand(df: int) -> None:
    assert student_quantile(df) == pytest.approx(QUANTILES_BY_HAND[df], rel=1e-10)  # as exact as scipy 1.14 is


@pytest.mark.parametrize("df", [1, 2, 5, 30, 9_000, 200_000])
def test_p_and_quantiles_are_those_of_scipys_distribution(df: int) -> None:
    from scipy import stats

    for t in (0.0, 1e-9, 0.1, 1.0, 1.96, 3.0, 12.0, -2.5):
        assert above(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-13, abs=1e-300)
    for level in (0.5, 0.9, 0.95, 0.99):
        assert student_quantile(df, level) == pytest.approx(stats.t.isf((1 - level) / 2, df), rel=1e-13)
    assert 2 * above(student_quantile(df, 0.9), df) == pytest.approx(0.1, rel=1e-10)
