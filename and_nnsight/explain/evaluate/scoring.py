"""Are the explanations true? `explanations/scores.parquet`: how well each tells its unit on clips it has not seen.

Two answers, each with a p by permutation and a false-discovery rate: whether a claim predicts its unit's clips, and
whether it does so beyond what loudness, duration, silence and brightness tell. Both are settled by the largest of three
correlations (see `permutation`), which have power for claims that are true of a few clips, and of many. Pearson and
AUPRC stand beside it: NeuronEval (ICML 2025) found them to be among the few measures that notice both a label that is
too narrow and one that is too wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from ... import plugins
from ...dissection.dissection import Dissection
from ...dissection.rows import Rows
from ...kernels.surroundings import plain_torch
from ...progress import step_progress
from ...storage import json_hash
from ..providers.embeddings import Embeddings
from ..providers.requests import cached_chat
from ..records.claim_rows import ScoreRow
from ..records.tables import Table
from ..records.unit_selection import chosen_units
from ..roles import ChatModel, ChatOptions, Listener, TextEncoder
from .baselines import measured_clips
from .claims import Claim, claims
from .detection import DEFAULT_OPTIONS
from .held_out import captioner_of, check_same_model, clips_held_out, those_measured, warn_of_other_captions
from .listening.asking import listen
from .listening.audition import Audition
from .listening.plans import Design
from .settling import settle
from .site_scoring import Asker, Bench, Scoring, Test, pools_of

DEFAULT_SHARE = 0.05
"""Near how often a concept is heard among those of a usual dataset: a wider share is mostly clips of other concepts."""
MOST_CLIPS = 5_000
SHUFFLES = 999
LEVEL = 0.05
_VERSION = 3  # of what is measured, and how
_SAMPLE = 2_000  # clips of the explained dissection on which the nulls are fitted


@plain_torch()
def score(
    dissection: Dissection,
    held_out: Dissection,
    *,
    text_encoder: str | TextEncoder = "words",
    chat: str | ChatModel | None = None,
    listener: str | Listener | None = None,
    options: ChatOptions = DEFAULT_OPTIONS,
    sources: Sequence[str] | None = None,
    share: float = DEFAULT_SHARE,
    shuffles: int = SHUFFLES,
    level: float = LEVEL,
    seed: int = 0,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    most_clips: int | None = MOST_CLIPS,
    data: Any = None,
    held_out_data: Any = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Rows[ScoreRow]:
    """Measure on held-out clips how well what is said of units predicts them; all rows of the table `scores`.

    dissection    one that has been explained, or labelled
    held_out      a dissection of the same model and sites, with keep_activations=True, over other clips, all captioned
                  by what captioned those of `dissection`, whose words are those of the explanations (else: a warning).
                  Clips that `dissection` has too are left out: by their samples, place in the same data, or path
                  (`same_clips`)
    text_encoder  plugin; a claim's prediction of a clip is its cosine with the clip's caption. Of an explanation each
                  sentence is compared, and weighs as many clips as it was said of (3 of 5)
    chat          plugin; also asks it which of ten captions a claim fits, five of them of clips on which the unit
                  fires (`detection`: the share judged rightly). Every request is on record and sent once
    sources       of explanation (calibrated summaries), concepts and label; None: explanation and label, if there
    listener      plugin; also lets it hear held-out clips: which fit a claim, and which of five does not belong (table
                  `listening`: see `listening.asking.listen`)
    share         positives for AUPRC: the held-out clips in the unit's top share (0.05: one in twenty). Clips that are
                  tied across the border are left out, so there may be fewer; `base_rate` is what chance would reach
    shuffles      random orders of the clips, drawn with the `seed`, that give p; no p is below 1 / (1 + shuffles), so
                  with 999 and a level of 0.05 claims can hold only where at least 2 % of their source reach that
    level         the false-discovery rate at which a claim is said to hold
    sites, units  which units (names and globs; indices); None: all
    most_clips    of more held-out clips so many are drawn
    data, held_out_data  what was dissected, where the clips are in no file, for the null models

    `predicts`          the claim tells the unit's clips as random orders of the clips seldom do (`permutation`): `p`,
                        and `q` ≤ level. `top_down` is one of the three correlations that this is settled by
    `beyond_acoustics`  so does what is left of it (`top_down_beyond`) when everything is taken from the unit that rises
                        or falls with how loud a clip is (level and loudest 50 ms), how long it sounds, how silent and
                        how bright it is (`permutation.partial_test`): `q_beyond` ≤ level. `p_beyond` is the larger of
                        that p and `p`, so that what does not predict is never beyond
    A claim holds if both are true. q is Benjamini & Hochberg's over one family: all standing claims of one source (the
    explanations; the labels of one kind; …), of all sites and units scored with these settings, and is computed anew
    whenever any of them changes. Sources are families of their own, because people read the explanations that hold, or
    the labels that hold: that at most `level` of those are false must be true of each list, and true labels must not
    make room for false explanations.

    Beside that, as information: which of the nulls goes best with the unit, and in which direction, as settled on
    the clips of `dissection` (`null`); and `others_as_good`, the share of the claims about other units of the site that
    tell this one as well, near 0 for words that are the unit's own, large where the units of a layer are alike or what
    is said of them is vague. Claims dealt out anew among the units may hold, where they are true of many; fewer of them
    are `distinctive` as well (at most 1 in 20 as good).

    Held-out clips with the samples of an earlier one are left out: they would count twice. A claim that cannot be
    judged has a `failure`, and no p: the unit is the same on all held-out clips, or finite on fewer than 20.

    What has been scored is not scored again, unless the claim or others of its site have changed. Rows of claims that
    are no longer made are dropped. Raises DissectionError for another model, other sites or pooling, clips without
    captions, or fewer than 20 clips that can judge, and where there is nothing to score; PluginError for a plugin that
    cannot be used; ValueError for a share, a level, a number of shuffles or a source that makes no sense.
    """
    test = Test(share, shuffles, level, seed, most_clips)
    scope = chosen_units(dissection, sites, units)
    every_claim = claims(dissection, sources)
    check_same_model(dissection, held_out, dict.fromkeys(site for site, _ in scope))
    encoder, name = plugins.resolve("text encoder", text_encoder, device=device)
    model, chat_name = (None, None) if chat is None else _chat_model(chat, device)
    ear, ear_name = (None, "") if listener is None else plugins.resolve("listener", listener, device=device)
    judges = clips_held_out(dissection, held_out, most_clips, seed)
    if any(claim.source in ("explanation", "concepts") for claim in every_claim):
        warn_of_other_captions(dissection, held_out)
    sample = _sample(dissection, scope, seed)
    ours = measured_clips(dissection, sample.measured, data, "data= (--data)", progress)
    theirs = measured_clips(held_out, judges.clips, held_out_data, "held_out_data= (--held-out-data)", progress)
    judges = those_measured(judges, theirs, held_out.folder)
    settings = {
        "held_out": held_out.manifest.dataset.fingerprint,
        "clips": json_hash([judges.clips, judges.captions]),
        "captions": captioner_of(held_out),
        "text_encoder": name,
        "chat": chat_name,
        "options": None if model is None else asdict(options),
        "share": share,
        "shuffles": shuffles,
        "seed": seed,
        "version": _VERSION,
    }
    fitted_on = [clip for clip in sample.uniform if clip in ours]
    bench = Bench(dissection, held_out, judges, ours, theirs, fitted_on, share, device)
    with Table(dissection, ScoreRow, settings) as table, ExitStack() as stack:
        stack.callback(settle, table, level)  # also of what was scored when it was interrupted
        _drop_what_is_not_claimed(table, every_claim, sources)
        asker = None if model is None else Asker(stack.enter_context(cached_chat(dissection, model)), options)
        scoring = Scoring(table, bench, Embeddings(encoder, name), test, asker)
        _score_sites(scoring, scope, every_claim, progress)
        settle(table, level)
        rows = table.rows()
    if ear is not None:
        audition = Audition(ear, ear_name, held_out, judges.clips, held_out_data)
        listen(dissection, every_claim, audition, Design(share=share, seed=seed), units=scope, progress=progress)
    return rows


def _score_sites(
    scoring: Scoring, scope: Sequence[tuple[str, int]], every_claim: Sequence[Claim], progress: bool
) -> None:
    """Score the claims about the units in scope, a site at a time."""
    pools = pools_of(every_claim)
    with step_progress("scoring", len(scope), progress) as done:
        for site, group in groupby(scope, key=lambda at: at[0]):
            of_site = {unit for _, unit in group}
            scoring.score_site(site, of_site, pools.get(site, []))
            done(len(of_site))


def _chat_model(chat: str | ChatModel, device: str | torch.device | None) -> tuple[ChatModel, str]:
    """A chat model and its name in the record."""
    model, name = plugins.resolve("chat model", chat, device=device)
    return model, str(getattr(model, "name", None) or name)


@dataclass(frozen=True)
class _Sample:
    """Clips of the explained dissection: a uniform sample, and all that are measured (units' exemplars as well)."""

    uniform: list[int]
    measured: list[int]


def _sample(dissection: Dissection, scope: Sequence[tuple[str, int]], seed: int) -> _Sample:
    clips = list(dissection.clips)
    if len(clips) > _SAMPLE:
        drawn = np.random.default_rng(seed).choice(len(clips), _SAMPLE, replace=False)
        clips = [clips[place] for place in sorted(drawn.tolist())]
    exemplars: set[int] = set()
    for site, group in groupby(scope, key=lambda at: at[0]):
        units = torch.tensor([unit for _, unit in group])
        for ranked in (dissection[site].top, dissection[site].bottom):
            exemplars.update(ranked.clips[:, units].unique().tolist())
    return _Sample(clips, sorted({*clips, *exemplars} - {-1}))


def _drop_what_is_not_claimed(
    table: Table[ScoreRow], every_claim: Iterable[Claim], sources: Sequence[str] | None
) -> None:
    standing = {(claim.site, claim.unit, claim.source) for claim in every_claim}
    kinds = sources or ("explanation", "label")
    keys = [row.key_values for row in table.rows() if row.source.split()[0] in kinds]
    table.remove([key for key in keys if key not in standing])
