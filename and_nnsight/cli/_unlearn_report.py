"""What `unlearn` prints: the units that were chosen, and what ablating them changed beside random ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from ..wording import counted
from ._output import clean

if TYPE_CHECKING:
    from ..dissection.dissection import Dissection
    from ..unlearn import ChoiceRow, Measurement, UnitChoice

_MOST_CLASS_TABLES = 3


def print_choices(console: Console, choices: Sequence[UnitChoice], dissection: Dissection) -> None:
    """A sentence a choice: how many units, of how many."""
    for choice in choices:
        console.print(_sentence(choice, dissection), soft_wrap=True)


def print_measurement(console: Console, measurement: Measurement, several: bool) -> None:
    """The tables of a measurement, and in words whether each choice beats chance.

    several  whether there are several concepts: then a table of methods takes the place of a table a class
    """
    from ..unlearn.display import choice_table, class_table, method_table

    outcomes = measurement.outcomes
    console.print(f"\n{counted(len(outcomes.clips), 'clip')}, accuracy {outcomes.accuracy():.1%} with nothing ablated")
    for reason, count in outcomes.left_out.items():
        console.print(f"  {count:,} more were left out: {reason}")
    if not several:
        for place in range(min(len(measurement.choices), _MOST_CLASS_TABLES)):
            console.print(class_table(measurement, place))
    console.print(choice_table(measurement))
    console.print(choice_table(measurement, "accuracy"))
    if several:
        console.print(method_table(measurement))
    if measurement.draws and measurement.bootstrap:
        for row in measurement.rows():
            console.print(_verdict(row), soft_wrap=True)


def _sentence(choice: UnitChoice, dissection: Dissection) -> str:
    name, method = clean(choice.concept), clean(choice.method)
    every = choice.settings.get("of") or sum(dissection.widths().values())
    units, sites = counted(every, "unit"), counted(len(choice.units), "site")
    whole = choice.settings.get("whole")
    if whole:
        return f"{name}: all {counted(choice.count, 'unit')} of {clean(', '.join(whole))}"
    text = f"{name} by {method}: {choice.count:,} of {units}, at {sites}"
    missing = choice.settings.get("in_no_caption")
    if missing:
        phrases = " or ".join(choice.settings["phrases"])
        text += f" (no caption says {clean(', '.join(missing))}: captions with {clean(phrases)} count)"
    return text


def _verdict(row: ChoiceRow) -> str:
    """Whether chance is beaten: by the prediction interval of the selectivity beyond that of the controls."""
    logit, draws = row.logit, len(row.logit.draws)
    what = f"{clean(row.concept)} by {clean(row.method)}"
    chance = "random sites of the same kind" if row.method == "whole" else "random units of the same layers"
    if logit.excess is None or logit.excess.low is None or logit.excess.high is None:
        return f"{what}: two random draws at least tell whether this is chance (--draws)."
    if logit.excess.low > 0:
        p = f"p = {logit.p:.2g}, with so many at least {1 / (1 + draws):.2g}"
        return (
            f"{what}: lowers the concept against the others more than {chance} do; "
            f"{logit.beaten} of {draws} draws do less ({p})."
        )
    if logit.excess.high < 0:
        return f"{what}: [bold]raises[/bold] the concept against the others, beside {chance}."
    return f"{what}: [bold]no better than chance[/bold]: {chance} do as much."
