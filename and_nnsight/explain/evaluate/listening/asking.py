"""`explanations/listening.parquet`: what a listener hears of each claim, on clips that had no part in making it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

from ....dissection.dissection import Dissection
from ....progress import step_progress
from ...records.claim_rows import ListeningRow
from ...records.tables import Table
from ..claims import Claim
from .audition import Audition
from .plans import Design, Plan, plans
from .rows import row_of

_VERSION = 1  # of what is asked, and how it is judged
_MEMORY = 1 << 30  # bytes of waveforms that are held at a time
_UNITS = 8  # whose answers are written together


def listen(
    dissection: Dissection,
    claims: Sequence[Claim],
    audition: Audition,
    design: Design | None = None,
    *,
    units: Iterable[tuple[str, int]] | None = None,
    progress: bool = True,
) -> list[ListeningRow]:
    """Let a listener hear held-out clips, and hold what it says of them against what the units do; all rows.

    dissection  whose units the claims are about; the table `listening` is written there
    claims      all that is claimed of the units: they are compared with each other
    audition    the listener, and the clips that it hears
    units       of whose claims it is asked; None: of all

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

    Raises DissectionError for audio that is in no file where the audition has no `data`, PluginError where the
    listener does.
    """
    design = (design or Design()).settled(bool(getattr(audition.listener, "cheap_statements", False)))
    settings = {**audition.settings(), "design": asdict(design), "version": _VERSION}
    wanted = None if units is None else set(units)
    with Table(dissection, ListeningRow, settings) as table:
        _remove_what_is_not_claimed(table, claims)
        every_plan = plans(audition.held_out, claims, audition.distinct_clips, design, wanted)
        due = [plan for plan in every_plan if _is_due(table, plan)]
        with step_progress("listening", len(due), progress) as done:
            for rows in _judged(due, audition):
                table.add(rows)
                done(len(rows))
        return table.rows()


def _judged(due: Iterable[Plan], audition: Audition) -> Iterator[list[ListeningRow]]:
    """The rows of plans, those of a few units at a time."""
    for chunk in _chunks(due, audition.bytes_of):
        waveforms = audition.waveforms({clip for plan in chunk for clip in plan.clips()})
        for some in _by_units(chunk):
            answers = audition.answers([question for plan in some for question in plan.questions()], waveforms)
            yield [row_of(plan, answers, audition.threshold) for plan in some]


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
