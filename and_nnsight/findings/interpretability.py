"""How many units respond to clips that have nothing in common, by layer (the paper's Fig. 6).

The sentences of all captions are put in clusters. A unit is uninterpretable at K′ if there is no cluster that K′ of its
k highest clips share, each having a sentence in it.

Judged are units whose k highest clips are all evidence (`dissection.exemplars`). One of fewer is undecided, and in
no share, also where it has K′ or more: fewer clips agree less often, by chance as well, so that shares would tell how
many units of a layer fire on few clips. If K′ of what it has share a cluster, it is interpretable whatever clips came
after: so many are counted (`agree`), which gives the least and the most that the share of all units can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int64

from .. import plugins
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..explain.providers.embeddings import Embeddings
from ..explain.records.captions import captions_of
from ..explain.records.reading import table_settings
from ..explain.roles import TextEncoder
from ..wording import agree, counted
from .caption_clusters import cluster_captions
from .drawing import COLOURS, MARKERS, STYLES, empty, headed, layer_ticks, new_figure
from .exemplar_captions import ExemplarCaptions, clips_in_one_cluster, every_caption, exemplar_captions, random_captions
from .finding import Finding, Row
from .statistics import wilson
from .word_units import SiteSelection, select_sites

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL = "all sites"
PAPERS_CLUSTERS = 11
_LONGEST_NAME = 50


@dataclass(frozen=True)
class UninterpretableUnits(Finding):
    """Share of uninterpretable units by layer. A row is a K′, and a layer of one kind of site or of all:

    shared            K′: how many of the highest clips must share a cluster
    site, layer       `mlp.hook_pre`, or "all sites"; index of the block
    units             units that are judged: whose k clips are all evidence and captioned
    undecided, uncaptioned   units that are not, which no share is of: fewer clips are evidence, or one has no caption
    agree             undecided units of whose clips K′ share a cluster already: the mean over clusterings
    share             uninterpretable units of all that are judged, the mean over several clusterings
    low, high         its 95 % interval over units (Wilson)
    least, most       over the clusterings, which differ in their seed only
    by_chance         what the share would be for clips drawn at random: the mean over clusterings
    of_all_least, of_all_most   between what the share of the judged and undecided units together must lie

    clusters   a row a cluster of the first clustering: how many sentences and captions, and those nearest its middle
    """

    name = "uninterpretable_units"
    clusters: list[Row] = field(default_factory=list)

    def _more(self) -> dict[str, list[Row]]:
        return {f"{self.name}_clusters": self.clusters}

    def rows(self, shared: int, site: str = ALL) -> list[Row]:
        """The rows of one K′ and kind of site, by layer."""
        return [row for row in self.table if (row["shared"], row["site"]) == (shared, site)]

    def _measured_rows(self, shared: int, site: str = ALL) -> list[Row]:
        return [row for row in self.rows(shared, site) if row["share"] is not None]

    def summary(self) -> list[str]:
        """How many units are judged by how many clusters, and the shares by layer for each K′."""
        lines = [self._counted(), *filter(None, [self.facts["left_out"]]), self._setting()]
        for shared in self.facts["shared"]:
            rows = self._measured_rows(shared)
            if rows:
                shares, least, most = (
                    ", ".join(f"{100 * row[name]:.1f}" for row in rows)
                    for name in ("share", "of_all_least", "of_all_most")
                )
                chance = f"{100 * rows[0]['by_chance']:.1f} % by chance"
                text = f"{shared} of {self.facts['k']}: {shares} % of units by layer; {chance}"
                if any(row["undecided"] for row in rows):
                    text += f"; with the undecided ones at least {least} and at most {most} %"
                lines.append(text)
        return lines

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
        return (
            f"{facts['clusters']} clusters of {facts['sentences']:,} sentences by {_brief(facts['text_encoder'])}, "
            f"{facts['clusterings']} clusterings from seed {facts['seed']}"
        )

    def figure(self, site: str = ALL) -> Figure:
        """A line for each K′, of one kind of site or of all; flat lines of its colour: by chance."""
        with new_figure(3.9) as (figure, axes):
            name = "" if site == ALL else f", {site}"
            headed(
                figure,
                f"Units whose highest clips share no cluster of captions, by layer{name}",
                f"K′: no cluster is shared by K′ of a unit's {self.facts['k']} highest clips. Bars: 95 % interval over "
                "units; bands: the clusterings",
                f"{self._setting()}; {self._counted()}",
                self.facts["left_out"] or "",
            )
            shares = {shared: self._measured_rows(shared, site) for shared in self.facts["shared"]}
            if not any(shares.values()):
                empty(axes, "no unit of any layer can be judged")
                return figure
            for place, (shared, rows) in enumerate(shares.items()):
                self._draw(axes, rows, place, shared)
            rows = next(iter(shares.values()))
            undecided = {"undecided": [row["undecided"] for row in rows]}
            layer_ticks(axes, [row["layer"] for row in rows], [row["units"] for row in rows], undecided)
            axes.set_ylim(-2, 102)
            axes.set_ylabel("Uninterpretable units (%)")
            axes.grid(axis="y", lw=0.4, alpha=0.5)
            _legend(figure, axes)
        return figure

    def _draw(self, axes: Any, rows: list[Row], place: int, shared: int) -> None:
        colour, style = COLOURS[place % len(COLOURS)], STYLES[place % len(STYLES)]
        layers = [row["layer"] for row in rows]
        shares = np.array([100 * row["share"] for row in rows])
        ends = np.array([[100 * row[end] for row in rows] for end in ("low", "high")])
        least, most = ([100 * row[end] for row in rows] for end in ("least", "most"))
        axes.fill_between(layers, least, most, color=colour, alpha=0.08, lw=0)
        for edge in (least, most):
            axes.plot(layers, edge, color=colour, alpha=0.6, lw=0.6, linestyle=style)
        axes.errorbar(
            layers, shares, np.abs(ends - shares), color=colour, marker=MARKERS[place % len(MARKERS)], ms=5, lw=1.3,
            linestyle=style, elinewidth=0.9, capsize=2, label=f"K′ = {shared} of {self.facts['k']}",
        )  # fmt: skip
        if rows[0]["by_chance"] is not None:
            chance = 100 * rows[0]["by_chance"]
            label = f"K′ = {shared}, clips drawn at random"
            axes.axhline(chance, color=colour, lw=0.9, linestyle=(0, (1, 2)), label=label)


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


def uninterpretable_units(
    dissection: Dissection,
    *,
    clusters: int = PAPERS_CLUSTERS,
    text_encoder: str | TextEncoder = "words",
    shared: Sequence[int] = (3, 4, 5),
    k: int = 5,
    clusterings: int = 5,
    seed: int = 0,
    sites: str | Iterable[str] | None = None,
    device: str | None = None,
) -> UninterpretableUnits:
    """Tell how many units, by layer, respond to clips whose captions have nothing in common.

    dissection   a dissection whose clips have captions (`explain`)
    clusters      how many clusters the sentences are put in (paper: 11). The result depends on it
    text_encoder  plugin that says how close sentences are: words, sentence-transformers:REPO …
    shared        K′: how many of the k highest clips must share a cluster
    k             highest clips of each unit (paper: 5)
    clusterings   how many clusterings, from seeds `seed`, `seed` + 1 …: shares are means over them
    sites         names or globs; None: all, but each neuron once (see `word_units.select_sites`)

    A unit's captions are those that its summary was made from: of whole clips, or of excerpts. Clustered, and drawn at
    random, are those of every clip where they are the dataset's own, else those that were made.

    Raises DissectionError, which names the command to run, if there are no captions or fewer than k exemplars a unit;
    ValueError for impossible numbers and where there are more clusters than sentences; PluginError if the encoder
    cannot be used.
    """
    _check(clusters, shared, k, clusterings)
    clips_a_unit = dissection.manifest.k
    if clips_a_unit < k:
        raise DissectionError(
            f"the dissection in {dissection.folder} keeps {counted(clips_a_unit, 'clip')} a unit: k = {k} is too many"
        )
    selection, captions = select_sites(dissection, sites), captions_of(dissection)
    encoder, name = plugins.resolve("text encoder", text_encoder, device=device)
    every = every_caption(dissection, captions)
    clustered = cluster_captions(every, Embeddings(encoder, name), clusters, clusterings, seed)
    exemplars = exemplar_captions(dissection, selection, captions, clustered.places, k)
    at_random = random_captions(clustered.times, k, seed)
    facts = {
        **selection.facts(),
        "judged": int(exemplars.judged.sum()),
        "undecided": int(exemplars.undecided.sum()),
        "uncaptioned": int((~exemplars.undecided & ~exemplars.judged).sum()),
        "outside_layers": int((selection.layer_of_unit < 0).sum()),
        "k": k,
        "shared": list(shared),
        "clusters": clusters,
        "clusterings": clusterings,
        "seed": seed,
        "text_encoder": name,
        "sentences": len(clustered.sentences),
        "captions": int(clustered.times.sum()),
        "captions_made_with": table_settings(dissection, "captions"),
        "chance_draws": len(at_random),
        "method": "k-means++ (10 starts a clustering) on sentences' vectors of length 1, each as often as it occurs",
    }
    agreeing = [clips_in_one_cluster(one, exemplars.captions) for one in clustered.within]
    by_chance = [clips_in_one_cluster(one, at_random) for one in clustered.within]
    return UninterpretableUnits(_rows(selection, exemplars, agreeing, by_chance, shared), facts, clustered.described())


def _check(clusters: int, shared: Sequence[int], k: int, clusterings: int) -> None:
    for what, value in (("clusters", clusters), ("k", k), ("clusterings", clusterings)):
        if value < 1:
            raise ValueError(f"{what} must be at least 1, it is {value}")
    if not shared or any(not 1 <= number <= k for number in shared):
        raise ValueError(f"shared holds numbers from 1 to k = {k}, not {list(shared)}")


def _rows(
    selection: SiteSelection,
    exemplars: ExemplarCaptions,
    agreeing: Sequence[Int64[np.ndarray, " unit"]],
    by_chance: Sequence[Int64[np.ndarray, " draw"]],
    shared: Sequence[int],
) -> list[Row]:
    layers, kinds = selection.layer_of_unit, selection.kind_of_unit
    groups = {kind: (layers >= 0) & (kinds == kind) for kind in dict.fromkeys(selection.kinds)} | {ALL: layers >= 0}
    rows: list[Row] = []
    for number in shared:
        chance = float(np.mean([one < number for one in by_chance])) if len(by_chance[0]) else None
        for kind, group in groups.items():
            for layer in np.unique(layers[group]).tolist():
                here = group & (layers == layer)
                row = {"shared": number, "site": kind, "layer": layer, **_judged(exemplars, here, agreeing, number)}
                rows.append({**row, "by_chance": chance})
    return rows


def _judged(
    exemplars: ExemplarCaptions,
    here: Bool[np.ndarray, " unit"],
    agreeing: Sequence[Int64[np.ndarray, " unit"]],
    number: int,
) -> Row:
    """Some units at a K′: the columns of a row."""
    units, undecided = here & exemplars.judged, here & exemplars.undecided
    count, open_units = int(units.sum()), int(undecided.sum())
    shares = [float((one[units] < number).mean()) for one in agreeing] if count else []
    mean = float(np.mean(shares)) if count else None
    agree = float(np.mean([(one[undecided] >= number).sum() for one in agreeing]))
    low, high = wilson(mean * count, count) if mean is not None else (None, None)
    surely, every = (mean or 0.0) * count, count + open_units
    return {
        "units": count,
        "undecided": open_units,
        "uncaptioned": int(here.sum()) - every,
        "agree": agree,
        "share": mean,
        "low": low,
        "high": high,
        "least": min(shares, default=None),
        "most": max(shares, default=None),
        "of_all_least": surely / every if every else None,
        "of_all_most": (surely + open_units - agree) / every if every else None,
    }
