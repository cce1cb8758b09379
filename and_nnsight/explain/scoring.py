"""Are the explanations true? `explanations/scores.parquet`: how well each predicts its unit on clips it has not seen.

NeuronEval (ICML 2025) found Pearson and AUPRC over a uniform sample of clips to be among the few measures that notice
both a label that is too narrow and one that is too wide. Both are computed for the claim, for null models that know
only how loud, long, silent and bright a clip is, and for claims about other units.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from .. import plugins
from ..dissection import Dissection
from ._progress import step_progress
from .claims import Claim, claims, pool_hash
from .detecting import DEFAULT_OPTIONS
from .embeddings import Embeddings
from .held_out import captioner_of, check_same_model, clips_held_out, warn_of_other_captions, without_known_sounds
from .listening.asking import listen
from .listening.plans import Design
from .nulls import features, fit_to_units, known_means, measured_clips
from .requests import remembered
from .roles import ChatModel, ChatOptions, Listener, TextEncoder
from .tables import Row, Table
from .unit_scores import SCHEMA, Judge, SiteScores, add_detection
from .units import chosen_units

DEFAULT_SHARE = 0.05
"""Near how often a concept is heard among those of a usual dataset: a wider share is mostly clips of other concepts."""
MOST_CLIPS = 5_000
_VERSION = 1  # of what is measured, and how
_SAMPLE = 2_000  # clips of the explained dissection on which the nulls are fitted

KEY = ("site", "unit", "source")


def score(
    found: Dissection,
    held_out: Dissection,
    *,
    text_encoder: str | TextEncoder = "words",
    chat: str | ChatModel | None = None,
    listener: str | Listener | None = None,
    options: ChatOptions = DEFAULT_OPTIONS,
    sources: Sequence[str] | None = None,
    share: float = DEFAULT_SHARE,
    shuffles: int = 20,
    seed: int = 0,
    sites: str | Iterable[str] | None = None,
    units: Iterable[int] | None = None,
    most_clips: int | None = MOST_CLIPS,
    data: Any = None,
    held_out_data: Any = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> list[Row]:
    """Measure on held-out clips how well what is said of units predicts them; all rows of the table `scores`.

    found         a dissection that has been explained, or labelled
    held_out      a dissection of the same model and sites, with keep_activations=True, over other clips, all captioned
                  by what captioned those of `found`, whose words are those of the explanations (else: a warning). Clips
                  that `found` has too are left out, as far as they can be recognised: by file, by place in the same
                  data, by measuring exactly alike
    text_encoder  plugin; a claim's prediction of a clip is its cosine with the clip's caption. Of an explanation each
                  sentence is compared, and weighs as many clips as it was said of (3 of 5)
    chat          plugin; also asks it which of ten captions a claim fits, five of them of clips on which the unit
                  fires (`detection`: the share judged rightly). Every request is on record and sent once
    sources       of explanation (calibrated summaries), concepts and label; None: explanation and label, if there
    listener      plugin; also lets it hear held-out clips: which fit a claim, and which of five does not belong (table
                  `listening`: see `listening.asking.listen`)
    share         positives for AUPRC: the held-out clips in the unit's top share (0.05: one in twenty). Clips that are
                  tied across the border are left out, so there may be fewer; `base_rate` is what chance would reach
    shuffles      claims about other units of the site, drawn with the `seed`, that have no statement in common with it
                  (where there is none: that say something else)
    sites, units  which units (names and globs; indices); None: all
    most_clips    of more held-out clips so many are drawn
    data, held_out_data  what was dissected, where the clips are in no file, for the null models

    The null models predict a clip by how loud it is, how long it sounds, how silent or how bright it is. Which of the
    four stands against a unit (`null`), and the direction of each, is settled on the clips of `found`.

    `beats_null` is true of a claim whose AUPRC and whose Pearson are both above those of its unit's null, whose Pearson
    is above what 19 of 20 random orders of the clips would give, and which no more than 1 in 20 shuffled claims equals,
    in AUPRC nor in Pearson. `p` is (1 + distinct shuffled claims that equal it) / (1 + distinct ones), the larger of
    the two: where little else is claimed of the site it cannot be small. `beats_null` is false where it cannot be seen
    (`failure`): the unit is the same on all held-out clips, or no other claim was made to compare with.

    What has been scored is not scored again, unless the claim or others of its site have changed. Rows of claims that
    are no longer made are dropped. Raises DissectionError for another model, other sites or pooling, clips without
    captions, or fewer than 20 clips that can judge, and where there is nothing to score; PluginError for a plugin that
    cannot be used; ValueError for a share, a number of shuffles or a source that makes no sense.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, it is {share}")
    if shuffles < 1 or (most_clips is not None and most_clips < 1):
        raise ValueError(f"shuffles and most_clips must be at least 1, they are {shuffles} and {most_clips}")
    asked = chosen_units(found, sites, units)
    made = claims(found, sources)
    check_same_model(found, held_out, dict.fromkeys(site for site, _ in asked))
    encoder, name = plugins.resolve("text encoder", text_encoder, device=device)
    model, chat_name = None, None
    if chat is not None:
        model, chat_name = plugins.resolve("chat model", chat, device=device)
        chat_name = str(getattr(model, "name", None) or chat_name)
    ear, ear_name = (None, "") if listener is None else plugins.resolve("listener", listener, device=device)
    clips, captions, known = clips_held_out(found, held_out, most_clips, seed)
    if any(claim.source in ("explanation", "concepts") for claim in made):
        warn_of_other_captions(found, held_out)
    sample = _sample(found, asked, seed)
    ours = measured_clips(found, sample.measured, data, "data= (--data)", progress)
    theirs = measured_clips(held_out, clips, held_out_data, "held_out_data= (--held-out-data)", progress)
    judges = without_known_sounds(ours, theirs, clips, captions, known, held_out.folder)
    settings = {
        "held_out": held_out.manifest["dataset"]["fingerprint"],
        "clips": _hash([judges.clips, judges.captions]),
        "captions": captioner_of(held_out),
        "text_encoder": name,
        "chat": chat_name,
        "options": None if model is None else asdict(options),
        "share": share,
        "shuffles": shuffles,
        "seed": seed,
        "version": _VERSION,
    }
    used = [clip for clip in sample.uniform if clip in ours]
    with Table(found, "scores", SCHEMA, KEY, settings) as table, ExitStack() as stack:
        pools: dict[tuple[str, str], dict[int, Claim]] = {}
        for claim in made:
            pools.setdefault((claim.site, claim.source), {})[claim.unit] = claim
        _drop_what_is_not_claimed(table, made, sources)
        recorded = None if model is None else stack.enter_context(remembered(found, model))
        embeddings = Embeddings(encoder, name)
        with step_progress("scoring", len(asked), progress) as done:
            for site, group in groupby(asked, key=lambda at: at[0]):
                wanted = {unit for _, unit in group}
                judge = None
                for (where, _), pool in pools.items():
                    if where != site:
                        continue
                    hashed = pool_hash(pool)
                    due = [one for unit, one in pool.items() if unit in wanted and _lacks(table, one, hashed)]
                    if not due:
                        continue
                    if judge is None:
                        fits = fit_to_units(found, site, ours, used)
                        means = known_means(features(ours, used))
                        judge = Judge(held_out, site, judges, theirs, means, fits, share, device)
                    scorer = SiteScores(judge, list(pool.values()), embeddings, shuffles, seed)
                    rows = [{**row, "pool": hashed} for row in scorer.rows(due)]
                    if recorded is not None:
                        add_detection(rows, scorer, recorded, options)
                    table.add(rows)
                done(len(wanted))
        rows = table.rows()
    if ear is not None:
        listen(
            found, held_out, made, judges.clips, listener=ear, name=ear_name, design=Design(share=share, seed=seed),
            units=asked, data=held_out_data, progress=progress,
        )  # fmt: skip
    return rows


