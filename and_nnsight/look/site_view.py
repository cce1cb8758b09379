"""A site as it is shown: how selective its units are, and where a unit stands among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ..dissection.dissection import Dissection
from ..dissection.selectivity import selectivity
from .claim_view import Standing
from .wording import percent

BARS = 32


@dataclass(frozen=True)
class StatisticView:
    """A statistic of a unit beside those of its site.

    place  in words, for example "higher than 93 % of its site"
    """

    name: str
    text: str
    meaning: str
    place: str


class SiteStanding:
    """The statistics of a site's units, among which one is ranked."""

    def __init__(self, dissection: Dissection, site: str) -> None:
        statistics = dissection.arrays(site)
        self.selectivity: Float32[np.ndarray, " unit"] = selectivity(dissection, site)
        self._mean = statistics.mean
        self._deviation = np.sqrt(statistics.variance)
        self._active = statistics.active
        self._clips = statistics.count

    def of(self, unit: int) -> tuple[StatisticView, ...]:
        """The statistics of a unit, the most telling first."""
        return (
            _statistic("selectivity", self.selectivity, unit, "{:.2f}", SELECTIVITY),
            _statistic("mean", self._mean, unit, "{:.4g}", "What it reaches on a clip, on average."),
            _statistic("spread", self._deviation, unit, "{:.4g}", "Standard deviation of that over all clips."),
            _statistic("active", self._active, unit, "{:.1%}", "Share of all clips on which it lies above zero."),
        )


SELECTIVITY = (
    "How far above its own average the unit responds to its top clips, in standard deviations over all clips; a clip "
    "that is no evidence counts as 0. High: it answers to a few clips and hardly to the others."
)


@dataclass(frozen=True)
class SiteView:
    """A site in the overview.

    layer       its block; None where it has none
    units       how many it has
    bars        how many units have a selectivity in each of `BARS` equal steps from 0 to `highest`, which all share
    median      of the selectivity
    standings   how many explanations of its units stand how; empty where there are none
    """

    name: str
    layer: int | None
    units: int
    bars: tuple[int, ...]
    highest: float
    median: float
    standings: Mapping[Standing, int]


def site_views(
    dissection: Dissection, standings: Mapping[str, SiteStanding], explanations: Iterable[tuple[str, Standing]]
) -> tuple[SiteView, ...]:
    """All sites, in forward order, on one scale.

    standings     of each site
    explanations  the site and the standing of every unit that is explained
    """
    highest = max((float(each.selectivity.max(initial=0.0)) for each in standings.values()), default=0.0) or 1.0
    counts: dict[str, Counter[Standing]] = {site: Counter() for site in standings}
    for site, standing in explanations:
        counts[site][standing] += 1
    return tuple(
        SiteView(
            name=site.name,
            layer=site.layer,
            units=site.width,
            bars=tuple(np.histogram(standings[site.name].selectivity, BARS, (0.0, highest))[0].tolist()),
            highest=highest,
            median=float(np.median(standings[site.name].selectivity)),
            standings={each: counts[site.name][each] for each in Standing if counts[site.name][each]},
        )
        for site in dissection.manifest.sites
    )


def _statistic(name: str, values: Float32[np.ndarray, " unit"], unit: int, form: str, meaning: str) -> StatisticView:
    value = float(values[unit])
    return StatisticView(name, form.format(value + 0.0).replace("%", " %"), meaning, _place(values, value))


def _place(values: Float32[np.ndarray, " unit"], value: float) -> str:
    """Where a value stands among those of a site, its own among them."""
    lower, higher = int((values < value).sum()), int((values > value).sum())
    if not higher:
        return "the highest of its site"
    if not lower:
        return "the lowest of its site"
    return f"higher than {percent(lower / len(values))} of its site"
