"""`explanations/listening.parquet`: what a listener hears of each claim, on clips that had no part in making it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ....dissection.dissection import Dissection
from ....progress import step_progress
from ...providers.answers import match_answers
from ...records.claim_rows import ListeningRow
from ...records.clip_audio import dissection_clips
from ...records.tables import Table
from ...roles import Clip, Failure, Listener, Question, Span
from ..claims import Claim
from .plans import Design, Plan, plans
from .rows import ClipQuestion, row_of

_VERSION = 1  # of what is asked, and how it is judged
_MEMORY = 1 << 30  # bytes of waveforms that are held at a time
_UNITS = 8  # whose answers are written together
_LONGEST_REASON = 1_000


def listen(
    dissection: Dissection,
    held_out: Dissection,
    claims: Sequence[Claim],
    clips: Sequence[int],
    *,
    listener: Listener,
    name: str,
    design: Design | None = None,
    units: Iterable[tuple[str, int]] | None = None,
    data: Any = None,
    progress: bool = True,
) -> list[ListeningRow]:
    """Let a listener hear held-out clips, and hold what it says of them against what the units do; all rows.

    dissection  whose units the claims are about; the table `listening` is written there
    held_out    of the same model, with keep_activations=True
    claims      all that is claimed of the units: they are compared with each other
    clips       those of `held_out` that may judge; of clips with the same samples the first is used
    name        of the listener in the record
    units       of whose claims it is asked; None: of all
    data        what `held_out` was made of, where its clips are in no file

    Detection: the listener says of clips, half of them of those on which the unit fires, how well each fits the
    claim. `detection` is the share that is judged rightly (chance: 0.5), `detection_auc` the area under the ROC curve;
    `others_detection` and `others_auc` are the means for claims about other units that have no statement in common
    with it (else: say something else), over the same clips. `p_chance`: that the area is chance; `p_words`: that it
    lies so far above the others' by chance; both are exact for the clips heard. `p` is the larger of the two.

    Intruder: of five clips the unit fires on four. The listener is told nothing of the unit, and says how well each
    clip goes with the others: the one that goes least is held to be the intruder. `intruder` is the share found
    (chance: 0.2), of `intruder_trials`; `intruder_p`: that it is chance, exact.

    What the listener does not answer is recorded with the reason, and asked again by the next call; what it has
    answered is not asked again unless the claim, the clips, or the claims it is compared with have changed.

    Raises DissectionError for audio that is in no file when `data` is not given, PluginError where the listener does.
    """
    design = (design or Design()).settled(bool(getattr(listener, "cheap_statements", False)))
    copies = held_out.copies
    usable = [clip for clip in clips if clip not in copies]
    settings = {
        "listener": name,
        "listener_settings": dict(getattr(listener, "settings", {})),
        "threshold": getattr(listener, "threshold", None),
        "held_out": held_out.manifest.dataset.fingerprint,
        "design": asdict(design),
        "version": _VERSION,
    }
    wanted = None if units is None else set(units)
    with Table(dissection, ListeningRow, settings) as table:
        _remove_what_is_not_claimed(table, claims)
        due = [plan for plan in plans(held_out, claims, usable, design, wanted) if _is_due(table, plan)]
        with step_progress("listening", len(due), progress) as done:
            for rows in _judged(due, _Ear(listener, held_out, data)):
                table.add(rows)
                done(len(rows))
        return table.rows()


def _judged(due: Iterable[Plan], ear: _Ear) -> Iterator[list[ListeningRow]]:
    """The rows of plans, those of a few units at a time."""
    for chunk in _chunks(due, ear.bytes_of):
        waveforms = ear.waveforms({clip for plan in chunk for clip in plan.clips()})
        for some in _by_units(chunk):
            answers = ear.answers([question for plan in some for question in plan.questions()], waveforms)
            yield [row_of(plan, answers, ear.threshold) for plan in some]


def _remove_what_is_not_claimed(table: Table[ListeningRow], claims: Sequence[Claim]) -> None:
    standing = {(claim.site, claim.unit, claim.source) for claim in claims}
    kinds = {claim.source.split()[0] for claim in claims}
    others = [row for row in table.rows() if row.key_values not in standing]
    table.remove(row.key_values for row in others if row.source.split()[0] in kinds)


def _is_due(table: Table[ListeningRow], plan: Plan) -> bool:
    row = table.get((plan.claim.site, plan.claim.unit, plan.claim.source))
    if row is None or (row.asked, row.text) != (plan.hash, plan.claim.text):
        return True
    return row.failure is not None or row.intruder_failure is not None


class _Ear:
    """A listener before the clips of a dissection."""

    def __init__(self, listener: Listener, held_out: Dissection, data: Any) -> None:
        self.listener, self._held_out, self._data = listener, held_out, data
        self.threshold: float | None = getattr(listener, "threshold", None)

    def bytes_of(self, clip: int) -> int:
        """What a clip's samples take in memory."""
        return round(4 * self.listener.sampling_rate * (self._held_out.clips[clip].seconds or 0.0))

    def waveforms(self, clips: Iterable[int]) -> dict[int, np.ndarray | Failure]:
        """The samples of clips at the listener's rate."""
        spans = [Span(clip) for clip in sorted(clips)]
        if not spans:
            return {}
        rate = self.listener.sampling_rate
        read = dissection_clips(self._held_out, spans, sampling_rate=rate, data=self._data)
        waveforms: dict[int, np.ndarray | Failure] = {}
        for clip in read:
            if isinstance(clip, Clip):
                waveforms[clip.span.clip] = clip.samples
            else:
                span, failure = clip
                waveforms[span.clip] = Failure(f"clip {span.clip} cannot be read: {failure.reason}")
        return waveforms

    def answers(
        self, clip_questions: Iterable[ClipQuestion], waveforms: Mapping[int, np.ndarray | Failure]
    ) -> dict[ClipQuestion, np.ndarray | Failure]:
        """The fits that the listener gives to each statement with its clips; each is asked once."""
        answers: dict[ClipQuestion, np.ndarray | Failure] = {}
        put: list[ClipQuestion] = []
        questions: list[Question] = []
        for one in sorted(
            dict.fromkeys(clip_questions), key=lambda one: one[0] is None
        ):  # like questions come together
            samples_of_all = [waveforms[clip] for clip in one[1]]
            unread = next((samples for samples in samples_of_all if isinstance(samples, Failure)), None)
            if unread is not None:
                answers[one] = unread
                continue
            put.append(one)
            questions.append(Question(one[0], tuple(wave for wave in samples_of_all if not isinstance(wave, Failure))))
        for place, answer in match_answers(self.listener.fits, questions):
            answers[put[place]] = _fits(answer, len(questions[place].clips))
        return answers


