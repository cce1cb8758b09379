"""Units whose highest clips share no cluster of captions: the table, what it says, and its figure (Fig. 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..dissection.row_parts import UNPREFIXED
from ..dissection.table_row import TableRow
from ..wording import agree, counted
from .caption_clusters import ClusterRow
from .drawing import COLOURS, MARKERS, STYLES, empty, headed, layer_ticks, new_figure
from .finding import Finding
from .names import UNINTERPRETABLE_UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL = "all sites"
_LONGEST_NAME = 50


@dataclass(frozen=True)
class UninterpretableShare:
    """The share of uninterpretable units of all that are judged, the mean over several clusterings.

    low, high    its 95 % interval over units (Wilson)
    least, most  over the clusterings, which differ in their seed only
    """

    share: float
    low: float
    high: float
    least: float
    most: float


@dataclass(frozen=True)
class InterpretabilityRow(TableRow):
    """A K′, and a layer of one kind of site or of all.

    shared            K′: how many of the highest clips must share a cluster
    site, layer       `mlp.hook_pre`, or "all sites"; index of the block
    units             units that are judged: whose k clips are all evidence and captioned
    undecided, uncaptioned   units that are not, which no share is of: fewer clips are evidence, or one has no caption
    agree             undecided units of whose clips K′ share a cluster already: the mean over clusterings
    uninterpretable   the share that is, in columns of its own names (share, low …); None: no unit is judged
    of_all_least, of_all_most   between what the share of the judged and undecided units together must lie
    by_chance         what the share would be for clips drawn at random: the mean over clusterings
    """

    table: ClassVar[str] = UNINTERPRETABLE_UNITS
    key: ClassVar[tuple[str, ...]] = ("shared", "site", "layer")

    shared: int
    site: str
    layer: int
    units: int
    undecided: int
    uncaptioned: int
    agree: float
    uninterpretable: UninterpretableShare | None = field(metadata=UNPREFIXED)
    of_all_least: float | None
    of_all_most: float | None
    by_chance: float | None


@dataclass(frozen=True)
class UninterpretableUnits(Finding):
    """Share of uninterpretable units by layer.

    clusters   those of the first clustering
    """

    row = InterpretabilityRow
    table: list[InterpretabilityRow]
    clusters: list[ClusterRow] = field(default_factory=list)

    @property
    def tables(self) -> dict[type[TableRow], Sequence[TableRow]]:
        """The shares, and the clusters."""
        return {InterpretabilityRow: self.table, ClusterRow: self.clusters}

    def rows(self, shared: int, site: str = ALL) -> list[InterpretabilityRow]:
        """The rows of one K′ and kind of site, by layer."""
        return [row for row in self.table if (row.shared, row.site) == (shared, site)]

    def _shares(self, shared: int, site: str = ALL) -> dict[int, UninterpretableShare]:
        """The shares of one K′ and kind of site, by the layers of which units are judged."""
        return {row.layer: row.uninterpretable for row in self.rows(shared, site) if row.uninterpretable is not None}

    def summary(self) -> list[str]:
        """How many units are judged by how many clusters, and the shares by layer for each K′."""
        lines = [self._counted(), *filter(None, [self.facts["left_out"]]), self._setting()]
        return [*lines, *(self._shares_text(shared) for shared in self.facts["shared"] if self._shares(shared))]

    def _shares_text(self, shared: int) -> str:
        rows = [row for row in self.rows(shared) if row.uninterpretable is not None]
        shares = _percents(share.share for share in self._shares(shared).values())
        text = f"{shared} of {self.facts['k']}: {shares} % of units by layer"
        if rows[0].by_chance is not None:
            text += f"; {100 * rows[0].by_chance:.1f} % by chance"
        if any(row.undecided for row in rows):
            least, most = _percents(row.of_all_least for row in rows), _percents(row.of_all_most for row in rows)
            if not least == shares == most:  # a few undecided ones of thousands of units move no digit that is printed
                text += f"; with the undecided ones at least {least} and at most {most} %"
        return text

    def _counted(self) -> str:
        counts = self.facts
        judged, units = counts["judged"], counted(counts["units"], "unit")
        text = f"{judged:,} of {units} {agree(judged, 'is', 'are')} judged"
        reasons = {
            "undecided": f"undecided, fewer than {counts['k']} clips that are evidence",
            "uncaptioned": "clips without captions",
            "outside_layers": "outside the blocks, in no layer",
        }
        others = [f"{what}: {counts[name]:,}" for name, what in reasons.items() if counts[name]]
        return "; ".join([text, *others])

    def _setting(self) -> str:
        facts = self.facts
        text = (
            f"{facts['clusters']} clusters of {facts['sentences']:,} sentences by {_brief(facts['text_encoder'])}, "
            f"{facts['clusterings']} clusterings from seed {facts['seed']}"
        )
        return f"{text}, each begun on {facts['begun_on']:,} sentences drawn" if facts["begun_on"] else text

    def figure(self, site: str = ALL) -> Figure:
        """A line for each K′, of one kind of site or of all; flat lines of its colour: by chance."""
        with new_figure(3.9) as (figure, axes):
            headed(figure, *self._head(site))
            shares = {shared: self._shares(shared, site) for shared in self.facts["shared"]}
            if not any(shares.values()):
                empty(axes, "no unit of any layer can be judged")
                return figure
            for place, (shared, of_shared) in enumerate(shares.items()):
                self._draw(axes, of_shared, place, shared)
                self._draw_chance(axes, site, place, shared)
            rows = [row for row in self.rows(self.facts["shared"][0], site) if row.uninterpretable is not None]
            undecided = {"undecided": [row.undecided for row in rows]}
            layer_ticks(axes, [row.layer for row in rows], [row.units for row in rows], undecided)
            axes.set_ylim(-2, 102)
            axes.set_ylabel("Uninterpretable units (%)")
            axes.grid(axis="y", lw=0.4, alpha=0.5)
            _legend(figure, axes)
        return figure

    def _head(self, site: str) -> tuple[str, ...]:
        """The figure's title, and the lines under it."""
        name = "" if site == ALL else f", {site}"
        return (
            f"Units whose highest clips share no cluster of captions, by layer{name}",
            f"K′: no cluster is shared by K′ of a unit's {self.facts['k']} highest clips. Bars: 95 % interval over "
            "units; bands: the clusterings",
            f"{self._setting()}; {self._counted()}",
            self.facts["left_out"] or "",
        )

    def _draw(self, axes: Axes, shares: Mapping[int, UninterpretableShare], place: int, shared: int) -> None:
        """The shares of one K′ by layer, with their intervals and what the clusterings span."""
        colour, style = COLOURS[place % len(COLOURS)], STYLES[place % len(STYLES)]
        layers = list(shares)
        middle = np.array([100 * share.share for share in shares.values()])
        ends = 100 * np.array([(share.low, share.high) for share in shares.values()]).T
        least, most = 100 * np.array([(share.least, share.most) for share in shares.values()]).T
        axes.fill_between(layers, least, most, color=colour, alpha=0.08, lw=0)
        for edge in (least, most):
            axes.plot(layers, edge, color=colour, alpha=0.6, lw=0.6, linestyle=style)
        axes.errorbar(
            layers, middle, np.abs(ends - middle), color=colour, marker=MARKERS[place % len(MARKERS)], ms=5, lw=1.3,
            linestyle=style, elinewidth=0.9, capsize=2, label=f"K′ = {shared} of {self.facts['k']}",
        )  # fmt: skip

    def _draw_chance(self, axes: Axes, site: str, place: int, shared: int) -> None:
        by_chance = self.rows(shared, site)[0].by_chance
        if by_chance is not None:
            label = f"K′ = {shared}, clips drawn at random"
            axes.axhline(
                100 * by_chance, color=COLOURS[place % len(COLOURS)], lw=0.9, linestyle=(0, (1, 2)), label=label
            )


def _percents(shares: Iterable[float | None]) -> str:
    return ", ".join(f"{100 * (share or 0.0):.1f}" for share in shares)


def _brief(encoder: str) -> str:
    """A text encoder's name, a long path in it cut at its beginning."""
    kind, colon, path = encoder.partition(":")
    return f"{kind}:…/{path.rsplit('/', 1)[-1]}" if colon and len(path) > _LONGEST_NAME else encoder


def _legend(figure: Figure, axes: Axes) -> None:
    """Under the axes, a column a K′: its line, and its line by chance."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(
        range(len(labels)), key=lambda place: (labels[place].split(",")[0].split(" of")[0], "," in labels[place])
    )
    figure.legend(
        [handles[place] for place in order], [labels[place] for place in order], loc="outside lower center",
        ncols=max(1, len(order) // 2), frameon=False,
    )  # fmt: skip
