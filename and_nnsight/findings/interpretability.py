"""How many units respond to clips that have nothing in common, by layer (the paper's Fig. 6).

The sentences of all captions are put in clusters. A unit is uninterpretable at K′ if there is no cluster that K′ of its
k highest clips share, each having a sentence in it.

Judged are units whose k highest clips are all evidence (`dissection.evidence`). One of fewer is undecided, and in
no share, also where it has K′ or more: fewer clips agree less often, by chance as well, so that shares would tell how
many units of a layer fire on few clips. If K′ of what it has share a cluster, it is interpretable whatever clips came
after: so many are counted (`agree`), which gives the least and the most that the share of all units can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from .. import plugins
from ..dissection.dissection import Dissection
from ..dissection.errors import DissectionError
from ..explain.providers.embeddings import Embeddings
from ..explain.records.captions import captions_of
from ..explain.records.reading import table_settings
from ..explain.roles import TextEncoder
from ..wording import counted
from .caption_clusters import cluster_captions
from .clusters import MANY
from .exemplar_captions import ExemplarCaptions, clips_in_one_cluster, every_caption, exemplar_captions, random_captions
from .shared_clusters import ALL, InterpretabilityRow, UninterpretableShare, UninterpretableUnits
from .site_selection import SiteSelection, select_sites
from .statistics import wilson

PAPERS_CLUSTERS = 11


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
    sites         names or globs; None: all, but each neuron once (see `site_selection.select_sites`)

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
        "begun_on": MANY if len(clustered.sentences) > MANY else None,
        "method": "k-means++ (10 starts a clustering) on sentences' vectors of length 1, each as often as it occurs",
    }
    agreeing = [clips_in_one_cluster(one, exemplars.captions) for one in clustered.within]
    by_chance = [clips_in_one_cluster(one, at_random) for one in clustered.within]
    return UninterpretableUnits(_rows(selection, exemplars, agreeing, by_chance, shared), facts, clustered.rows())


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
) -> list[InterpretabilityRow]:
    layers, kinds = selection.layer_of_unit, selection.kind_of_unit
    groups = {kind: (layers >= 0) & (kinds == kind) for kind in dict.fromkeys(selection.kinds)} | {ALL: layers >= 0}
    rows: list[InterpretabilityRow] = []
    for number in shared:
        chance = float(np.mean([one < number for one in by_chance])) if len(by_chance[0]) else None
        for kind, group in groups.items():
            for layer in np.unique(layers[group]).tolist():
                here = group & (layers == layer)
                rows.append(_row(number, kind, layer, exemplars, here, agreeing, chance))
    return rows


def _row(
    number: int,
    kind: str,
    layer: int,
    exemplars: ExemplarCaptions,
    here: Bool[np.ndarray, " unit"],
    agreeing: Sequence[Int64[np.ndarray, " unit"]],
    by_chance: float | None,
) -> InterpretabilityRow:
    """Some units, `here`, at a K′."""
    undecided = here & exemplars.undecided
    judged, open_units = int((here & exemplars.judged).sum()), int(undecided.sum())
    share = _share_of_judged(here & exemplars.judged, agreeing, number)
    agree = float(np.mean([(one[undecided] >= number).sum() for one in agreeing]))
    surely, every = (0.0 if share is None else share.share) * judged, judged + open_units
    return InterpretabilityRow(
        shared=number,
        site=kind,
        layer=layer,
        units=judged,
        undecided=open_units,
        uncaptioned=int(here.sum()) - every,
        agree=agree,
        uninterpretable=share,
        of_all_least=surely / every if every else None,
        of_all_most=(surely + open_units - agree) / every if every else None,
        by_chance=by_chance,
    )


def _share_of_judged(
    units: Bool[np.ndarray, " unit"], agreeing: Sequence[Int64[np.ndarray, " unit"]], number: int
) -> UninterpretableShare | None:
    """The share of uninterpretable units among some that are judged; None where there are none."""
    count = int(units.sum())
    if not count:
        return None
    shares = [float((one[units] < number).mean()) for one in agreeing]
    mean = float(np.mean(shares))
    return UninterpretableShare(mean, *wilson(mean * count, count), min(shares), max(shares))
