"""What a run says to whoever started it: of the data before, of the dissection after."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping

from ..data import Source
from ..dissection.dissection import Dissection
from ..wording import agree, counted

_CALLER = 4  # the stack level of whoever called dissect, seen from a function that dissect calls


def report_lines(lines: Iterable[str], show: bool) -> None:
    """Lines to whoever watches, where they are to be shown."""
    for line in lines if show else ():
        print(line, file=sys.stderr)


def report_unused(source: Source, show: bool) -> None:
    """What the data holds beside its clips: a warning where it may be sound, a line for the rest."""
    for unused in source.unused:
        if unused.sound:
            warnings.warn(f"{source.name}: {unused}", stacklevel=_CALLER)
    report_lines((f"{source.name}: {unused}" for unused in source.unused if not unused.sound), show)


def warn_of_versions(there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Warn of a run that goes on with other packages than it was begun with."""
    differing = [
        f"{name} {there[name]} (now {here[name]})" for name in here if there.get(name, here[name]) != here[name]
    ]
    if differing:
        warnings.warn(
            f"this run was begun with {', '.join(differing)}: the clips from here on may have other values, if only in "
            "their last digits",
            stacklevel=_CALLER,
        )


def warn_of_values(dissection: Dissection) -> None:
    """Warn of activations that were not finite."""
    nonfinite = {site: dissection[site].nonfinite for site in dissection.sites if dissection[site].nonfinite}
    if nonfinite:
        count = sum(nonfinite.values())
        warnings.warn(
            f"{counted(count, 'activation')} at {counted(len(nonfinite), 'site')}, {next(iter(nonfinite))} first, "
            f"{agree(count, 'was', 'were')} NaN or infinite",
            stacklevel=_CALLER,
        )


def warn_of_contents(dissection: Dissection) -> None:
    """Warn of clips that are silent, and of copies."""
    # Of its rows, of which there may be millions, none is read.
    silent, copies = dissection.manifest.silent, dissection.manifest.copies
    what = agree(copies, "byte-identical copy of an earlier one", "byte-identical copies of earlier ones")
    parts = [f"{count:,} {name}" for count, name in ((silent, "silent"), (copies, what)) if count]
    if parts:
        warnings.warn(
            f"of {counted(dissection.manifest.clips, 'clip')}, {' and '.join(parts)}: as evidence of what a unit "
            "responds to, copies count once",
            stacklevel=_CALLER,
        )


def warn_of_truncated(truncated: int, window: float | None) -> None:
    """Warn of clips of which the model hears the beginning only."""
    if truncated:
        warnings.warn(
            f"{counted(truncated, 'clip')} {agree(truncated, 'is', 'are')} longer than the {window:g} s that "
            f"the model hears: {agree(truncated, 'its beginning', 'their beginnings')} counted",
            stacklevel=_CALLER,
        )