def _fits(answer: Any, clips: int) -> np.ndarray | Failure:
    """An answer as numbers, whatever the listener gave."""
    if isinstance(answer, Failure):
        return Failure(answer.reason[:_LONGEST_REASON])
    try:
        numbers = np.asarray(answer)
    except (TypeError, ValueError, RuntimeError):  # lists of unlike lengths, tensors on another device
        numbers = np.empty(0, object)
    if numbers.dtype.kind not in "biuf":
        return Failure(f"the listener answered with {type(answer).__name__}, not with a number a clip")
    fits = numbers.astype(np.float64)
    if fits.shape != (clips,):
        return Failure(f"the listener answered {clips} clips with numbers of shape {fits.shape}, not one a clip")
    return fits if np.isfinite(fits).all() else Failure("the listener answered with a number that is not finite")


def _chunks(plans: Iterable[Plan], bytes_of: Callable[[int], int]) -> Iterator[list[Plan]]:
    """Plans whose clips fit in memory together; one at least."""
    chunk: list[Plan] = []
    loaded: set[int] = set()
    for plan in plans:
        needed = loaded.union(plan.clips())
        if chunk and len(needed) > len(loaded) and sum(map(bytes_of, needed)) > _MEMORY:
            yield chunk
            chunk, needed = [], set(plan.clips())
        chunk.append(plan)
        loaded = needed
    if chunk:
        yield chunk


def _by_units(plans: Sequence[Plan]) -> Iterator[list[Plan]]:
    """The plans of a few units at a time, so that what is asked of a unit for two claims alike is asked once."""
    some: list[Plan] = []
    units: set[tuple[str, int]] = set()
    for plan in plans:
        at = plan.claim.site, plan.claim.unit
        if at not in units and len(units) == _UNITS:
            yield some
            some, units = [], set()
        units.add(at)
        some.append(plan)
    if some:
        yield some