@dataclass(frozen=True)
class _Sample:
    """Clips of the explained dissection: a uniform sample, and all that are measured (units' exemplars as well)."""

    uniform: list[int]
    measured: list[int]


def _sample(found: Dissection, asked: Sequence[tuple[str, int]], seed: int) -> _Sample:
    clips = list(found.clips)
    if len(clips) > _SAMPLE:
        drawn = np.random.default_rng(seed).choice(len(clips), _SAMPLE, replace=False)
        clips = [clips[place] for place in sorted(drawn.tolist())]
    exemplars: set[int] = set()
    for site, group in groupby(asked, key=lambda at: at[0]):
        units = torch.tensor([unit for _, unit in group])
        for ranked in (found[site].top, found[site].bottom):
            exemplars.update(ranked.clips[:, units].unique().tolist())
    return _Sample(clips, sorted({*clips, *exemplars} - {-1}))


def _lacks(table: Table, claim: Claim, pool: str) -> bool:
    row = table.get((claim.site, claim.unit, claim.source))
    return row is None or (row["text"], row["pool"]) != (claim.text, pool) or row["detection_failure"] is not None


def _drop_what_is_not_claimed(table: Table, made: Iterable[Claim], sources: Sequence[str] | None) -> None:
    standing = {(claim.site, claim.unit, claim.source) for claim in made}
    looked_at = sources or ("explanation", "label")
    table.remove(
        [
            key
            for row in table.rows()
            if (key := tuple(row[name] for name in KEY)) not in standing and row["source"].split()[0] in looked_at
        ]
    )


def _hash(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
